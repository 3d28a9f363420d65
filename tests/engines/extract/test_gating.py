"""The gate lets through the recording where the person speaks, and says where others do too."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from clearcast.engines.engine import EngineContext, make_engine
from clearcast.engines.extract import gating as module
from clearcast.engines.extract.contract import ExtractionEngine
from clearcast.speech.extraction import Passage
from tests.engines.extract.conftest import order

RATE_HZ = 16_000


@pytest.fixture
def gating(no_models: EngineContext) -> ExtractionEngine:
    return make_engine(ExtractionEngine, "gating", {}, no_models)


def noise(duration_s: float, channels: int = 1) -> Any:
    count = round(duration_s * RATE_HZ)
    return (0.1 * np.random.default_rng(0).standard_normal((count, channels))).astype(np.float32)


def test_crowded_stretches_stay_as_they_are_and_are_told(extract: Any, gating: ExtractionEngine) -> None:
    samples = noise(4.0)
    wanted = order(alone=[(1.0, 2.0), (3.0, 3.5)], crowded=[(2.0, 2.5)])
    found, report = extract(gating, samples, RATE_HZ, wanted)
    assert report.passages == (
        Passage(1.0, 2.0, "alone"),
        Passage(2.0, 2.5, "crowded"),
        Passage(3.0, 3.5, "alone"),
    )
    # Nothing happens where stretches touch.
    np.testing.assert_array_equal(found[16_160:39_840], samples[16_160:39_840])
    assert not found[40_160:47_840].any()


def test_no_voiceprint_is_asked_for(extract: Any, gating: ExtractionEngine) -> None:
    def refuse(_utterances: object) -> Any:
        raise AssertionError("a voiceprint was asked for")

    assert not gating.needs_voiceprints
    extract(gating, noise(1.0), RATE_HZ, order(crowded=[(0.2, 0.8)]), refuse)


def test_the_size_of_blocks_changes_nothing(
    extract: Callable[..., Any], gating: ExtractionEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    samples, wanted = noise(2.0, channels=2), order(alone=[(0.3, 0.7), (0.71, 1.9)])
    whole, _ = extract(gating, samples, RATE_HZ, wanted)
    monkeypatch.setattr(module, "BLOCK_SAMPLES", 997)
    parts, _ = extract(gating, samples, RATE_HZ, wanted)
    np.testing.assert_array_equal(parts, whole)
