"""How long a batch may take, before it runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from clearcast.audio.sandbox import probe_safely_sync
from clearcast.errors import ClearCastError
from clearcast.storage.places import S3
from pipelines.batch.measured import measured_rates
from pipelines.batch.plan import BatchOrder, BatchPlan, Item

_MOST_PROBES = 12


@dataclass(frozen=True, slots=True)
class Estimate:
    """Attributes:
    duration_s: of all recordings to do; None where none of those that were looked at tells.
    seconds: until the end; None where nothing of the kind was ever measured.
    basis: what the figures rest on, for people.
    """

    duration_s: float | None
    seconds: float | None
    basis: str


def estimate(order: BatchOrder, plan: BatchPlan, workers: int, services: Sequence[str]) -> Estimate:
    """Lengths are taken from a few of the files, by their sizes; the pace from files that this batch has
    finished before, else from the measurements of `make bench`."""
    duration_s = _duration_s(order, plan.todo)
    ended = [record for _, record in plan.done if record.outcome == "done" and record.duration_s]
    heard_s = sum(record.duration_s or 0.0 for record in ended)
    if heard_s > 0:
        pace = sum(sum(record.stages_s.values()) for record in ended) / heard_s
        basis = f"the pace of {len(ended)} finished files"
    else:
        rates = measured_rates(services, order.settings)
        missing = [rate.service for rate in rates if rate.cpu_s_per_s is None]
        if missing:
            return Estimate(duration_s, None, f"nothing was measured for {', '.join(missing)}")
        pace = sum(rate.cpu_s_per_s or 0.0 for rate in rates)
        basis = "measurements: " + "; ".join(rate.row for rate in rates)
    return Estimate(duration_s, None if duration_s is None else duration_s * pace / workers, basis)


def _duration_s(order: BatchOrder, items: Sequence[Item]) -> float | None:
    """All recordings together, by what a few of them hold in a byte. Those in buckets are not fetched."""
    here = [item for item in items if item.size_bytes and not item.source.startswith(S3)]
    step = max(1, len(here) // _MOST_PROBES)
    known_s, known_bytes = 0.0, 0
    for item in here[::step][:_MOST_PROBES]:
        try:
            info = probe_safely_sync(Path(item.source), order.settings.audio)
        except ClearCastError:
            continue
        if info.duration_s:
            known_s += info.duration_s
            known_bytes += item.size_bytes
    total_bytes = sum(item.size_bytes for item in items)
    return known_s / known_bytes * total_bytes if known_bytes else None
