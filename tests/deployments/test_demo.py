"""The demo: which words it takes, and the whole of it as a newcomer sees it."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from clearcast.models.pull import adopt
from clearcast.settings import ModelSettings, Settings, load_settings
from clearcast.speech.json_file import read_json
from clearcast.speech.meeting import Meeting
from clearcast.testing.checkpoints.whisper import write_whisper
from deployments.demo_whisper import choose_transcriber, whisper_spec
from tests.models.fake_hub import FakeHub, Repo

pytestmark = pytest.mark.alone

ROOT = Path(__file__).resolve().parents[2]


class Answering(Console):
    """A terminal at which somebody answers every question alike."""

    def __init__(self, answer: str) -> None:
        super().__init__(file=io.StringIO(), width=200)
        self.answer = answer
        self.asked: list[str] = []

    def input(self, prompt: str = "", **_: object) -> str:  # type: ignore[override]
        self.asked.append(prompt)
        return self.answer

    @property
    def said(self) -> str:
        assert isinstance(self.file, io.StringIO)
        return self.file.getvalue()


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    models = ModelSettings(dir=tmp_path / "models")
    return load_settings("local").model_copy(update={"models": models})


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with every file of Whisper small, at a size for tests."""
    folder = write_whisper(tmp_path_factory.mktemp("whisper"))
    for path in whisper_spec("small").files:
        if not (folder / path).is_file():
            (folder / path).write_bytes((folder / "vocabulary.json").read_bytes())
    return folder


def test_a_whisper_on_disk_is_used(settings: Settings, checkpoint: Path) -> None:
    adopt(whisper_spec("base"), checkpoint, settings)
    console = Answering("n")
    assert choose_transcriber(settings, console, interactive=True) == (
        "faster_whisper",
        {"model": "base"},
    )
    assert console.asked == []
    assert "base" in console.said


def test_with_nobody_to_ask_the_rough_engine_is_named(settings: Settings) -> None:
    console = Answering("y")
    assert choose_transcriber(settings, console, interactive=False) == ("pocketsphinx", {})
    assert console.asked == []
    assert "rough" in console.said
    assert "clearcast models pull whisper-small" in console.said


def test_offline_nobody_is_asked(settings: Settings) -> None:
    console = Answering("y")
    choice = choose_transcriber(settings, console, interactive=True, hub="http://127.0.0.1:9")
    assert choice == ("pocketsphinx", {})
    assert console.asked == []


@pytest.mark.parametrize(("answer", "engine"), [("", "faster_whisper"), ("n", "pocketsphinx")])
def test_a_hub_that_answers_is_offered(
    settings: Settings, checkpoint: Path, answer: str, engine: str
) -> None:
    spec = whisper_spec("small")
    files = {path: (checkpoint / path).read_bytes() for path in spec.files}
    console = Answering(answer)
    with FakeHub({spec.repo: Repo(files)}) as hub:
        chosen, _ = choose_transcriber(settings, console, interactive=True, hub=hub.url)
    assert chosen == engine
    assert len(console.asked) == 1
    assert "MB" in console.asked[0]


@pytest.mark.timeout(240)
def test_the_whole_demo_names_both_speakers(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "CLEARCAST__MODELS__DIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-m", "deployments.demo"],
        cwd=tmp_path,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    meeting = read_json((tmp_path / "demo-output" / "meeting.json").read_text(encoding="utf-8"))
    assert isinstance(meeting, Meeting)
    assert [speaker.shown_as for speaker in meeting.speakers] == ["Callee", "Caller"]
    assert meeting.transcript is not None
    assert len(meeting.transcript.text.split()) > 40
    assert "rough" in done.stdout
    for name in ("txt", "srt", "vtt", "rttm"):
        assert (tmp_path / "demo-output" / f"meeting.{name}").stat().st_size > 100
