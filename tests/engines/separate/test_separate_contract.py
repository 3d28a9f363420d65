"""What every separator promises."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from clearcast.engines.engine import engine_names
from clearcast.engines.separate.contract import ACCOMPANIMENT, VOCALS, SeparateOptions, SeparationEngine
from clearcast.errors import Cancelled, OptionInvalid, SeparationNeedsStereo


@pytest.fixture(params=engine_names("separate"))
def separator(request: pytest.FixtureRequest, loaded_engine: Callable[..., Any]) -> SeparationEngine:
    return loaded_engine(SeparationEngine, request.param)


def noise(count: int, channels: int = 2) -> Any:
    return (0.1 * np.random.default_rng(0).standard_normal((count, channels))).astype(np.float32)


def test_vocals_and_accompaniment_are_always_there(separator: SeparationEngine) -> None:
    assert {VOCALS, ACCOMPANIMENT} <= set(separator.stems())


@pytest.mark.parametrize(("count", "rate_hz"), [(0, 44_100), (1, 44_100), (1, 192_000), (9_999, 32_000)])
def test_length_and_rate_are_kept(
    separate: Any, separator: SeparationEngine, count: int, rate_hz: int
) -> None:
    told: list[float] = []
    found, report = separate(separator, noise(count), rate_hz, (ACCOMPANIMENT, VOCALS), told.append)
    assert report.stems == (ACCOMPANIMENT, VOCALS)
    assert report.provenance == separator.provenance
    assert told == sorted(told)
    assert told[-1] == 1.0
    for samples in found.values():
        assert samples.shape == (count, 2)
        assert np.isfinite(samples).all()


def test_silence_stays_silent(separate: Any, separator: SeparationEngine) -> None:
    found, report = separate(separator, np.zeros((30_000, 2), np.float32))
    assert report.residual_db is None
    assert all(np.abs(samples).max() < 1e-6 for samples in found.values())


def test_more_than_two_channels_are_refused(separate: Any, separator: SeparationEngine) -> None:
    with pytest.raises(SeparationNeedsStereo):
        separate(separator, noise(1000, channels=6))


def test_the_listener_may_stop_the_work(separate: Any, separator: SeparationEngine) -> None:
    def stop(_fraction: float) -> None:
        raise Cancelled("Enough.")

    with pytest.raises(Cancelled):
        separate(separator, noise(50_000), progress=stop)


@pytest.mark.parametrize("stems", [(), ("vocals", "vocals")])
def test_stems_are_named_once(stems: tuple[str, ...]) -> None:
    with pytest.raises(OptionInvalid):
        SeparateOptions(stems)
