"""`clearcast doctor`: what works on this machine, and what to do about the rest."""

from __future__ import annotations

import json
from dataclasses import asdict

import click
from rich.text import Text

from clearcast.cli import exit_codes
from clearcast.cli.session import Session, pass_session
from clearcast.doctor import Check, run_checks

_MARKS = {"ok": ("✓", "green"), "warn": ("!", "yellow"), "fail": ("✗", "red")}


@click.command(short_help="What works on this machine, and why the rest does not.")
@click.option("--load", is_flag=True, help="Also load every engine of the profile, which takes a while.")
@click.option("--json", "as_json", is_flag=True, help="As JSON, for programs.")
@pass_session
def doctor(session: Session, load: bool, as_json: bool) -> None:
    """Check this machine: packages, profile, models, memory, GPU, folders, port, decoding.

    Ends with 1 when something that the profile needs does not work. Changes nothing, needs no network.

    \b
    clearcast doctor
    clearcast --profile gpu doctor --load
    clearcast doctor --json | jq '.[] | select(.state != "ok")'
    """
    checks: list[Check] = []
    for check in run_checks(session.profile, load=load):
        checks.append(check)
        if not as_json:
            _show(session, check)
    failed = sum(check.state == "fail" for check in checks)
    if as_json:
        click.echo(json.dumps([asdict(check) for check in checks], ensure_ascii=False, indent=1))
    else:
        session.results.print(f"\n{failed} of {len(checks)} checks failed." if failed else "\nAll well.")
    if failed:
        raise click.exceptions.Exit(exit_codes.SOME_FAILED)


def _show(session: Session, check: Check) -> None:
    mark, colour = _MARKS[check.state]
    line = Text(f"{mark} ", style=colour)
    line.append(f"{check.name}: ", style="bold default")
    session.results.print(line.append(check.detail, style="not bold default"))
    if check.what_to_do is not None:
        session.results.print(f"    → {check.what_to_do}", markup=False)
