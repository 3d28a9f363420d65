"""Silero by windows: what faster-whisper finds in the whole file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from clearcast.audio.recording import SAMPLE_RATE_HZ, FloatAudio, Recording
from clearcast.audio.sandbox import prepare_sync
from clearcast.engines.engine import EngineContext, make_engine
from clearcast.engines.voice_activity.contract import VoiceActivityEngine
from clearcast.sample import sample_conversation
from clearcast.settings import load_settings

CONTEXT = EngineContext(models_dir=Path())


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> FloatAudio:
    """Half a minute of conversation between silences, not a whole number of frames long."""
    target = tmp_path_factory.mktemp("audio") / "sample.wav"
    made = prepare_sync(sample_conversation().audio, target, load_settings("local").audio)
    with Recording.open(made.path) as recording:
        speech = recording.read()
    pause = np.zeros(SAMPLE_RATE_HZ, np.float32)
    return np.concatenate([pause, speech, pause, speech[: 9 * SAMPLE_RATE_HZ + 77]])


@pytest.mark.parametrize("window_frames", [1, 7, 100, 1024])
@pytest.mark.parametrize("threshold", [0.3, 0.5])
def test_spans_equal_faster_whispers_whatever_the_window(
    sound: FloatAudio, window_frames: int, threshold: float
) -> None:
    from faster_whisper.vad import VadOptions, get_speech_timestamps

    expected = get_speech_timestamps(
        sound.copy(),
        VadOptions(
            threshold=threshold,
            min_silence_duration_ms=250,
            speech_pad_ms=30,
            min_speech_duration_ms=150,
        ),
    )
    options = {"threshold": threshold, "window_frames": window_frames}
    engine = make_engine(VoiceActivityEngine, "silero", options, CONTEXT)
    found = engine.detect(Recording.from_array(sound))
    samples = [(round(span.start_s * SAMPLE_RATE_HZ), round(span.end_s * SAMPLE_RATE_HZ)) for span in found]
    assert samples == [(span["start"], span["end"]) for span in expected]
    assert len(samples) >= 2


@pytest.mark.parametrize("seconds", [0.0, 0.01, 3.0])
def test_silence_holds_no_speech(seconds: float) -> None:
    engine = make_engine(VoiceActivityEngine, "silero", {}, CONTEXT)
    silence = np.zeros(round(seconds * SAMPLE_RATE_HZ), np.float32)
    assert engine.detect(Recording.from_array(silence)) == ()
