"""Ctrl-C, SIGTERM and a reader that leaves: nothing stays behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import wave
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest


@pytest.fixture
def repeated(conversation: Path, tmp_path: Path) -> Callable[[int], Path]:
    """The half minute of the conversation, so many times over."""

    def repeated(times: int) -> Path:
        path = tmp_path / "long.wav"
        with wave.open(str(conversation), "rb") as source, wave.open(str(path), "wb") as target:
            target.setparams(source.getparams())
            frames = source.readframes(source.getnframes())
            for _ in range(times):
                target.writeframes(frames)
        return path

    return repeated


def start(environment: dict[str, str], *arguments: str | Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "clearcast.cli", *map(str, arguments)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for(child: subprocess.Popen[str], text: str) -> None:
    assert child.stderr is not None
    while (line := child.stderr.readline()) and text not in line:
        pass
    assert line, "the program ended too early"


@pytest.mark.parametrize(("stage", "times"), [("reading the file", 240), ("writing down words", 10)])
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_stops_the_work_and_nothing_stays_behind(
    environment: dict[str, str],
    repeated: Callable[[int], Path],
    tmp_path: Path,
    stage: str,
    times: int,
    number: int,
    code: int,
) -> None:
    out = tmp_path / "out"
    child = start(environment, "transcribe", repeated(times), "-l", "en", "-o", f"{out}/")
    wait_for(child, stage)
    if stage == "reading the file":
        while not psutil.Process(child.pid).children():
            time.sleep(0.01)
    grandchildren = psutil.Process(child.pid).children(recursive=True)
    os.kill(child.pid, number)
    _, told = child.communicate(timeout=60)
    assert child.returncode == code
    assert "Traceback" not in told
    assert not out.exists()
    assert list((tmp_path / "tmp").iterdir()) == []
    assert not any(process.is_running() for process in grandchildren)


def test_a_second_ctrl_c_leaves_at_once_and_cleans_up(
    environment: dict[str, str], repeated: Callable[[int], Path], tmp_path: Path
) -> None:
    child = start(environment, "transcribe", repeated(10), "-l", "en")
    wait_for(child, "writing down words")
    while child.poll() is None:
        os.kill(child.pid, signal.SIGINT)
        time.sleep(0.02)
    child.communicate()
    assert child.returncode == 130
    assert list((tmp_path / "tmp").iterdir()) == []


def test_a_reader_that_has_enough_is_no_error(environment: dict[str, str]) -> None:
    child = start(environment, "models", "list", "--json")
    assert child.stdout is not None
    child.stdout.close()
    assert child.stderr is not None
    with child.stderr:
        told = child.stderr.read()
    assert child.wait() == 0
    assert "Broken" not in told
    assert "Traceback" not in told
