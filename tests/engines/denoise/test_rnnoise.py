from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pesq import pesq

from clearcast.audio.sound import SoundArray
from clearcast.engines.denoise.contract import DenoiseEngine, DenoiseOptions
from clearcast.engines.engine import EngineContext, make_engine
from clearcast.errors import OptionInvalid
from clearcast.testing.media import speech_like

Cleaned = Callable[..., SoundArray]


@pytest.fixture(scope="module")
def rnnoise() -> DenoiseEngine:
    engine = make_engine(DenoiseEngine, "rnnoise", {}, EngineContext(Path("nowhere")))
    engine.load()
    return engine


def si_sdr_db(reference: Any, estimate: Any) -> float:
    """Scale-invariant signal-to-distortion ratio (Le Roux et al., "SDR – half-baked or well done?")."""
    reference, estimate = reference - reference.mean(), estimate - estimate.mean()
    target = (estimate @ reference) / (reference @ reference) * reference
    noise = estimate - target
    return float(10 * np.log10((target @ target) / (noise @ noise)))


def test_noisy_speech_gets_better_and_none_of_it_worse(
    rnnoise: DenoiseEngine, cleaned: Cleaned, noisy_pairs: list[tuple[str, SoundArray, SoundArray]]
) -> None:
    gains_db, scores, before = [], [], []
    for name, noisy, clean in noisy_pairs:
        result = cleaned(rnnoise, noisy, 16_000)
        gains_db.append(si_sdr_db(clean[:, 0], result[:, 0]) - si_sdr_db(clean[:, 0], noisy[:, 0]))
        assert gains_db[-1] >= -0.3, name
        scores.append(pesq(16_000, clean[:, 0], result[:, 0], "wb"))
        before.append(pesq(16_000, clean[:, 0], noisy[:, 0], "wb"))
    assert np.mean(gains_db) >= 7.3
    assert np.mean(scores) >= np.mean(before) + 0.55


def test_clean_speech_is_left_nearly_alone(
    rnnoise: DenoiseEngine, cleaned: Cleaned, noisy_pairs: list[tuple[str, SoundArray, SoundArray]]
) -> None:
    for name, _, clean in noisy_pairs:
        with_care = si_sdr_db(clean[:, 0], cleaned(rnnoise, clean, 16_000)[:, 0])
        plain = si_sdr_db(clean[:, 0], cleaned(rnnoise, clean, 16_000, DenoiseOptions(mix=1.0))[:, 0])
        assert with_care > plain + 1.0, name
        assert with_care > 11.0, name


def test_a_voice_stays_where_it_stood(
    rnnoise: DenoiseEngine, cleaned: Cleaned, noisy_pairs: list[tuple[str, SoundArray, SoundArray]]
) -> None:
    _, _, clean = max(noisy_pairs, key=lambda pair: len(pair[1]))
    noise = np.random.default_rng(0).standard_normal((len(clean), 2)).astype(np.float32) * 0.003
    stereo = clean * np.array([[0.9, 0.3]], np.float32) + noise
    result = cleaned(rnnoise, stereo, 16_000)
    loud = np.abs(clean[:, 0]) > 0.1
    levels = [10 * np.log10(np.mean(np.square(sound[loud]), axis=0)) for sound in (stereo, result)]
    assert levels[1][0] - levels[1][1] == pytest.approx(levels[0][0] - levels[0][1], abs=1.0)


def test_an_attenuation_limit_leaves_that_much_noise(rnnoise: DenoiseEngine, cleaned: Cleaned) -> None:
    noise = np.random.default_rng(0).standard_normal((48_000 * 3, 1)).astype(np.float32) * 0.05
    limited = cleaned(rnnoise, noise, options=DenoiseOptions(attenuation_limit_db=12.0, mix=1.0))
    taken_db = 10 * np.log10(np.mean(noise[48_000:] ** 2) / np.mean(limited[48_000:] ** 2))
    assert taken_db == pytest.approx(12.0, abs=1.0)


def test_there_is_no_post_filter(rnnoise: DenoiseEngine) -> None:
    with pytest.raises(OptionInvalid):
        rnnoise.open_stream(48_000, 1, DenoiseOptions(post_filter=True))


def test_many_streams_do_not_mix(rnnoise: DenoiseEngine, cleaned: Cleaned) -> None:
    sounds = [speech_like(0.3, 48_000, seed=seed) for seed in range(3)]
    alone = [cleaned(rnnoise, sound, sizes=(480,)) for sound in sounds]
    streams = [rnnoise.open_stream(48_000, 1) for _ in sounds]
    parts: list[list[SoundArray]] = [[] for _ in sounds]
    for at in range(0, len(sounds[0]), 480):
        for stream, sound, out in zip(streams, sounds, parts, strict=True):
            out.append(stream.push(sound[at : at + 480]))
    for stream, out, expected in zip(streams, parts, alone, strict=True):
        assert np.array_equal(np.concatenate([*out, stream.flush()]), expected)
