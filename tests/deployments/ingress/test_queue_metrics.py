"""What `/metrics` says of the queue is what stands in the records."""

from __future__ import annotations

from datetime import timedelta
from itertools import count

import sqlalchemy as sa
from prometheus_client import CollectorRegistry

from clearcast.storage.database import Database
from clearcast.storage.tables import Job, JobEvent, Task, User, now
from deployments.ingress.queue_metrics import FRESH_S, QueueMetrics


class Watch:
    """Metrics whose clock moves on at every look."""

    def __init__(self, database: Database, step_s: float = FRESH_S) -> None:
        self.registry = CollectorRegistry()
        ticks = count()
        self.metrics = QueueMetrics(self.registry, clock=lambda: next(ticks) * step_s)
        self.database = database

    def value(self, name: str, **labels: str) -> float | None:
        self.metrics.refresh(self.database)
        return self.registry.get_sample_value(f"clearcast_{name}", labels)


def add_tasks(database: Database, *tasks: Task) -> None:
    with database.writing() as session:
        if session.get(User, "user_1") is None:
            session.add(User(id="user_1", name="a", name_key="a"))
            session.flush()
            session.add(
                Job(
                    id="job_1",
                    owner_id="user_1",
                    pipeline="meeting",
                    options={},
                    priority="normal",
                    state="running",
                )
            )
            session.flush()
        for task in tasks:
            session.merge(task)


def task(number: int, state: str, pipeline: str = "meeting", **more: object) -> Task:
    return Task(
        job_id="job_1",
        number=number,
        owner_id="user_1",
        pipeline=pipeline,
        file_id="file_1",
        file_name="a.wav",
        state=state,
        place=number,
        **{"round": 0, **more},
    )


def test_depth_age_and_states_are_counted(database: Database) -> None:
    watch = Watch(database)
    assert watch.value("tasks", state="queued") == 0
    old = now() - timedelta(seconds=90)
    add_tasks(
        database,
        task(0, "queued", created_at=old),
        task(1, "queued"),
        task(2, "queued", "transcription"),
        task(3, "running"),
    )
    assert watch.value("queue_depth", pipeline="meeting") == 2
    assert watch.value("queue_depth", pipeline="transcription") == 1
    age_s = watch.value("queue_oldest_seconds", pipeline="meeting")
    assert age_s is not None and 90 <= age_s < 120
    assert watch.value("tasks", state="running") == 1
    add_tasks(database, *(task(number, "cancelled") for number in range(3)))
    assert watch.value("queue_depth", pipeline="meeting") == 0
    assert watch.value("queue_oldest_seconds", pipeline="meeting") == 0
    assert watch.value("database_up") == 1


def test_each_finished_task_is_counted_once(database: Database) -> None:
    add_tasks(database, task(9, "succeeded", finished_at=now() - timedelta(hours=1)))
    watch = Watch(database)
    begin = now()
    took = {"started_at": begin, "finished_at": begin + timedelta(seconds=30), "duration_s": 300.0}
    add_tasks(database, task(0, "succeeded", **took))
    add_tasks(database, task(1, "failed", error={"code": "model_missing"}, **took))
    labels = {"pipeline": "meeting"}
    for _ in range(3):
        assert watch.value("tasks_finished_total", state="succeeded", code="", **labels) == 1
        assert watch.value("tasks_finished_total", state="failed", code="model_missing", **labels) == 1
        assert watch.value("task_seconds_sum", **labels) == 60
        assert watch.value("task_real_time_factor_sum", **labels) == 0.1
        assert watch.value("task_real_time_factor_count", **labels) == 1
    again = {**took, "finished_at": begin + timedelta(seconds=50)}
    add_tasks(database, task(1, "succeeded", round=1, error=None, **again))
    assert watch.value("tasks_finished_total", state="succeeded", code="", **labels) == 2


def test_a_look_loads_no_task_and_counts_in_the_database(database: Database) -> None:
    long_ago = now() - timedelta(hours=1)
    add_tasks(database, *(task(number, "succeeded", finished_at=long_ago) for number in range(20)))
    add_tasks(database, *(task(number, "queued") for number in range(20, 40)))
    watch = Watch(database)
    add_tasks(database, task(40, "failed", finished_at=now(), error={"code": "model_missing"}))
    loaded: list[object] = []

    def note(one: object, _context: object) -> None:
        loaded.append(one)

    sa.event.listen(Task, "load", note)
    try:
        assert watch.value("tasks", state="queued") == 20
        assert watch.value("tasks", state="succeeded") == 20
    finally:
        sa.event.remove(Task, "load", note)
    assert not loaded
    labels = {"pipeline": "meeting", "state": "failed", "code": "model_missing"}
    assert watch.value("tasks_finished_total", **labels) == 1


def test_the_records_are_read_once_a_second_at_most(database: Database) -> None:
    watch = Watch(database, step_s=0.0)
    assert watch.value("tasks", state="queued") == 0
    add_tasks(database, task(0, "queued"))
    assert watch.value("tasks", state="queued") == 0


def test_a_lost_database_is_shown_and_harms_nothing() -> None:
    database = Database("postgresql://nobody@127.0.0.1:1/none")
    watch = Watch(database)
    assert watch.value("database_up") == 0
    database.close()


def test_stages_are_timed_by_their_names_before_the_slash(database: Database) -> None:
    def done(stage: str, seconds: float) -> JobEvent:
        data = {"task": 0, "stage": stage, "seconds": seconds}
        return JobEvent(job_id="job_1", number=0, event="stage", data=data)

    add_tasks(database, task(0, "running"))
    with database.writing() as session:
        session.add(done("diarize", 100.0))
    watch = Watch(database)
    assert watch.value("job_stage_seconds_count", pipeline="meeting", stage="diarize") is None
    with database.writing() as session:
        session.add_all(
            [
                done("transcribe/0", 2.0),
                done("transcribe/1", 3.0),
                done("decode", 1.0),
                JobEvent(job_id="job_1", number=0, event="progress", data={}),
            ]
        )
    for _ in range(3):
        labels = {"pipeline": "meeting", "stage": "transcribe"}
        assert watch.value("job_stage_seconds_sum", **labels) == 5.0
        assert watch.value("job_stage_seconds_count", **labels) == 2
        assert watch.value("job_stage_seconds_sum", pipeline="meeting", stage="decode") == 1.0
    with database.writing() as session:
        session.add(done("decode", 1.0))
    assert watch.value("job_stage_seconds_count", pipeline="meeting", stage="decode") == 2
