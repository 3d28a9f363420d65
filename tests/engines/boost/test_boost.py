"""What every booster promises, for files and for live sound."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import FrozenInstanceError
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.signal import resample_poly

from clearcast.audio.chunk import FloatSamples
from clearcast.audio.loudness import LoudnessMeter
from clearcast.audio.sound import SoundReader, SoundWriter, prepare_sound_sync
from clearcast.engines.boost.contract import BoostEngine, BoostOptions, BoostReport
from clearcast.engines.engine import Progress, engine_names, ignore_progress
from clearcast.errors import Cancelled, OptionInvalid
from clearcast.settings import load_settings

RATE_HZ = 16_000


@pytest.fixture(scope="module", params=engine_names("boost"))
def booster(request: pytest.FixtureRequest, loaded_engine: Callable[..., Any]) -> BoostEngine:
    return loaded_engine(BoostEngine, request.param)


def boosted(
    booster: BoostEngine,
    samples: FloatSamples,
    options: BoostOptions,
    folder: Path,
    rate_hz: int = RATE_HZ,
    progress: Progress = ignore_progress,
) -> tuple[FloatSamples, BoostReport]:
    source, target = folder / "source.wav", folder / "target.wav"
    with SoundWriter(source, rate_hz, samples.shape[1]) as writer:
        writer.write(samples)
    with SoundReader.open(source) as reader, SoundWriter(target, rate_hz, samples.shape[1]) as writer:
        report = booster.boost(reader, writer, options, progress)
    with SoundReader.open(target) as made:
        return made.read(), report


def talk(duration_s: float = 8.0, level: float = 0.05, channels: int = 1, seed: int = 0) -> FloatSamples:
    """Something like speech: bursts of noise of changing level, with pauses of faint noise."""
    rng = np.random.default_rng(seed)
    count = round(duration_s * RATE_HZ)
    syllables = rng.exponential(1.0, count // 2000 + 1).repeat(2000)[:count]
    phrases = ((np.arange(count) // (RATE_HZ * 3 // 2)) % 2 == 0) + 0.001
    wave = rng.standard_normal((count, channels)) * (level * syllables * phrases)[:, np.newaxis]
    return wave.astype(np.float32)


def true_peak_db(samples: FloatSamples) -> float:
    louder = resample_poly(samples.astype(np.float64), 8, 1, axis=0)
    return float(20.0 * np.log10(np.abs(louder).max()))


def loudness(samples: FloatSamples, rate_hz: int = RATE_HZ) -> float:
    meter = LoudnessMeter(rate_hz, samples.shape[1])
    meter.add(samples)
    found = meter.result().integrated_lufs
    assert found is not None
    return found


@settings(max_examples=6, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    target_lufs=st.sampled_from([-14.0, -16.0, -23.0, -30.5]),
    level=st.floats(0.002, 0.5),
    channels=st.integers(1, 2),
    seed=st.integers(0, 99),
)
def test_the_target_is_reached_below_the_ceiling(
    booster: BoostEngine, tmp_path: Path, target_lufs: float, level: float, channels: int, seed: int
) -> None:
    samples = talk(level=level, channels=channels, seed=seed)
    found, report = boosted(booster, samples, BoostOptions(target_lufs=target_lufs), tmp_path)
    assert found.shape == samples.shape
    assert true_peak_db(found) <= -1.0
    assert report.after.clipped_samples == 0
    assert report.after.integrated_lufs == pytest.approx(loudness(found), abs=0.01)
    if "target_not_reached" not in report.warnings:
        assert loudness(found) == pytest.approx(target_lufs, abs=0.2)
    else:
        assert report.deepest_reduction_db > 12.0


def test_real_speech_reaches_its_target(booster: BoostEngine, shared_audio: Path, tmp_path: Path) -> None:
    sources = [*sorted((shared_audio / "noisy").glob("*_snr5.flac")), shared_audio / "music/backing.flac"]
    for source, target_lufs in zip(sources, (-14.0, -16.0, -23.0, -16.0, -14.0), strict=False):
        prepared = prepare_sound_sync(source, tmp_path / "real.wav", load_settings("local").audio)
        with SoundReader.open(prepared.path) as sound:
            samples = sound.read()
        options = BoostOptions(target_lufs=target_lufs)
        found, report = boosted(booster, samples, options, tmp_path, prepared.sample_rate_hz)
        assert report.warnings == ()
        assert loudness(found, prepared.sample_rate_hz) == pytest.approx(target_lufs, abs=0.2)
        assert true_peak_db(found) <= -1.0


def test_quiet_sound_gets_exactly_the_factor_asked_for(booster: BoostEngine, tmp_path: Path) -> None:
    samples = talk(level=0.002)
    for mode, factor in (("2x", 2.0), ("3x", 3.0), ("4x", 4.0), ("5x", 5.0)):
        found, report = boosted(booster, samples, BoostOptions(mode=mode), tmp_path)  # type: ignore[arg-type]
        np.testing.assert_allclose(found, samples * factor, rtol=1e-5)
        assert report.gain_db == pytest.approx(20.0 * np.log10(factor))
        assert report.deepest_reduction_db == 0.0
        assert report.compression_ratio == 1.0


def test_loud_sound_is_limited_and_the_report_says_by_how_much(
    booster: BoostEngine, tmp_path: Path
) -> None:
    found, report = boosted(booster, talk(level=0.3), BoostOptions(mode="5x"), tmp_path)
    assert true_peak_db(found) <= -1.0
    assert report.deepest_reduction_db > 6.0
    assert report.after.true_peak_dbtp is not None
    assert report.after.true_peak_dbtp <= -1.0
    assert report.provenance == booster.provenance
    with pytest.raises(FrozenInstanceError):
        report.gain_db = 0.0  # type: ignore[misc]


@pytest.mark.parametrize("count", [0, 1, 100, 5 * RATE_HZ])
def test_silence_stays_silent_and_is_told(booster: BoostEngine, tmp_path: Path, count: int) -> None:
    samples = np.zeros((count, 2), np.float32)
    found, report = boosted(booster, samples, BoostOptions(), tmp_path)
    np.testing.assert_array_equal(found, samples)
    assert report.warnings == ("silent",)


def test_the_stereo_image_stays(booster: BoostEngine, tmp_path: Path) -> None:
    samples = talk(level=0.3, channels=1) * np.array([[1.0, 0.25]], np.float32)
    found, _ = boosted(booster, samples, BoostOptions(target_lufs=-14.0), tmp_path)
    np.testing.assert_allclose(found[:, 1], found[:, 0] * 0.25, atol=1e-5)


def test_progress_goes_to_the_end_and_may_stop_the_work(booster: BoostEngine, tmp_path: Path) -> None:
    told: list[float] = []
    boosted(booster, talk(level=0.3), BoostOptions(target_lufs=-14.0), tmp_path, progress=told.append)
    assert told == sorted(told)
    assert told[-1] == 1.0

    def stop(_fraction: float) -> None:
        raise Cancelled("Enough.")

    with pytest.raises(Cancelled):
        boosted(booster, talk(), BoostOptions(), tmp_path, progress=stop)


@pytest.mark.parametrize(
    "wrong",
    [{"mode": "6x"}, {"mode": "2x", "target_lufs": -16.0}, {"target_lufs": 0.0}, {"target_lufs": -41}],
)
def test_wrong_options_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(OptionInvalid):
        BoostOptions(**wrong)


# ---- live ---------------------------------------------------------------------------------------------


def live(booster: BoostEngine, samples: FloatSamples, options: BoostOptions, block: int) -> FloatSamples:
    stream = booster.open_stream(RATE_HZ, samples.shape[1], options)
    parts = []
    for start in range(0, len(samples), block):
        pushed = samples[start : start + block]
        parts.append(stream.push(pushed))
        assert len(parts[-1]) == len(pushed)
    parts.append(stream.flush())
    assert len(parts[-1]) == stream.delay_samples
    return np.concatenate(parts)


def test_live_sound_comes_out_exactly_the_stated_delay_later(booster: BoostEngine) -> None:
    samples = talk(level=0.002)
    delay = booster.open_stream(RATE_HZ, 1).delay_samples
    assert delay <= 0.01 * RATE_HZ
    found = live(booster, samples, BoostOptions(mode="3x"), 160)
    np.testing.assert_array_equal(found[:delay], 0.0)
    np.testing.assert_allclose(found[delay:], 3.0 * samples, rtol=1e-5)


@settings(max_examples=4)
@given(block=st.integers(20, 5000))
def test_the_size_of_live_blocks_changes_nothing(booster: BoostEngine, block: int) -> None:
    samples = talk(3.0, level=0.2, channels=2)
    whole = live(booster, samples, BoostOptions(), len(samples))
    np.testing.assert_allclose(live(booster, samples, BoostOptions(), block), whole, atol=1e-5)


def test_live_speech_comes_near_the_target_and_stays_below_the_ceiling(booster: BoostEngine) -> None:
    for level in (0.005, 0.03, 0.3):
        found = live(booster, talk(40.0, level=level), BoostOptions(target_lufs=-18.0), 320)
        assert true_peak_db(found) <= -1.0
        assert loudness(found[20 * RATE_HZ :]) == pytest.approx(-18.0, abs=2.0)


def test_live_gain_does_not_rise_in_pauses(booster: BoostEngine) -> None:
    rng = np.random.default_rng(0)
    samples = rng.standard_normal((20 * RATE_HZ, 1)).astype(np.float32) * np.float32(0.02)
    samples[8 * RATE_HZ :] *= 0.02  # room noise only
    delay = booster.open_stream(RATE_HZ, 1).delay_samples
    found = live(booster, samples, BoostOptions(target_lufs=-16.0), 320)[delay:]
    gain = np.abs(found).reshape(-1, RATE_HZ).mean(axis=1) / np.abs(samples).reshape(-1, RATE_HZ).mean(
        axis=1
    )
    np.testing.assert_allclose(gain[9:], gain[9], rtol=0.02)
    assert gain[9] == pytest.approx(gain[7], rel=0.15)


def test_live_silence_stays_silent(booster: BoostEngine) -> None:
    assert not live(booster, np.zeros((RATE_HZ, 2), np.float32), BoostOptions(), 320).any()
