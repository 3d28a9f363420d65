"""What every denoising engine promises; engines are found by file name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from clearcast.audio.sound import SoundArray, SoundReader, SoundWriter
from clearcast.engines.denoise.contract import DenoiseEngine, DenoiseOptions
from clearcast.engines.engine import engine_names
from clearcast.errors import Cancelled, OptionInvalid
from clearcast.testing.media import speech_like

Cleaned = Callable[..., SoundArray]


@pytest.fixture(params=engine_names("denoise"))
def engine(request: pytest.FixtureRequest, loaded_engine: Callable[..., Any]) -> DenoiseEngine:
    found: DenoiseEngine = loaded_engine(DenoiseEngine, request.param)
    return found


@pytest.mark.parametrize(
    ("sample_rate_hz", "channels"),
    [(8000, 1), (11_025, 1), (16_000, 2), (22_050, 1), (44_100, 3), (48_000, 1), (96_000, 2), (12_345, 1)],
)
def test_rate_channels_and_length_stay_and_the_delay_is_as_stated(
    engine: DenoiseEngine, cleaned: Cleaned, sample_rate_hz: int, channels: int
) -> None:
    samples = speech_like(0.7, sample_rate_hz, channels)[:-7]
    result = cleaned(engine, samples, sample_rate_hz, DenoiseOptions(), (sample_rate_hz // 100, 13, 0, 999))
    assert (result.shape, result.dtype) == (samples.shape, np.float32)
    assert np.isfinite(result).all()


@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sizes=st.lists(st.integers(1, 9000), min_size=1, max_size=5), length=st.integers(0, 20_000))
def test_the_size_of_the_pieces_never_changes_the_result(
    engine: DenoiseEngine, cleaned: Cleaned, sizes: Sequence[int], length: int
) -> None:
    samples = speech_like(0.5, 48_000)[:length]
    if length == 0:
        return
    whole = cleaned(engine, samples, sizes=(1 << 20,))
    assert np.abs(cleaned(engine, samples, sizes=sizes) - whole).max() <= 1e-5


def test_nothing_of_the_sound_moves(engine: DenoiseEngine, cleaned: Cleaned) -> None:
    samples = speech_like(2.0, 44_100)
    half = cleaned(engine, samples, 44_100, DenoiseOptions(mix=0.0))
    assert np.array_equal(half, samples)  # the untouched recording, to the sample
    limited = cleaned(engine, samples, 44_100, DenoiseOptions(attenuation_limit_db=0.0))
    assert np.array_equal(limited, samples)


@pytest.mark.parametrize("sample_rate_hz", [16_000, 48_000])
def test_silence_stays_silent(engine: DenoiseEngine, cleaned: Cleaned, sample_rate_hz: int) -> None:
    silence = np.zeros((sample_rate_hz, 2), np.float32)
    assert np.abs(cleaned(engine, silence, sample_rate_hz)).max() <= 1e-6
    # and a channel that is silent stays so beside one that is not
    one_sided = speech_like(1.0, sample_rate_hz, 2) * np.array([1, 0], np.float32)
    assert np.abs(cleaned(engine, one_sided, sample_rate_hz)[:, 1]).max() <= 1e-6


@pytest.mark.parametrize("peak", [1.0, 4.0])
def test_it_never_goes_beyond_full_scale_or_the_recording_itself(
    engine: DenoiseEngine, cleaned: Cleaned, peak: float
) -> None:
    samples = np.sign(speech_like(1.0, 48_000)) * np.float32(peak)
    assert np.abs(cleaned(engine, samples)).max() <= peak


def test_equal_channels_stay_equal(engine: DenoiseEngine, cleaned: Cleaned) -> None:
    samples = np.repeat(speech_like(1.0, 44_100), 2, axis=1)
    result = cleaned(engine, samples, 44_100)
    assert np.abs(result[:, 0] - result[:, 1]).max() <= 1e-6


def test_a_file_is_cleaned_like_a_stream(engine: DenoiseEngine, cleaned: Cleaned, tmp_path: Path) -> None:
    samples = speech_like(21.0, 16_000, 2)
    with SoundWriter(tmp_path / "in", 16_000, 2) as writer:
        writer.write(samples)
    told: list[float] = []
    with SoundReader.open(tmp_path / "in") as reader, SoundWriter(tmp_path / "out", 16_000, 2) as writer:
        result = engine.denoise(reader, writer, progress=told.append)
    with SoundReader.open(tmp_path / "out") as reader:
        assert np.abs(reader.read() - cleaned(engine, samples, 16_000)).max() <= 1e-5
    assert (result.provenance, result.duration_s) == (engine.provenance, 21.0)
    assert (told[0], told[-1], told) == (0.0, 1.0, sorted(told))


def test_stopping_leaves_nothing_behind(engine: DenoiseEngine, tmp_path: Path) -> None:
    def stop(fraction: float) -> None:
        if fraction > 0:
            raise Cancelled("enough")

    with SoundWriter(tmp_path / "in", 16_000, 1) as writer:
        writer.write(speech_like(1.0, 16_000))
    with (
        pytest.raises(Cancelled),
        SoundReader.open(tmp_path / "in") as reader,
        SoundWriter(tmp_path / "o", 16_000, 1) as writer,
    ):
        engine.denoise(reader, writer, progress=stop)
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


@pytest.mark.parametrize(
    "options",
    [DenoiseOptions(mix=1.1), DenoiseOptions(mix=-0.1), DenoiseOptions(attenuation_limit_db=-1.0)],
)
def test_wrong_options_are_refused(engine: DenoiseEngine, options: DenoiseOptions) -> None:
    with pytest.raises(OptionInvalid):
        engine.open_stream(48_000, 1, options)


def test_a_stream_takes_its_own_shape_only_and_nothing_after_the_end(engine: DenoiseEngine) -> None:
    with engine.open_stream(48_000, 2) as stream:
        for wrong in (np.zeros((480, 1), np.float32), np.zeros((480, 2)), np.zeros(480, np.float32)):
            with pytest.raises(ValueError, match="float32"):
                stream.push(wrong)  # type: ignore[arg-type]
        assert stream.flush().shape == (0, 2)
        assert stream.flush().shape == (0, 2)
        with pytest.raises(ValueError, match="flushed"):
            stream.push(np.zeros((480, 2), np.float32))
