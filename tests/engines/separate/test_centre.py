"""Centre masking: measurably better than the mix, the same for any blocks, and honest about mono."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clearcast.audio.chunk import FloatSamples
from clearcast.audio.sound import SoundReader, prepare_sound_sync
from clearcast.engines.engine import EngineContext, make_engine
from clearcast.engines.separate.centre import CentreMask
from clearcast.engines.separate.contract import SeparationEngine
from clearcast.errors import SeparationNeedsStereo
from clearcast.settings import load_settings

RATE_HZ = 16_000


@pytest.fixture
def centre(no_models: EngineContext) -> SeparationEngine:
    return make_engine(SeparationEngine, "centre", {}, no_models)


def sdr_db(truth: FloatSamples, found: FloatSamples) -> float:
    return float(10.0 * np.log10(np.sum(truth**2) / np.sum((truth - found) ** 2)))


def scene(duration_s: float = 3.0) -> tuple[FloatSamples, FloatSamples]:
    """(mix, its middle): harmonics in the middle, noises to the left and to the right."""
    time = np.arange(round(duration_s * RATE_HZ)) / RATE_HZ
    voice = sum(np.sin(2.0 * np.pi * 210.0 * k * time) / k for k in range(1, 15)) * 0.1
    sides = np.random.default_rng(0).standard_normal((len(time), 2)) * 0.1
    return (voice[:, np.newaxis] + sides).astype(np.float32), voice.astype(np.float32)


def test_the_shared_stereo_item_gains_five_decibels(
    separate: Any, centre: SeparationEngine, shared_audio: Path, tmp_path: Path
) -> None:
    sounds = {}
    for name in ("voice_over_loop", "voice"):
        source = shared_audio / "music" / f"{name}.flac"
        made = prepare_sound_sync(source, tmp_path / f"{name}.wav", load_settings("local").audio)
        with SoundReader.open(made.path) as sound:
            sounds[name], rate_hz = sound.read(), sound.sample_rate_hz
    found, _ = separate(centre, sounds["voice_over_loop"], rate_hz)
    truth = sounds["voice"][:, 0]
    before = sdr_db(truth, sounds["voice_over_loop"].mean(axis=1))
    assert sdr_db(truth, found["vocals"][:, 0]) - before >= 5.0


def test_what_stands_in_the_middle_is_found(separate: Any, centre: SeparationEngine) -> None:
    mix, middle = scene()
    found, report = separate(centre, mix, RATE_HZ)
    assert sdr_db(middle, found["vocals"][:, 0]) > sdr_db(middle, mix.mean(axis=1)) + 5.0
    np.testing.assert_array_equal(found["vocals"][:, 0], found["vocals"][:, 1])
    np.testing.assert_allclose(found["vocals"] + found["accompaniment"], mix, atol=1e-7)
    assert report.residual_db is not None
    assert report.residual_db < -120.0
    assert report.provenance.quality == "experimental"


@settings(max_examples=15)
@given(block=st.integers(1, 20_000), count=st.integers(1, 20_000))
def test_the_size_of_blocks_changes_nothing(block: int, count: int) -> None:
    mix = scene()[0][:count]

    def masked(size: int) -> FloatSamples:
        mask = CentreMask(RATE_HZ)
        parts = [mask.push(mix[start : start + size]) for start in range(0, len(mix), size)]
        return np.concatenate([*parts, mask.finish()])

    whole = masked(count)
    assert whole.shape == (count,)
    np.testing.assert_allclose(
        masked(max(block, count // 50 + 1)), whole, atol=1e-6
    )  # rounding of 32-bit floats


@pytest.mark.parametrize("channels", [1, 2])
def test_mono_is_refused_with_a_better_way(separate: Any, centre: SeparationEngine, channels: int) -> None:
    samples = np.repeat(scene(0.5)[1][:, np.newaxis], channels, axis=1)
    with pytest.raises(SeparationNeedsStereo) as caught:
        separate(centre, samples, RATE_HZ)
    assert caught.value.code == "separation_needs_stereo"
    assert "denoise" in (caught.value.hint or "")
