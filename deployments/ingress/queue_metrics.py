"""What the records say about the job queue, for Prometheus: the same from every ingress process.

What lives here: reading it when Prometheus asks, at most once a second. What does not: what this process
did itself (`metrics.py`). The job runner, another process, exposes nothing: all that is known of its work
stands in the tasks' rows.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from sqlalchemy.orm import Session

from clearcast.errors import ServiceUnavailable
from clearcast.storage.database import Database
from clearcast.storage.tables import Task, now
from deployments.ingress.stage_metrics import StageMetrics

FRESH_S = 1.0
FACTOR_BUCKETS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10)

# A row may be committed a little after the time that stands in it, so each look goes back so far.
_OVERLAP = timedelta(seconds=60)
_JOB_BUCKETS_S = (1, 5, 15, 60, 300, 900, 3600, 4 * 3600)
_PAGE = 50_000


class QueueMetrics:
    """Depth and age of the queue, tasks by state, and the time that finished ones took.

    Finished tasks are counted from the start of this process on.
    """

    def __init__(self, registry: CollectorRegistry, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._looked_at_s = float("-inf")
        self._started = self._since = now()
        self._seen: dict[tuple[str, int, int], datetime] = {}
        self._pipelines: set[str] = set()
        self.database_up = Gauge(
            "clearcast_database_up", "1 when the records could be read, else 0.", registry=registry
        )
        self._stages = StageMetrics(registry)
        self.depth = Gauge("clearcast_queue_depth", "Files that wait.", ("pipeline",), registry=registry)
        self.oldest = Gauge(
            "clearcast_queue_oldest_seconds",
            "How long the file that waits longest has waited.",
            ("pipeline",),
            registry=registry,
        )
        self.tasks = Gauge("clearcast_tasks", "Files of jobs, by state.", ("state",), registry=registry)
        self.finished = Counter(
            "clearcast_tasks_finished",
            "Files that came to their end, and how; `code` is of the error, if any.",
            ("pipeline", "state", "code"),
            registry=registry,
        )
        self.seconds = Histogram(
            "clearcast_task_seconds",
            "From the start of the work on a file to its end.",
            ("pipeline",),
            buckets=_JOB_BUCKETS_S,
            registry=registry,
        )
        self.factor = Histogram(
            "clearcast_task_real_time_factor",
            "Seconds of work for each second of sound, of files that succeeded.",
            ("pipeline",),
            buckets=FACTOR_BUCKETS,
            registry=registry,
        )

    def refresh(self, database: Database) -> None:
        """Read the records again unless that was done a moment ago; blocks. A lost database is no error."""
        with self._lock:
            if self._clock() - self._looked_at_s < FRESH_S:
                return
            try:
                with database.reading() as session:
                    self._count_waiting(session)
                    self._count_states(session)
                    self._observe_finished(session)
                    self._stages.observe(session)
                self.database_up.set(1)
            except ServiceUnavailable:
                self.database_up.set(0)
            self._looked_at_s = self._clock()

    def _count_waiting(self, session: Session) -> None:
        rows = session.execute(
            sa.select(Task.pipeline, sa.func.count(), sa.func.min(Task.created_at))
            .where(Task.state == "queued")
            .group_by(Task.pipeline)
        ).all()
        waiting = {pipeline: (count, first) for pipeline, count, first in rows}
        self._pipelines |= set(waiting)
        for pipeline in self._pipelines:
            count, first = waiting.get(pipeline, (0, None))
            self.depth.labels(pipeline).set(count)
            age_s = 0.0 if first is None else (now() - first).total_seconds()
            self.oldest.labels(pipeline).set(max(0.0, age_s))

    def _count_states(self, session: Session) -> None:
        counts: dict[str, int] = dict.fromkeys(("queued", "running", "succeeded", "failed", "cancelled"), 0)
        found = session.execute(sa.select(Task.state, sa.func.count()).group_by(Task.state)).all()
        for state, count in [*counts.items(), *((row[0], row[1]) for row in found)]:
            self.tasks.labels(state).set(count)

    def _observe_finished(self, session: Session) -> None:
        looked_at = now()
        begin = self._since - _OVERLAP
        # By pipeline, as the index `tasks_by_finish` is.
        pipelines = session.scalars(sa.select(Task.pipeline).distinct()).all()
        rows = session.execute(
            sa.select(
                *(Task.job_id, Task.number, Task.round, Task.pipeline, Task.state),
                *(Task.started_at, Task.finished_at, Task.duration_s),
                Task.error["code"].as_string().label("code"),
            )
            .where(Task.pipeline.in_(pipelines), Task.finished_at >= begin)
            .order_by(Task.finished_at)
            .limit(_PAGE)
        )
        for task in rows:
            key = (task.job_id, task.number, task.round)
            if key not in self._seen:
                self._seen[key] = task.finished_at
                if task.finished_at >= self._started:
                    self._observe(task)
            looked_at = task.finished_at
        self._since = max(self._since, min(looked_at, now()))
        self._seen = {key: at for key, at in self._seen.items() if at >= self._since - _OVERLAP}

    def _observe(self, task: sa.Row[Any]) -> None:
        self.finished.labels(task.pipeline, task.state, task.code or "").inc()
        if task.started_at is None:
            return
        spent_s = max(0.0, (task.finished_at - task.started_at).total_seconds())
        self.seconds.labels(task.pipeline).observe(spent_s)
        if task.state == "succeeded" and task.duration_s:
            self.factor.labels(task.pipeline).observe(spent_s / task.duration_s)
