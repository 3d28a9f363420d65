"""Rates are changed as julius changes them, in blocks of any size."""

from __future__ import annotations

import julius
import numpy as np
import numpy.typing as npt
import pytest
import torch

from clearcast.audio.sinc import Resampler, resample

RATES = [(44_100, 8_000), (8_000, 44_100), (16_000, 8_000), (8_000, 16_000), (48_000, 44_100)]
ODD_RATES = (7_919, 8_000)  # thousands of phases, which take julius twenty seconds


def noise(count: int, channels: int = 2) -> npt.NDArray[np.float32]:
    return (0.1 * np.random.default_rng(0).standard_normal((count, channels))).astype(np.float32)


@pytest.mark.parametrize(("from_hz", "to_hz"), RATES)
def test_a_signal_at_hand_equals_julius(from_hz: int, to_hz: int) -> None:
    samples = noise(5_003)
    theirs = julius.resample_frac(torch.from_numpy(samples.T.copy()), from_hz, to_hz).numpy().T
    ours = resample(samples, from_hz, to_hz)
    assert ours.dtype == np.float32
    assert ours.shape == theirs.shape
    np.testing.assert_allclose(ours, theirs, atol=2e-5)


@pytest.mark.parametrize(("from_hz", "to_hz"), [*RATES, ODD_RATES])
def test_blocks_of_any_size_give_the_same(from_hz: int, to_hz: int) -> None:
    samples = noise(5_003)
    resampler = Resampler(from_hz, to_hz)
    assert resampler.is_empty
    parts = [resampler.push(samples[start : start + 331]) for start in range(0, len(samples), 331)]
    count = resampler.output_samples(len(samples))
    parts.append(resampler.finish(count))
    found = np.concatenate(parts)
    assert len(found) == count
    np.testing.assert_allclose(found, resample(samples, from_hz, to_hz), atol=1e-6)


@pytest.mark.parametrize("count", [0, 1, 900, 2_003, 2_100])
def test_as_many_samples_come_out_as_are_asked_for(count: int) -> None:
    samples = noise(2_000)
    found = resample(samples, 8_000, 8_001, count)
    assert found.shape == (count, 2)
    np.testing.assert_allclose(
        found[:1_000], resample(samples, 8_000, 8_001)[: min(count, 1_000)], atol=1e-6
    )


def test_an_equal_rate_changes_nothing() -> None:
    samples = noise(100)
    assert resample(samples, 8_000, 8_000) is samples


def test_without_sound_there_is_nothing_to_resample() -> None:
    with pytest.raises(ValueError, match="nothing came in"):
        resample(noise(0), 16_000, 8_000)
