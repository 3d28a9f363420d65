"""A long queue costs no more than a short one: as many statements, and none that reads whole tables."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import sqlalchemy as sa

from clearcast.storage.database import Database
from clearcast.storage.job_progress import JobProgress
from clearcast.storage.tables import Task, now
from clearcast.webhooks.records import WebhookRecords
from tests.deployments.jobs.conftest import ANNA, BEN, House

LONG = 500


@contextmanager
def statements(database: Database) -> Iterator[list[tuple[str, Any]]]:
    """What is said to the database within."""
    said: list[tuple[str, Any]] = []

    def listen(_connection: Any, _cursor: Any, text: str, values: Any, *_: Any) -> None:
        said.append((text, values))

    sa.event.listen(database.engine, "before_cursor_execute", listen)
    try:
        yield said
    finally:
        sa.event.remove(database.engine, "before_cursor_execute", listen)


def lengthen(house: House) -> str:
    """Queue many jobs of two people, and let some have been done; gives the last one's id."""
    last = ""
    for number in range(LONG):
        last = house.ask((ANNA, BEN)[number % 2])
    with house.database.writing() as session:
        first = session.scalars(sa.select(Task.job_id).order_by(Task.job_id).limit(50)).all()
        done = {"state": "succeeded", "started_at": now(), "finished_at": now()}
        session.execute(sa.update(Task).where(Task.job_id.in_(first)).values(**done))
    return last


def acts(house: House, job_id: str) -> dict[str, Callable[[], Any]]:
    progress, webhooks = JobProgress(house.database), WebhookRecords(house.database)
    return {
        "asking": lambda: house.ask(BEN),
        "looking": lambda: house.job(job_id, BEN),
        "listing": lambda: house.records.jobs(BEN),
        "counting what was handed over": progress.count_enqueued,
        "finding what is next": lambda: progress.not_enqueued(50),
        "finding what is open": progress.in_the_engine,
        "finding webhooks": webhooks.waiting,
    }


def test_every_act_takes_as_many_statements_as_with_an_empty_queue(house: House) -> None:
    counts: list[dict[str, int]] = []
    job_id = house.ask(BEN)
    for _ in range(2):
        found: dict[str, int] = {}
        for name, act in acts(house, job_id).items():
            with statements(house.database) as said:
                act()
            found[name] = len(said)
        counts.append(found)
        job_id = lengthen(house)
    assert counts[0] == counts[1]
    assert max(counts[0].values()) <= 16, counts[0]


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_no_act_reads_a_whole_table_or_sorts_the_queue(house: House) -> None:
    job_id = lengthen(house)
    for name, act in acts(house, job_id).items():
        with statements(house.database) as said:
            act()
        for text, values in said:
            if text.lstrip().upper().startswith(("SELECT", "UPDATE", "DELETE")):
                for step in plan(house.database, text, values):
                    assert not step.startswith("SCAN"), (name, step, text)
                    assert "TEMP B-TREE" not in step, (name, step, text)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_counting_what_was_handed_over_touches_the_index_only(house: House) -> None:
    with statements(house.database) as said:
        JobProgress(house.database).count_enqueued()
    [step] = plan(house.database, *said[-1])
    assert "COVERING INDEX tasks_by_state" in step


def plan(database: Database, text: str, values: Any) -> list[str]:
    with database.engine.connect() as connection:
        rows = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {text}", values).all()
    return [row[-1] for row in rows]
