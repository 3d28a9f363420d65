"""Our loudness meter on the test signals of EBU Tech 3341 and 3342, and beside another one on speech."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clearcast.audio.chunk import FloatSamples
from clearcast.audio.loudness import Loudness, LoudnessMeter, k_weighting
from clearcast.audio.sound import SoundReader, prepare_sound_sync
from clearcast.settings import load_settings

RATE_HZ = 48_000


def tone(*parts: tuple[float, float], frequency_hz: float = 1000.0, rate_hz: int = RATE_HZ) -> FloatSamples:
    """A stereo sine whose peak stands at each level (dBFS) for so many seconds, its phase unbroken."""
    levels = np.concatenate([np.full(round(rate_hz * duration_s), level) for level, duration_s in parts])
    time_s = np.arange(len(levels)) / rate_hz
    one = 10.0 ** (levels / 20.0) * np.sin(2.0 * np.pi * frequency_hz * time_s)
    return np.repeat(one[:, np.newaxis], 2, axis=1).astype(np.float32)


def measured(samples: FloatSamples, rate_hz: int = RATE_HZ, block: int = 10_000) -> Loudness:
    meter = LoudnessMeter(rate_hz, samples.shape[1])
    for start in range(0, len(samples), block):
        meter.add(samples[start : start + block])
    return meter.result()


def test_the_filters_at_48_khz_are_those_the_standard_prints() -> None:
    shelf, bass = k_weighting(48_000)
    np.testing.assert_allclose(
        shelf,
        [1.53512485958697, -2.69169618940638, 1.19839281085285, 1, -1.69065929318241, 0.73248077421585],
        atol=1e-10,
    )
    np.testing.assert_allclose(bass, [1, -2, 1, 1, -1.99004745483398, 0.99007225036621], atol=1e-10)


@pytest.mark.parametrize(
    ("parts", "expected_lufs"),
    [
        ([(-23, 20)], -23.0),
        ([(-33, 20)], -33.0),
        ([(-36, 10), (-23, 60), (-36, 10)], -23.0),
        ([(-72, 10), (-36, 10), (-23, 60), (-36, 10), (-72, 10)], -23.0),
        ([(-26, 20), (-20, 20.1), (-26, 20)], -23.0),
    ],
    ids=["case 1", "case 2", "case 3", "case 4", "case 5"],
)
@pytest.mark.parametrize("rate_hz", [48_000, 44_100, 11_025])
def test_integrated_loudness_of_tech_3341(
    parts: list[tuple[float, float]], expected_lufs: float, rate_hz: int
) -> None:
    found = measured(tone(*parts, rate_hz=rate_hz), rate_hz).integrated_lufs
    # 11 kHz is too low for the standard's filter: the tone's gain is off by a little.
    assert found == pytest.approx(expected_lufs, abs=0.1 if rate_hz > 40_000 else 0.2)


def test_surround_channels_count_more_and_the_bass_channel_nothing() -> None:
    """Case 6: 5.0 sound with −28 dBFS in front, −24 in the centre, −30 behind; here with a loud bass."""
    levels = (-28.0, -28.0, -24.0, 0.0, -30.0, -30.0)
    one = tone((0.0, 20.0))[:, 0]
    samples = np.stack([np.float32(10.0 ** (level / 20.0)) * one for level in levels], axis=1)
    assert measured(samples).integrated_lufs == pytest.approx(-23.0, abs=0.1)


@pytest.mark.parametrize(
    ("parts", "expected_lu"),
    [
        ([(-20, 20), (-30, 20)], 10.0),
        ([(-20, 20), (-15, 20)], 5.0),
        ([(-40, 20), (-20, 20)], 20.0),
        ([(-50, 20), (-35, 20), (-20, 20), (-35, 20), (-50, 20)], 15.0),
    ],
    ids=["case 1", "case 2", "case 3", "case 4"],
)
def test_loudness_range_of_tech_3342(parts: list[tuple[float, float]], expected_lu: float) -> None:
    assert measured(tone(*parts)).loudness_range_lu == pytest.approx(expected_lu, abs=1.0)
    assert measured(tone(*parts)).loudness_range_lu == pytest.approx(expected_lu, abs=0.1)


@pytest.mark.parametrize(
    ("divisor", "phase_degrees", "level_db"),
    [(4, 0, -6.0), (4, 45, -6.0), (6, 60, -6.0), (8, 67.5, -6.0), (4, 45, 3.0)],
    ids=["case 15", "case 16", "case 17", "case 18", "case 19"],
)
def test_true_peak_of_tech_3341(divisor: int, phase_degrees: float, level_db: float) -> None:
    count = np.arange(RATE_HZ)
    wave = np.sin(2.0 * np.pi * count / divisor + np.radians(phase_degrees)) * 10.0 ** (level_db / 20.0)
    fade = np.minimum(1.0, np.minimum(count, count[::-1]) / 2000.0)
    samples = (wave * fade).astype(np.float32)[:, np.newaxis]
    found = measured(samples).true_peak_dbtp
    assert found is not None
    assert level_db - 0.4 <= found <= level_db + 0.2


def test_loudness_of_real_speech_is_that_of_another_meter(shared_audio: Path, tmp_path: Path) -> None:
    import pyloudnorm

    limits = load_settings("local").audio
    for name in ("meetings/m1_2spk_a.opus", "noisy/n05_p234_003_snr15.flac", "music/voice_over_loop.flac"):
        if not (shared_audio / name).is_file():
            name = name.replace(".opus", ".flac")  # noqa: PLW2901
        prepared = prepare_sound_sync(shared_audio / name, tmp_path / "sound.wav", limits)
        with SoundReader.open(prepared.path) as sound:
            samples, rate_hz = sound.read(), sound.sample_rate_hz
        # Its "DeMan" filters are the standard's for any rate.
        other = pyloudnorm.Meter(rate_hz, filter_class="DeMan").integrated_loudness(samples)
        assert measured(samples, rate_hz).integrated_lufs == pytest.approx(other, abs=0.05)


@settings(max_examples=8)
@given(block=st.integers(1, 60_000), rate_hz=st.sampled_from([8_000, 11_025, 44_100]))
def test_the_size_of_blocks_changes_nothing(block: int, rate_hz: int) -> None:
    rng = np.random.default_rng(0)
    samples = (0.1 * rng.standard_normal((4 * rate_hz + 123, 2))).astype(np.float32)
    whole = measured(samples, rate_hz, len(samples))
    parts = measured(samples, rate_hz, max(block, 200))
    assert parts.integrated_lufs == pytest.approx(whole.integrated_lufs, abs=1e-6)
    assert parts.true_peak_dbtp == pytest.approx(whole.true_peak_dbtp, abs=1e-4)
    assert parts.loudness_range_lu == pytest.approx(whole.loudness_range_lu, abs=0.02)


@pytest.mark.parametrize("duration_s", [0.0, 0.01, 1.0])
def test_silence_has_no_loudness(duration_s: float) -> None:
    samples = np.zeros((round(RATE_HZ * duration_s), 2), np.float32)
    assert measured(samples) == Loudness(None, 0.0, None, 0)


def test_sound_shorter_than_a_block_is_measured_all_the_same() -> None:
    assert measured(tone((-23, 0.25))).integrated_lufs == pytest.approx(-23.0, abs=0.5)


def test_samples_at_the_ends_of_the_range_are_counted() -> None:
    samples = np.array([[1.0], [-1.0], [0.5], [32767 / 32768], [1.5]], np.float32)
    assert measured(samples).clipped_samples == 4
