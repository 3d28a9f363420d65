"""What every extractor promises."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from clearcast.audio.sound import SoundReader, SoundWriter
from clearcast.engines.engine import engine_names
from clearcast.engines.extract.contract import ExtractionEngine
from clearcast.errors import Cancelled
from tests.engines.extract.conftest import Preferring, order


@pytest.fixture(params=engine_names("extract"))
def extractor(request: pytest.FixtureRequest, loaded_engine: Callable[..., Any]) -> ExtractionEngine:
    engine: ExtractionEngine = loaded_engine(ExtractionEngine, request.param)
    return engine


def noise(count: int, channels: int = 1) -> Any:
    return (0.1 * np.random.default_rng(0).standard_normal((count, channels))).astype(np.float32)


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("rate_hz", [6_000, 8_000, 16_000, 44_100])
def test_rate_channels_and_length_are_kept_and_alone_is_the_recording_itself(
    extract: Any, extractor: ExtractionEngine, rate_hz: int, channels: int
) -> None:
    samples = noise(2 * rate_hz + 17, channels)
    told: list[float] = []
    wanted = order(alone=[(0.2, 0.8), (1.1, 1.6)], crowded=[(0.8, 1.0)])
    found, report = extract(extractor, samples, rate_hz, wanted, progress=told.append)
    assert found.shape == samples.shape
    assert np.isfinite(found).all()
    fade = round(0.011 * rate_hz)
    for start_s, end_s in ((0.2, 0.8), (1.1, 1.6)):
        within = slice(round(start_s * rate_hz) + fade, round(end_s * rate_hz) - fade)
        np.testing.assert_array_equal(found[within], samples[within])
    for start_s, end_s in ((0.0, 0.2), (1.0, 1.1), (1.6, 2.0)):
        assert not found[round(start_s * rate_hz) + fade : round(end_s * rate_hz) - fade].any()
    assert [(passage.start_s, passage.end_s) for passage in report.passages] == [
        (0.2, 0.8),
        (0.8, 1.0),
        (1.1, 1.6),
    ]
    assert report.provenance == extractor.provenance
    assert told == sorted(told)
    assert told[-1] == 1.0


@pytest.mark.parametrize("count", [0, 1, 7, 100])
def test_recordings_of_almost_nothing_are_no_trouble(
    extract: Any, extractor: ExtractionEngine, count: int
) -> None:
    found, _ = extract(extractor, noise(count), 8_000, order(crowded=[(0.0, 1.0)]))
    assert found.shape == (count, 1)


def test_silence_stays_silent(extract: Any, extractor: ExtractionEngine) -> None:
    samples = np.zeros((16_000, 2), np.float32)
    found, _ = extract(extractor, samples, 8_000, order(alone=[(0.1, 0.6)], crowded=[(0.6, 1.4)]))
    assert not found.any()


def test_nobody_wanted_is_silence(extract: Any, extractor: ExtractionEngine) -> None:
    found, report = extract(extractor, noise(8_000), 8_000, order())
    assert not found.any()
    assert report.passages == ()


def test_the_listener_may_stop_the_work(extract: Any, extractor: ExtractionEngine) -> None:
    def stop(fraction: float) -> None:
        raise Cancelled("Enough.")

    with pytest.raises(Cancelled):
        extract(extractor, noise(16_000), 8_000, order(crowded=[(0.5, 1.5)]), progress=stop)


def test_a_writer_of_another_rate_is_refused(extractor: ExtractionEngine, tmp_path: Any) -> None:
    with SoundWriter(tmp_path / "all.wav", 8_000, 1) as writer:
        writer.write(noise(100))
    with (
        SoundReader.open(tmp_path / "all.wav") as reader,
        SoundWriter(tmp_path / "one.wav", 16_000, 1) as writer,
        pytest.raises(ValueError, match="rate"),
    ):
        extractor.extract(reader, writer, order(), Preferring())
