"""Jobs as people see them: asking, looking, cancelling, asking again. Every query names the owner.

What lives here: the records of jobs and what their owners may do with them. What does not: the side of the
runner, which moves tasks along (`job_progress.py`), and the durable workflows (`deployments/jobs`).

A job is one pipeline over one file or many; each file is a task with a number from 0. A task goes
queued → running → succeeded | failed | cancelled; a job is what its tasks are, see `_settled`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from clearcast.errors import Conflict, JobUnfinished, NotFound, Overloaded
from clearcast.ids import new_id
from clearcast.storage.database import Database
from clearcast.storage.fair_queue import take_places
from clearcast.storage.job_order import JobOrder
from clearcast.storage.tables import File, Job, JobEvent, Result, Task, User, WebhookDelivery, now

State = Literal["queued", "running", "succeeded", "failed", "cancelled"]
OPEN = ("queued", "running")
RECENT = 20  # finished tasks that an estimate of time is made from
SHOWN_TASKS = 100  # of a job that is looked at whole; the others come by pages
FIRST_GUESS_S = 30.0  # for a task of a pipeline that never ran


@dataclass(frozen=True, slots=True)
class JobView:
    """A job with the first of its tasks, at most `SHOWN_TASKS`, and their results.

    Attributes:
        counts: number of all its tasks by state.
        fraction: how much of all its tasks is done, in [0, 1].
        ahead: files of all people that come before the first waiting one of this job; None when none waits.
        eta_s: seconds until it should be done; None when it is.
    """

    job: Job
    tasks: Sequence[Task]
    results: Sequence[Result]
    counts: Mapping[str, int]
    fraction: float
    ahead: int | None
    eta_s: float | None


@dataclass(frozen=True, slots=True)
class _InState:
    """The tasks of a job that are in one state."""

    count: int
    fraction_sum: float
    first_place: int


class JobRecords:
    """The jobs in `database`. `max_queued` bounds the files that wait, `max_running` those at work."""

    def __init__(self, database: Database, *, max_queued: int, max_running: int) -> None:
        self._database = database
        self._max_queued = max_queued
        self._max_running = max_running

    def accept(self, owner_id: str, order: JobOrder) -> tuple[str, bool]:
        """Take an order: (job id, whether it is new). Once this returns, the job will be done.

        The same idempotency key gives the same job. Raises Conflict when the key was used for another
        request, Overloaded when too many files wait, NotFound when the owner was erased meanwhile.
        """
        try:
            with self._database.writing() as session:
                known = _known(session, owner_id, order)
                return (known, False) if known else (self._insert(session, owner_id, order), True)
        except IntegrityError:
            # Two requests with one key at the same moment: the other was first.
            with self._database.reading() as session:
                known = _known(session, owner_id, order)
                if known is None and session.get(User, owner_id) is None:
                    raise NotFound("There is no such account.") from None
            if known is None:
                raise
            return known, False

    def job(self, owner_id: str, job_id: str) -> JobView:
        """Raises NotFound."""
        with self._database.reading() as session:
            job = _owned(session, owner_id, job_id)
            of_job = (Task.job_id == job_id, Task.owner_id == owner_id)
            shown = sa.select(Task).where(*of_job).order_by(Task.number).limit(SHOWN_TASKS)
            tasks = session.scalars(shown).all()
            results = session.scalars(
                sa.select(Result)
                .join(File, File.id == Result.file_id)  # deleted, or its time is over: no result any more
                .where(Result.job_id == job_id, Result.owner_id == owner_id, Result.number < SHOWN_TASKS)
                .order_by(Result.number, Result.name)
            ).all()
            states = _states(session, job)
            counts = {state: one.count for state, one in states.items()}
            done = sum(one.fraction_sum if state in OPEN else one.count for state, one in states.items())
            ahead, eta_s = self._outlook(session, job, states.get("queued"))
            return JobView(job, tasks, results, counts, done / sum(counts.values()), ahead, eta_s)

    def tasks(self, owner_id: str, job_id: str, *, limit: int, after: int = -1) -> list[Task]:
        """A page of a job's tasks, those with a number above `after`. Raises NotFound."""
        query = sa.select(Task).where(Task.job_id == job_id, Task.owner_id == owner_id, Task.number > after)
        with self._database.reading() as session:
            _owned(session, owner_id, job_id)
            return list(session.scalars(query.order_by(Task.number).limit(limit)))

    def jobs(
        self,
        owner_id: str,
        *,
        state: State | None = None,
        pipeline: str | None = None,
        limit: int = 50,
        after: str | None = None,
    ) -> list[Job]:
        """The newest first; `after` is the id of the last one seen."""
        query = sa.select(Job).where(Job.owner_id == owner_id).order_by(Job.id.desc()).limit(limit)
        if state is not None:
            query = query.where(Job.state == state)
        if pipeline is not None:
            query = query.where(Job.pipeline == pipeline)
        if after is not None:
            query = query.where(Job.id < after)
        with self._database.reading() as session:
            return list(session.scalars(query))

    def state(self, owner_id: str, job_id: str) -> str:
        """Only its state: what those ask for who look often. Raises NotFound."""
        with self._database.reading() as session:
            return _owned(session, owner_id, job_id).state

    def result(self, owner_id: str, job_id: str, number: int, name: str) -> Result:
        """Raises NotFound, or JobUnfinished when it may still come."""
        with self._database.reading() as session:
            job = _owned(session, owner_id, job_id)
            result = session.get(Result, (job_id, number, name))
            if result is not None and result.owner_id == owner_id:
                if session.get(File, result.file_id) is None:
                    raise NotFound(
                        "The file of this result was deleted, or kept for as long as files are.",
                        hint="Run the job again.",
                    )
                return result
            if job.state in OPEN:
                raise JobUnfinished("The job has no such result yet.", hint="Wait until it has finished.")
            raise NotFound(f"The job has no result {name!r}.", hint="Its `results` list them.")

    def cancel(self, owner_id: str, job_id: str) -> None:
        """Stop what runs and drop what waits; what is finished stays. Raises NotFound."""
        with self._database.writing() as session:
            job = _owned(session, owner_id, job_id, to_change=True)
            of_job = (Task.job_id == job_id, Task.owner_id == owner_id)
            session.execute(
                sa.update(Task)
                .where(*of_job, Task.state == "queued")
                .values(state="cancelled", finished_at=now(), stage=None)
            )
            session.execute(
                sa.update(Task).where(*of_job, Task.state == "running").values(is_cancel_wanted=True)
            )
            settle(session, job)

    def retry(self, owner_id: str, job_id: str) -> None:
        """Queue again what failed or was cancelled; finished stages are kept.

        Raises NotFound, or JobUnfinished while a task of the job is open.
        """
        with self._database.writing() as session:
            job = _owned(session, owner_id, job_id, to_change=True)
            if job.state in OPEN:
                raise JobUnfinished("The job is still at work.", hint="Cancel it first, or wait.")
            again = session.scalars(
                sa.select(Task)
                .where(Task.job_id == job_id, Task.owner_id == owner_id, Task.state != "succeeded")
                .order_by(Task.number)
            ).all()
            places = take_places(session, owner_id, job.priority, len(again))  # type: ignore[arg-type]
            for task, place in zip(again, places, strict=True):
                task.state, task.place, task.round = "queued", place, task.round + 1
                task.is_enqueued = task.is_cancel_wanted = False
                task.error, task.finished_at, task.times_broken_off = None, None, 0
            if again:
                job.state, job.finished_at = "queued", None
                add_event(session, job.id, "queued", {})

    def delete(self, owner_id: str, job_id: str) -> list[str]:
        """Forget a job; returns the ids of its result files, which are the caller's to delete.

        Raises NotFound, or JobUnfinished while it is open.
        """
        with self._database.writing() as session:
            job = _owned(session, owner_id, job_id, to_change=True)
            if job.state in OPEN:
                raise JobUnfinished("The job is still at work.", hint="Cancel it first.")
            files = session.scalars(sa.select(Result.file_id).where(Result.job_id == job_id)).all()
            session.execute(
                sa.delete(WebhookDelivery).where(
                    WebhookDelivery.job_id == job_id, WebhookDelivery.owner_id == owner_id
                )
            )
            session.delete(job)
            return list(files)

    def events(self, owner_id: str, job_id: str, after: int, limit: int = 200) -> list[JobEvent]:
        """What happened after the event with id `after`, oldest first. Raises NotFound."""
        with self._database.reading() as session:
            _owned(session, owner_id, job_id)
            query = sa.select(JobEvent).where(JobEvent.job_id == job_id, JobEvent.id > after)
            return list(session.scalars(query.order_by(JobEvent.id).limit(limit)))

    def _insert(self, session: Session, owner_id: str, order: JobOrder) -> str:
        waiting = session.scalar(sa.select(sa.func.count()).where(Task.state == "queued")) or 0
        if waiting + len(order.files) > self._max_queued:
            raise Overloaded(
                "Too many files wait in the queue.",
                retry_after_s=60,
                hint="Try again after the time in Retry-After.",
                queue_position=waiting + 1,
            )
        job = Job(
            id=new_id("job"),
            owner_id=owner_id,
            pipeline=order.pipeline,
            options=dict(order.options),
            label=order.label,
            priority=order.priority,
            state="queued",
            webhook_url=order.webhook_url,
            idempotency_key=order.idempotency_key,
            request_sha256=order.request_sha256,
            destination=None if order.destination is None else order.destination.row(),
        )
        session.add(job)
        session.flush()
        places = take_places(session, owner_id, order.priority, len(order.files))
        session.add_all(
            Task(
                job_id=job.id,
                number=number,
                owner_id=owner_id,
                pipeline=order.pipeline,
                file_id=file.file_id,
                file_name=file.name,
                options=dict(file.options),
                output_name=file.output_name,
                state="queued",
                place=place,
            )
            for number, (file, place) in enumerate(zip(order.files, places, strict=True))
        )
        add_event(session, job.id, "queued", {})
        return job.id

    def _outlook(
        self, session: Session, job: Job, waiting: _InState | None
    ) -> tuple[int | None, float | None]:
        if job.state not in OPEN:
            return None, None
        usual_s = _usual_s(session, job.pipeline)
        running = session.scalars(sa.select(Task).where(Task.job_id == job.id, Task.state == "running"))
        left_s = max((_left_s(task, usual_s) for task in running), default=0.0)
        if waiting is None:
            return None, left_s
        before = sa.select(sa.func.count()).where(Task.state == "queued", Task.place < waiting.first_place)
        ahead = session.scalar(before) or 0
        return ahead, left_s + usual_s * (ahead + waiting.count) / self._max_running


def add_event(
    session: Session, job_id: str, event: str, data: Mapping[str, Any], number: int | None = None
) -> None:
    session.add(JobEvent(job_id=job_id, number=number, event=event, data=dict(data)))


def settle(session: Session, job: Job) -> bool:
    """Bring the job's state in line with its tasks; True when it has just come to its end."""
    session.flush()
    counts = dict(
        session.execute(
            sa.select(Task.state, sa.func.count()).where(Task.job_id == job.id).group_by(Task.state)
        ).all()
    )
    before, job.state = job.state, _settled(counts)
    if job.state in OPEN or before not in OPEN:
        return False
    job.finished_at = now()
    add_event(session, job.id, job.state, {"tasks": counts})
    if job.webhook_url is not None:
        session.add(
            WebhookDelivery(
                id=new_id("msg"),
                owner_id=job.owner_id,
                job_id=job.id,
                url=job.webhook_url,
                state="waiting",
            )
        )
    return True


def _states(session: Session, job: Job) -> dict[str, _InState]:
    """The tasks of the job by their states, counted in the database."""
    rows = session.execute(
        sa.select(Task.state, sa.func.count(), sa.func.sum(Task.fraction), sa.func.min(Task.place))
        .where(Task.job_id == job.id, Task.owner_id == job.owner_id)
        .group_by(Task.state)
    )
    return {state: _InState(count, done, place) for state, count, done, place in rows}


def _settled(counts: Mapping[str, int]) -> State:
    if counts.get("running") or (counts.get("queued") and len(counts) > 1):
        return "running"
    if counts.get("queued"):
        return "queued"
    if counts.get("failed"):
        return "failed"
    return "cancelled" if counts.get("cancelled") else "succeeded"


def _owned(session: Session, owner_id: str, job_id: str, *, to_change: bool = False) -> Job:
    """The job; `to_change` locks it until the session ends. Raises NotFound."""
    query = sa.select(Job).where(Job.id == job_id, Job.owner_id == owner_id)
    job = session.scalar(query.with_for_update() if to_change else query)
    if job is None:
        raise NotFound("There is no such job.", hint="GET /v1/jobs lists yours.")
    return job


def _known(session: Session, owner_id: str, order: JobOrder) -> str | None:
    if order.idempotency_key is None:
        return None
    job = session.scalar(
        sa.select(Job).where(Job.owner_id == owner_id, Job.idempotency_key == order.idempotency_key)
    )
    if job is None:
        return None
    if job.request_sha256 != order.request_sha256:
        raise Conflict(
            "This Idempotency-Key was used for another request.", hint="Use a new key for a new request."
        )
    return job.id


def _usual_s(session: Session, pipeline: str) -> float:
    """Mean seconds of work of the last tasks of this pipeline."""
    rows = session.execute(
        sa.select(Task.started_at, Task.finished_at)
        .where(Task.pipeline == pipeline, Task.finished_at.is_not(None), Task.state == "succeeded")
        .order_by(Task.finished_at.desc())
        .limit(RECENT)
    )
    spans_s = [
        (end - start).total_seconds() for start, end in rows if start is not None and end is not None
    ]
    return sum(spans_s) / len(spans_s) if spans_s else FIRST_GUESS_S


def _left_s(task: Task, usual_s: float) -> float:
    """Seconds a running task should still take: by its own pace once there is one."""
    passed_s = (now() - (task.started_at or now())) / timedelta(seconds=1)
    if task.fraction > 0.05:
        return passed_s * (1.0 - task.fraction) / task.fraction
    return max(1.0, usual_s - passed_s)
