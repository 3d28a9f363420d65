"""Jobs as their runner sees them: which task is next for the workflow engine, and how far each has come.

What lives here: the changes of task rows while work is done. What does not: what owners do
(`job_records.py`). Every change may be repeated: a runner that was killed comes back and says it again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from clearcast.storage.database import Database
from clearcast.storage.fair_queue import serve_place
from clearcast.storage.job_order import Destination
from clearcast.storage.job_records import OPEN, State, add_event, settle
from clearcast.storage.places import S3
from clearcast.storage.tables import File, Job, JobEvent, Result, Task, now

TaskKey = tuple[str, int]
"""Job id and number of a task."""

MOST_BREAKS = 5
"""So often a task whose workflow breaks off, for reasons nobody foresaw, is tried again."""


@dataclass(frozen=True, slots=True)
class TaskRound:
    """One attempt at a task, which is one workflow."""

    job_id: str
    number: int
    round: int

    @property
    def key(self) -> TaskKey:
        return self.job_id, self.number

    @property
    def workflow_id(self) -> str:
        return f"{self.job_id}.{self.number}.{self.round}"


@dataclass(frozen=True, slots=True)
class Waiting(TaskRound):
    """A task that has no workflow yet."""

    place: int


@dataclass(frozen=True, slots=True)
class TaskOrder:
    """What is to be done for one task; `options` are those of its file over those of the job."""

    job_id: str
    number: int
    round: int
    owner_id: str
    pipeline: str
    options: Mapping[str, Any]
    file_id: str
    file_name: str
    blob_key: str | None
    destination: Destination | None = None
    output_name: str = ""  # what its results are named after at the destination

    @property
    def key(self) -> TaskKey:
        return self.job_id, self.number

    @property
    def address(self) -> str | None:
        """Where the recording lies in a bucket, `s3://…`; None for a file that the server keeps."""
        return self.file_id if self.file_id.startswith(S3) else None

    @property
    def folder(self) -> str:
        """Prefix of everything that is kept for this task."""
        return f"jobs/{self.job_id}/{self.number}"


@dataclass(frozen=True, slots=True)
class Ending:
    """How a task ended. `error` is a problem document; `outputs` are names below the job's destination."""

    state: State
    error: Mapping[str, Any] | None = None
    warnings: Sequence[str] = ()
    duration_s: float | None = None
    outputs: Sequence[str] = ()


class JobProgress:
    """Changes of one job come one after the other: each takes the lock of the job's row first.

    So no change is lost to another one, the events of a job are committed in the order of their ids, and
    nobody waits for a task's row while holding another one. No change takes the locks of two jobs.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def not_enqueued(self, limit: int) -> list[Waiting]:
        """Tasks to hand to the workflow engine, those with the lowest places first."""
        query = (
            sa.select(Task.job_id, Task.number, Task.round, Task.place)
            .where(Task.state == "queued", Task.is_enqueued.is_(False))
            .order_by(Task.place)
            .limit(limit)
        )
        with self._database.reading() as session:
            return [Waiting(*row) for row in session.execute(query)]

    def count_enqueued(self) -> int:
        """Tasks that the workflow engine has but did not begin."""
        query = sa.select(sa.func.count()).where(Task.state == "queued", Task.is_enqueued.is_(True))
        with self._database.reading() as session:
            return session.scalar(query) or 0

    def mark_enqueued(self, tasks: Sequence[Waiting]) -> None:
        """The workflow engine has them. Killed half-way, it is said again of the rest."""
        for job_id in dict.fromkeys(task.job_id for task in tasks):
            rounds = [(task.number, task.round) for task in tasks if task.job_id == job_id]
            with self._database.writing() as session:
                _locked(session, job_id)
                session.execute(
                    sa.update(Task)
                    .where(Task.job_id == job_id, sa.tuple_(Task.number, Task.round).in_(rounds))
                    .values(is_enqueued=True)
                )

    def start(self, job_id: str, number: int, round_: int) -> TaskOrder | None:
        """Begin a task, or go on with it; None when it is not to be done any more."""
        with self._database.writing() as session:
            job = _locked(session, job_id)
            task = session.get(Task, (job_id, number))
            if job is None or task is None or task.round != round_ or task.state not in OPEN:
                return None
            if task.state == "queued":
                task.state, task.started_at, task.fraction = "running", now(), 0.0
                serve_place(session, task.place)
                job.state, job.started_at = "running", job.started_at or now()
                add_event(session, job_id, "running", {"task": number}, number)
            source = session.get(File, task.file_id)
            blob_key = source.blob_key if source is not None and source.owner_id == task.owner_id else None
            return TaskOrder(
                job_id,
                number,
                round_,
                task.owner_id,
                task.pipeline,
                {**job.options, **task.options},
                task.file_id,
                task.file_name,
                blob_key,
                None if job.destination is None else Destination.of(job.destination),
                task.output_name or "",
            )

    def report(self, key: TaskKey, stage: str, stage_fraction: float, fraction: float) -> None:
        """How far a task has come; its fraction of the whole never goes back."""
        job_id, number = key
        with self._database.writing() as session:
            _locked(session, job_id)
            task = session.get(Task, key)
            if task is None or task.state != "running":
                return
            task.stage, task.stage_fraction = stage, stage_fraction
            task.fraction = max(task.fraction, fraction)
            seen = {"task": number, "stage": stage, "stage_fraction": round(stage_fraction, 4)}
            add_event(session, job_id, "progress", seen | {"fraction": round(task.fraction, 4)}, number)

    def stage_done(self, key: TaskKey, stage: str, seconds: float) -> None:
        """Note that a stage was worked out, and how long that took."""
        job_id, number = key
        with self._database.writing() as session:
            _locked(session, job_id)
            if session.get(Task, key) is not None:
                data = {"task": number, "stage": stage, "seconds": round(seconds, 3)}
                add_event(session, job_id, "stage", data, number)

    def cancel_wanted(self, keys: Sequence[TaskKey]) -> list[TaskKey]:
        """Those of the running tasks whose owners want them stopped, or that are gone."""
        if not keys:
            return []
        pair = sa.tuple_(Task.job_id, Task.number)
        with self._database.reading() as session:
            rows = session.execute(
                sa.select(Task.job_id, Task.number).where(
                    pair.in_(keys), Task.state == "running", Task.is_cancel_wanted.is_(False)
                )
            )
            going_on = set(rows)
        return [key for key in keys if key not in going_on]

    def is_gone(self, key: TaskKey) -> bool:
        """Whether the task was erased meanwhile."""
        with self._database.reading() as session:
            return session.get(Task, key) is None

    def in_the_engine(self) -> list[TaskRound]:
        """Open tasks that the workflow engine was given."""
        query = sa.select(Task.job_id, Task.number, Task.round).where(
            Task.state.in_(OPEN), Task.is_enqueued.is_(True)
        )
        with self._database.reading() as session:
            return [TaskRound(*row) for row in session.execute(query)]

    def hand_back(self, task: TaskRound) -> bool:
        """Queue again a task whose workflow ended without ending the task; False when that happened too
        often already, and the task is to be given up.
        """
        with self._database.writing() as session:
            _locked(session, task.job_id)
            found = session.get(Task, task.key)
            if found is None or found.round != task.round or found.state not in OPEN:
                return True  # it has ended in the meantime
            if found.times_broken_off >= MOST_BREAKS:
                return False
            found.times_broken_off += 1
            found.state, found.is_enqueued, found.round = "queued", False, found.round + 1
            return True

    def give_up(self, task: TaskRound, error: Mapping[str, Any]) -> None:
        """End a task that broke off too often; `error` is a problem document."""
        order = self.start(task.job_id, task.number, task.round)
        if order is not None:
            self.finish(order, Ending("failed", error))

    def put_result(self, order: TaskOrder, result: Result, file: File) -> None:
        """Keep a result and its file, in place of an earlier one of that name."""
        with self._database.writing() as session:
            _locked(session, order.job_id)
            if session.get(Task, order.key) is None:
                return  # deleted meanwhile: the sweeper removes the blob
            session.merge(file)
            session.flush()
            session.merge(result)
            about = {"task": order.number, "name": result.name, "is_partial": result.is_partial}
            add_event(session, order.job_id, "result", about, order.number)

    def finish(self, order: TaskOrder, ending: Ending) -> bool:
        """End a task; True when with it the whole job has come to its end."""
        with self._database.writing() as session:
            job = _locked(session, order.job_id)
            task = session.get(Task, order.key)
            if job is None or task is None or task.round != order.round or task.state != "running":
                return False
            task.state, task.error = ending.state, None if ending.error is None else dict(ending.error)
            task.warnings, task.outputs = list(ending.warnings), list(ending.outputs)
            task.duration_s = ending.duration_s or task.duration_s
            task.finished_at, task.is_cancel_wanted = now(), False
            if ending.state == "succeeded":
                task.fraction, task.stage = 1.0, None
            _drop_progress_events(session, order.job_id, order.number)
            data: dict[str, Any] = {"task": order.number, "state": ending.state}
            if ending.error is not None:
                data["code"] = ending.error.get("code")
            add_event(session, order.job_id, "task", data, order.number)
            return settle(session, job)


def _locked(session: Session, job_id: str) -> Job | None:
    """The job, locked until the session ends; None when it is gone."""
    return session.get(Job, job_id, with_for_update=True)


def _drop_progress_events(session: Session, job_id: str, number: int) -> None:
    """Thin out a finished task's progress: the last of its events says all."""
    of_task = (JobEvent.job_id == job_id, JobEvent.number == number, JobEvent.event == "progress")
    last = session.scalar(sa.select(sa.func.max(JobEvent.id)).where(*of_task)) or 0
    session.execute(sa.delete(JobEvent).where(*of_task, JobEvent.id < last))
