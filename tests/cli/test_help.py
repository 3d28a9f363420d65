"""Help: every command has one, with examples, and needs neither a profile nor models."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from clearcast.cli.app import clearcast
from clearcast.origin import ROOT


def commands(group: click.Group, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    yield path
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))
        else:
            yield (*path, name)


EVERY_COMMAND = sorted(commands(clearcast))


@pytest.mark.parametrize("path", EVERY_COMMAND, ids=" ".join)
def test_every_command_teaches_by_example(path: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLEARCAST_PROFILE", "/there/is/none.yaml")
    result = CliRunner().invoke(clearcast, [*path, "--help"])
    assert result.exit_code == 0
    assert "clearcast " + " ".join(path) in result.output.split("Usage:")[1].split("Options:")[0]
    assert any(line.startswith("  clearcast ") for line in result.output.splitlines())


@pytest.mark.parametrize("path", [path for path in EVERY_COMMAND if path], ids=" ".join)
def test_every_option_is_explained(path: tuple[str, ...]) -> None:
    command: click.Command = clearcast
    for name in path:
        assert isinstance(command, click.Group)
        found = command.get_command(click.Context(command), name)
        assert found is not None
        command = found
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            assert parameter.help, f"{' '.join(path)} {parameter.name}"


@pytest.mark.parametrize("path", [path for path in EVERY_COMMAND if path], ids=" ".join)
def test_the_page_on_the_command_line_names_every_command(path: tuple[str, ...]) -> None:
    page = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    assert f"clearcast {' '.join(path)}" in page


def examples() -> Iterator[str]:
    """Every line that starts with "clearcast" in the help pages and in the code of the pages in docs."""
    for path in EVERY_COMMAND:
        lines = CliRunner().invoke(clearcast, [*path, "--help"]).output.splitlines()
        yield from (line.strip() for line in lines if line.startswith("  clearcast "))
    for page in sorted((ROOT / "docs").glob("*.md")):
        lines = page.read_text(encoding="utf-8").splitlines()
        yield from (line for line in lines if line.startswith("clearcast "))


@pytest.mark.parametrize("example", sorted(set(examples())))
def test_every_example_is_a_command_that_exists(example: str) -> None:
    words = shlex.split(re.split(r"\s{2,}|\s[|<>#]", example)[0])[1:]
    command: click.Command = clearcast
    context = clearcast.make_context("clearcast", list(words))
    while isinstance(command, click.Group):
        rest = [*context._protected_args, *context.args]
        name, found, rest = command.resolve_command(context, rest)
        assert found is not None
        command = found
        context = command.make_context(name, rest, parent=context)


def test_the_real_program_answers_version_and_help(program) -> None:
    assert program("--version").stdout.startswith("clearcast 0.")
    done = program("--help")
    assert done.returncode == 0
    assert "who said what, by name" in done.stdout


def test_an_unknown_command_is_wrong_usage(program) -> None:
    done = program("meetnig", Path("x.wav"))
    assert done.returncode == 2
    assert "No such command" in done.stderr
