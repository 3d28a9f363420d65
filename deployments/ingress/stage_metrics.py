"""How long the stages of jobs took, for Prometheus, out of the jobs' own events.

What lives here: reading the events that have come since the last look. What does not: when that is done and
all else of the queue (`queue_metrics.py`).
"""

from __future__ import annotations

import sqlalchemy as sa
from prometheus_client import CollectorRegistry, Histogram
from sqlalchemy.orm import Session

from clearcast.storage.tables import Job, JobEvent

# An event may be committed after one with a higher id, so each look goes back so many.
_OVERLAP = 500
_PAGE = 10_000
_BUCKETS_S = (0.1, 0.5, 1, 5, 15, 60, 300, 1200, 3600)


class StageMetrics:
    """Stages that were worked out since the start of this process; the windows of one count each."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._started: int | None = None
        self._last = 0
        self._seen: set[int] = set()
        self.seconds = Histogram(
            "clearcast_job_stage_seconds",
            "Seconds of work on a stage of a file, or on one window of it.",
            ("pipeline", "stage"),
            buckets=_BUCKETS_S,
            registry=registry,
        )

    def observe(self, session: Session) -> None:
        newest = session.scalar(sa.select(sa.func.max(JobEvent.id))) or 0
        if self._started is None or newest < self._last:  # erased jobs give their last ids free on SQLite
            self._started = self._last = newest
            self._seen.clear()
            return
        floor = max(self._started, self._last - _OVERLAP)
        rows = session.execute(
            sa.select(JobEvent.id, JobEvent.event, JobEvent.data, Job.pipeline)
            .join(Job, Job.id == JobEvent.job_id)
            .where(JobEvent.id > floor)
            .order_by(JobEvent.id)
            .limit(_PAGE)
        ).all()
        for row in rows:
            if row.event == "stage" and row.id not in self._seen:
                stage = str(row.data["stage"]).partition("/")[0]
                self.seconds.labels(row.pipeline, stage).observe(float(row.data["seconds"]))
                self._seen.add(row.id)
        self._last = max(self._last, *(row.id for row in rows)) if rows else self._last
        self._seen = {one for one in self._seen if one > self._last - _OVERLAP}
