"""Adding an engine is one new file and its name in a profile: shown on a copy of the library."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]

ECHO_WORDS = '''
"""Writes "echo" once for every second of sound."""

from dataclasses import dataclass

from clearcast.engines.engine import EngineOptions
from clearcast.engines.transcribe.contract import TranscriptionEngine
from clearcast.speech.transcript import Segment, Transcript, Word
from clearcast.speech.turns import Span


@dataclass(frozen=True)
class EchoOptions(EngineOptions):
    """Attributes:
    word: what is written.
    """

    word: str = "echo"


class EchoEngine(TranscriptionEngine):
    """Hears loudness, nothing else."""

    Options = EchoOptions
    languages = frozenset({"en"})

    @property
    def model_name(self):
        return "echo"

    def _load(self):
        pass

    def _run(self, recording, start_s, end_s, options, progress):
        words = []
        second_s = start_s
        while second_s < end_s:
            stop_s = min(second_s + 1.0, end_s)
            if abs(recording.read(second_s, stop_s)).max(initial=0.0) > 0.01:
                words.append(Word(second_s, stop_s, self.options.word))
            progress((stop_s - start_s) / (end_s - start_s))
            second_s = stop_s
        segments = [Segment(w.start_s, w.end_s, w.text, (w,)) for w in words]
        language = "en" if segments else None
        return Transcript(tuple(segments), language, recording.duration_s, (self.provenance,))
'''

PROFILE = """
engines:
  transcribe: {engine: echo_words, options: {word: hello}}
"""

USE_IT = """
import numpy as np
from clearcast.audio.recording import Recording
from clearcast.engines.engine import EngineContext, make_engine
from clearcast.engines.transcribe.contract import TranscriptionEngine
from clearcast.settings import load_settings

settings = load_settings("echo")
choice = settings.engines.transcribe
context = EngineContext(settings.models_path)
engine = make_engine(TranscriptionEngine, choice.engine, choice.options, context)
transcript = engine.transcribe(Recording.from_array(np.full(3 * 16_000, 0.5, np.float32)))
print(transcript.text, "|", *transcript.provenance)
"""


@pytest.fixture(scope="module")
def copy_with_echo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The library and its tests, copied, with one file and one profile more."""
    copy = tmp_path_factory.mktemp("copy")
    leave_out = shutil.ignore_patterns("__pycache__")
    for folder in ("clearcast", "pipelines", "config"):
        shutil.copytree(REPOSITORY / folder, copy / folder, ignore=leave_out)
    for file in ("pyproject.toml", "tests/engines/conftest.py", "tests/engines/test_contract.py"):
        (copy / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(REPOSITORY / file, copy / file)
    (copy / "clearcast" / "engines" / "transcribe" / "echo_words.py").write_text(ECHO_WORDS)
    (copy / "config" / "echo.yaml").write_text(PROFILE)
    return copy


def run_in(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, *arguments], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_profile_finds_an_engine_that_was_dropped_in(copy_with_echo: Path) -> None:
    said = run_in(copy_with_echo, "-c", USE_IT)
    assert said.strip() == "hello hello hello | transcribe: echo_words (echo)"


def test_the_contract_tests_pick_up_an_engine_that_was_dropped_in(copy_with_echo: Path) -> None:
    said = run_in(
        copy_with_echo, "-m", "pytest", "-v", "-k", "echo_words", "tests/engines/test_contract.py"
    )
    assert "test_building_an_engine_imports_no_model_library[transcribe/echo_words] PASSED" in said
    assert "test_words_and_segments_lie_within_the_recording[echo_words] PASSED" in said
    assert "test_transcription_stops_when_the_listener_says_so[echo_words] PASSED" in said
