"""Resemblyzer: what the package itself gives, in batches."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from clearcast.audio.recording import SAMPLE_RATE_HZ, Recording
from clearcast.audio.sandbox import prepare_sync
from clearcast.engines.embed._voice_encoder import mel_frames, partial_frames
from clearcast.engines.embed.contract import EmbeddingEngine
from clearcast.engines.embed.resemblyzer import MIN_COVERAGE, PARTIALS_PER_S, levelled
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


@pytest.mark.parametrize("samples", [400, 25_440, 25_600, 50_077, 2_080_005])
def test_frames_and_their_windows_are_the_packages_own(samples: int) -> None:
    from resemblyzer import VoiceEncoder
    from resemblyzer.audio import wav_to_mel_spectrogram

    sound = np.random.default_rng(samples).standard_normal(samples).astype(np.float32) * np.float32(0.03)
    expected = wav_to_mel_spectrogram(sound)
    found = mel_frames(sound)
    assert (found.shape, found.dtype) == (expected.shape, expected.dtype)
    assert np.abs(found - expected).max() < 1e-6 * expected.max()
    windows = VoiceEncoder.compute_partial_slices(samples, PARTIALS_PER_S, MIN_COVERAGE)[1]
    assert partial_frames(samples, PARTIALS_PER_S, MIN_COVERAGE) == windows


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
