"""Estimates: from finished files where there are some, else from measurements, else none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from clearcast.settings import load_settings
from pipelines.batch.estimate import estimate
from pipelines.batch.measured import measured_rates
from pipelines.batch.plan import BatchOrder, BatchPlan, Item
from pipelines.batch.record import Record


def record(item: Item, seconds: float, duration_s: float) -> Record:
    facts = (item.source, item.size_bytes, item.version, "sha", "key", "run", "done")
    return Record(*facts, duration_s=duration_s, stages_s={"transcribe": seconds})  # type: ignore[arg-type]


def test_the_pace_of_finished_files_counts_first(order: BatchOrder, items: Sequence[Item]) -> None:
    plan = BatchPlan(tuple(items[1:]), ((items[0], record(items[0], 5.0, 10.0)),))
    guess = estimate(order, plan, workers=2, services=["transcribe"])
    assert guess.duration_s == pytest.approx(5.0, rel=0.05)
    assert guess.seconds == pytest.approx(1.25, rel=0.05)
    assert guess.basis == "the pace of 1 finished files"


def test_what_was_never_measured_is_not_guessed(order: BatchOrder, items: Sequence[Item]) -> None:
    engines = order.settings.engines
    whisper = engines.transcribe.model_copy(update={"engine": "faster_whisper"})
    settings = order.settings.model_copy(
        update={"engines": engines.model_copy(update={"transcribe": whisper})}
    )
    guess = estimate(
        replace(order, settings=settings), BatchPlan(tuple(items), ()), 2, ["embed", "transcribe"]
    )
    assert guess.seconds is None
    assert guess.basis == "nothing was measured for transcribe"
    assert guess.duration_s == pytest.approx(6.0, rel=0.05)


def test_every_row_that_estimates_name_is_in_the_results() -> None:
    """The profile `local` can be estimated as a whole."""
    services = (
        "voice_activity",
        "embed",
        "diarize",
        "transcribe",
        "denoise",
        "boost",
        "separate",
        "extract",
    )
    for rate in measured_rates(services, load_settings("local")):
        assert rate.cpu_s_per_s is not None and rate.cpu_s_per_s > 0, rate


def test_without_results_nothing_is_known(tmp_path: Path) -> None:
    (rate,) = measured_rates([], load_settings("local"), tmp_path / "none.json")
    assert (rate.service, rate.cpu_s_per_s, rate.row) == ("decode", None, "not measured")
