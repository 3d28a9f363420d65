"""What the keyword network sees."""

from __future__ import annotations

import numpy as np
import pytest

from clearcast.audio.recording import SAMPLE_RATE_HZ
from clearcast.engines.classify._features import (
    COEFFICIENTS,
    HOP_SAMPLES,
    MEL_BANDS,
    mel_frames,
    network_input,
    num_frames,
)


def tone(frequency_hz: float, length: int = SAMPLE_RATE_HZ) -> np.ndarray:
    times_s = np.arange(length) / SAMPLE_RATE_HZ
    return (0.1 * np.sin(2 * np.pi * frequency_hz * times_s)).astype(np.float32)


@pytest.mark.parametrize(
    ("samples", "frames"), [(0, 0), (399, 0), (400, 1), (559, 1), (560, 2), (16_000, 98)]
)
def test_only_whole_frames_count(samples: int, frames: int) -> None:
    found = mel_frames(np.zeros(samples, np.float32))
    assert found.shape == (frames, MEL_BANDS) == (num_frames(samples), MEL_BANDS)


def test_a_higher_tone_stands_in_a_higher_band() -> None:
    loudest = [int(mel_frames(tone(hz)).mean(axis=0).argmax()) for hz in (150, 600, 1500, 4000, 7000)]
    assert loudest == sorted(set(loudest))


def test_frames_of_pieces_are_those_of_the_whole() -> None:
    samples = np.random.default_rng(0).standard_normal(8000).astype(np.float32)
    whole = mel_frames(samples)
    pieces = [
        mel_frames(samples[start * HOP_SAMPLES : start * HOP_SAMPLES + 400]) for start in range(len(whole))
    ]
    np.testing.assert_allclose(np.concatenate(pieces), whole, atol=1e-3)


def test_every_band_hears_something() -> None:
    noise = np.random.default_rng(0).standard_normal(SAMPLE_RATE_HZ).astype(np.float32)
    assert mel_frames(noise).min() > -60.0


def test_loudness_and_channel_are_not_seen() -> None:
    frames = mel_frames(np.random.default_rng(0).standard_normal(8000).astype(np.float32))
    coloured = frames + np.linspace(-10.0, 10.0, MEL_BANDS, dtype=np.float32) - 20.0
    np.testing.assert_allclose(network_input(coloured, 120), network_input(frames, 120), atol=1e-3)


def test_a_word_stands_in_the_middle_and_a_long_one_is_cut_on_both_sides() -> None:
    frames = mel_frames(np.random.default_rng(0).standard_normal(16_000).astype(np.float32))
    short = network_input(frames[:20], 120)
    assert short.shape == (COEFFICIENTS, 120)
    assert not short[:, :50].any() and not short[:, 70:].any() and short[:, 50:70].any()
    np.testing.assert_array_equal(network_input(frames, 40), network_input(frames[29:69], 40))


def test_nothing_and_digital_silence_are_no_trouble() -> None:
    assert not network_input(np.zeros((0, MEL_BANDS), np.float32), 120).any()
    assert np.isfinite(network_input(mel_frames(np.zeros(8000, np.float32)), 120)).all()
