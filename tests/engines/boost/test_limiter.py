"""The limiter never lets a peak through, moves all channels together, and does not swell in pauses."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import resample_poly

from clearcast.audio.chunk import FloatSamples
from clearcast.engines.boost._compressor import Compression, compression_for
from clearcast.engines.boost._limiter import Dynamics, GainCurve

CEILING_DB = -1.0


def limited(
    samples: FloatSamples,
    rate_hz: int = 48_000,
    block: int = 5000,
    gate_db: float = -60.0,
    compression: Compression | None = None,
) -> FloatSamples:
    dynamics = Dynamics(rate_hz, samples.shape[1], CEILING_DB, gate_db, compression)
    parts = [dynamics.push(samples[start : start + block]) for start in range(0, len(samples), block)]
    return np.concatenate([*parts, dynamics.finish()])


def true_peak_db(samples: FloatSamples) -> float:
    louder = resample_poly(samples.astype(np.float64), 8, 1, axis=0)
    return float(20.0 * np.log10(np.abs(louder).max()))


def wild(kind: str, rng: np.random.Generator, count: int) -> FloatSamples:
    time = np.arange(count)
    waves = {
        "noise": rng.standard_normal(count),
        "signs": 2.0 * np.sign(rng.standard_normal(count)),
        "quarter of the rate": 4.0 * np.sin(np.pi / 2 * time + np.pi / 4),
        "bursts": 6.0
        * rng.standard_normal(count)
        * (rng.random(count // 500 + 1) < 0.2).repeat(500)[:count],
        "clicks": 20.0 * (rng.random(count) < 0.001),
        "high": 5.0 * np.sin(0.93 * np.pi * time + 0.3) * np.sin(0.001 * time),
        "bass": 5.0 * np.sin(0.004 * time),
    }
    return waves[kind].astype(np.float32)[:, np.newaxis]


@settings(max_examples=20)
@given(
    kind=st.sampled_from(["noise", "signs", "quarter of the rate", "bursts", "clicks", "high", "bass"]),
    seed=st.integers(0, 1000),
    rate_hz=st.sampled_from([8_000, 16_000, 44_100, 48_000]),
    gain=st.floats(0.5, 20.0),
    compressed=st.booleans(),
)
def test_no_true_peak_is_above_the_ceiling(
    kind: str, seed: int, rate_hz: int, gain: float, compressed: bool
) -> None:
    samples = wild(kind, np.random.default_rng(seed), 9000) * np.float32(gain)
    compression = compression_for(12.0, CEILING_DB) if compressed else None
    found = limited(samples, rate_hz, compression=compression)
    assert len(found) == len(samples)
    if found.any():
        assert true_peak_db(found) <= CEILING_DB


@settings(max_examples=10)
@given(block=st.integers(1, 4000), compressed=st.booleans())
def test_the_size_of_blocks_changes_nothing(block: int, compressed: bool) -> None:
    rng = np.random.default_rng(3)
    samples = (0.8 * rng.standard_normal((4000, 2))).astype(np.float32)
    compression = compression_for(10.0, CEILING_DB) if compressed else None
    whole = limited(samples, block=4000, compression=compression)
    np.testing.assert_allclose(limited(samples, block=block, compression=compression), whole, atol=1e-6)


def test_sound_below_the_ceiling_passes_bit_by_bit() -> None:
    samples = (0.05 * np.random.default_rng(0).standard_normal((20_000, 2))).astype(np.float32)
    np.testing.assert_array_equal(limited(samples), samples)


def test_all_channels_get_the_same_gain() -> None:
    samples = np.random.default_rng(1).standard_normal((20_000, 2)).astype(np.float32)
    samples[:, 1] *= 0.1
    found = limited(samples)
    gains = found[np.abs(samples).min(axis=1) > 1e-3] / samples[np.abs(samples).min(axis=1) > 1e-3]
    np.testing.assert_allclose(gains[:, 0], gains[:, 1], rtol=1e-5)
    assert gains.min() < 0.5


def test_the_gain_does_not_rise_in_pauses() -> None:
    rng = np.random.default_rng(2)
    samples = rng.standard_normal((3 * 48_000, 1)).astype(np.float32)
    samples[48_000:] *= 0.001  # −60 dB, for two seconds
    found = limited(samples, gate_db=-40.0, compression=compression_for(10.0, CEILING_DB))
    gain_db = 20.0 * np.log10(np.abs(found[49_000:]).mean() / np.abs(samples[49_000:]).mean())
    late_db = 20.0 * np.log10(np.abs(found[-4800:]).mean() / np.abs(samples[-4800:]).mean())
    assert gain_db < -6.0
    assert late_db == pytest.approx(gain_db, abs=0.01)


def test_the_output_is_never_farther_behind_than_stated() -> None:
    for compression in (None, compression_for(10.0, CEILING_DB)):
        dynamics = Dynamics(44_100, 1, CEILING_DB, -60.0, compression)
        given_out = 0
        for taken in range(1, 3000):
            given_out += len(dynamics.push(np.ones((1, 1), np.float32)))
            assert taken - given_out <= dynamics.delay_samples


@settings(max_examples=50)
@given(
    wanted=st.lists(st.floats(-40.0, 0.0), min_size=20, max_size=80),
    is_open=st.lists(st.booleans(), min_size=80, max_size=80),
    ahead=st.integers(2, 10),
)
def test_the_gain_is_never_above_what_is_wanted(
    wanted: list[float], is_open: list[bool], ahead: int
) -> None:
    curve = GainCurve(ahead, 0.05)
    borders = curve.push(np.array(wanted), np.array(is_open[: len(wanted)]))
    assert len(borders) == len(wanted) - ahead + 1
    steps = np.maximum(borders[:-1], borders[1:])
    assert (steps <= np.array(wanted)[: len(steps)] + 1e-9).all()


def test_compression_comes_in_only_when_the_limiter_would_be_heard() -> None:
    assert compression_for(CEILING_DB + 8.0, CEILING_DB) is None
    little, much = compression_for(CEILING_DB + 10.0, CEILING_DB), compression_for(30.0, CEILING_DB)
    assert little is not None
    assert much is not None
    assert 1.0 < little.ratio < much.ratio <= 4.0
    levels = np.linspace(-60.0, 30.0, 500)
    louder = levels + much.gain_db(levels)
    assert (np.diff(louder) > 0.0).all()  # what was louder stays louder
    np.testing.assert_array_equal(much.gain_db(levels[levels < much.lowest_db]), 0.0)
