from __future__ import annotations

import numpy as np
import pytest

from clearcast.audio.level import LevelMeter


def measure(*blocks: np.ndarray) -> LevelMeter:
    meter = LevelMeter()
    for block in blocks:
        meter.add(block)
    return meter


def test_full_scale_sine_is_3_db_below_its_peak() -> None:
    sine = (np.sin(2 * np.pi * np.arange(16_000) / 160) * 32767).astype(np.int16)
    level = measure(sine[:5000], sine[5000:]).level()
    assert level.peak_dbfs == pytest.approx(0.0, abs=0.01)
    assert level.rms_dbfs == pytest.approx(-3.01, abs=0.01)
    assert level.clipped_samples == np.count_nonzero(np.abs(sine) == 32767)


def test_lowest_value_counts_as_peak_and_as_clipped() -> None:
    level = measure(np.array([-32768, 0, 0, 0], np.int16)).level()
    assert (level.peak_dbfs, level.clipped_samples) == (0.0, 1)


@pytest.mark.parametrize(("peak", "silent"), [(0, True), (3, True), (4, False), (1000, False)])
def test_dither_is_silence_and_whispers_are_not(peak: int, silent: bool) -> None:
    assert measure(np.array([0, peak, -peak], np.int16)).level().silent is silent


def test_nothing_has_no_level() -> None:
    assert measure(np.zeros(0, np.int16)).level().peak_dbfs is None
