"""Resemblyzer: what the package itself gives, in batches."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from clearcast.audio.recording import SAMPLE_RATE_HZ, Recording
from clearcast.audio.sandbox import prepare_sync
from clearcast.engines.embed.contract import EmbeddingEngine
from clearcast.engines.embed.resemblyzer import levelled
from clearcast.engines.engine import EngineContext, make_engine
from clearcast.errors import SpeechTooShort
from clearcast.sample import sample_conversation
from clearcast.settings import load_settings


@pytest.fixture(scope="module")
def engine() -> EmbeddingEngine:
    return make_engine(EmbeddingEngine, "resemblyzer", {}, EngineContext(models_dir=Path()))


@pytest.fixture(scope="module")
def utterances(tmp_path_factory: pytest.TempPathFactory) -> list[np.ndarray]:
    """Stretches of unequal length of the sample conversation."""
    target = tmp_path_factory.mktemp("audio") / "sample.wav"
    made = prepare_sync(sample_conversation().audio, target, load_settings("local").audio)
    with Recording.open(made.path) as recording:
        return [recording.read(a, b) for a, b in ((10.6, 14.4), (14.6, 17.8), (22.0, 22.9))]


def test_a_batch_equals_the_package_one_by_one(
    engine: EmbeddingEngine, utterances: list[np.ndarray]
) -> None:
    from resemblyzer import VoiceEncoder

    package = VoiceEncoder("cpu", verbose=False)
    expected = np.stack([package.embed_utterance(levelled(sound)) for sound in utterances])
    found = engine.embed(utterances)
    assert found.dtype == np.float32
    assert np.abs(found - expected).max() < 1e-5
    assert np.linalg.norm(found, axis=1) == pytest.approx(1.0, abs=1e-5)


def test_loudness_does_not_change_a_voiceprint(
    engine: EmbeddingEngine, utterances: list[np.ndarray]
) -> None:
    loud, quiet = engine.embed([utterances[0], utterances[0] * np.float32(0.05)])
    assert float(loud @ quiet) > 0.9999


def test_too_little_speech_is_refused(engine: EmbeddingEngine) -> None:
    enough = np.ones(SAMPLE_RATE_HZ, np.float32)
    with pytest.raises(SpeechTooShort) as caught:
        engine.embed([enough, enough[: SAMPLE_RATE_HZ // 10]])
    assert caught.value.fields["index"] == 1


def test_no_utterances_give_no_voiceprints(engine: EmbeddingEngine) -> None:
    assert engine.embed([]).shape == (0, 256)
