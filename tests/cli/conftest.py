"""The real program, in a process of its own or in this one, with folders of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from clearcast.cli.app import clearcast
from clearcast.origin import ROOT
from clearcast.sample import sample_conversation

Run = Callable[..., Result]
Program = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Data, models and temporary files in folders of their own: tests look at what stays behind."""
    folders = {
        "CLEARCAST__DATA_DIR": tmp_path / "home" / "data",
        "CLEARCAST__CONFIG_DIR": tmp_path / "home" / "config",
        "CLEARCAST__MODELS__DIR": tmp_path / "home" / "models",
        "TMPDIR": tmp_path / "tmp",
    }
    folders["TMPDIR"].mkdir()
    for name in ("CLEARCAST_PROFILE", "CLEARCAST_API_KEY", "CLEARCAST_SERVER"):
        monkeypatch.delenv(name, raising=False)
    for name, path in folders.items():
        monkeypatch.setenv(name, str(path))
    path = os.pathsep.join([str(ROOT), *os.environ.get("PYTHONPATH", "").split(os.pathsep)])
    return {**os.environ, "PYTHONPATH": path.rstrip(os.pathsep), "OMP_NUM_THREADS": "1"}


@pytest.fixture
def run(environment: dict[str, str]) -> Run:
    """`run("voices", "list")` in this process."""

    def run(*arguments: str | Path, stdin: bytes | None = None) -> Result:
        return CliRunner().invoke(clearcast, [str(argument) for argument in arguments], input=stdin)

    return run


@pytest.fixture
def program(environment: dict[str, str], tmp_path: Path) -> Program:
    """`program("meeting", file)` as a real process; a folder that is not the checkout is its own."""

    def program(
        *arguments: str | Path, stdin: bytes | None = None, **extra: str
    ) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, "-m", "clearcast.cli", *map(str, arguments)],
            input=stdin,
            capture_output=True,
            env={**environment, **extra},
            cwd=tmp_path,
            check=False,
        )
        out, err = done.stdout.decode(), done.stderr.decode()
        return subprocess.CompletedProcess(done.args, done.returncode, out, err)

    return program


@pytest.fixture(scope="session")
def conversation() -> Path:
    """Half a minute of two people, real."""
    return sample_conversation().audio
