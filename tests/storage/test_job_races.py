"""What the owner of a job and its runner do at the same moment; PostgreSQL lets them, SQLite does not."""

from __future__ import annotations

import pytest

from clearcast.storage.database import Database
from clearcast.storage.job_order import JobFile, JobOrder
from clearcast.storage.job_progress import JobProgress, TaskRound
from clearcast.storage.job_records import JobRecords
from tests.storage.interleaving import in_between
from tests.storage.people import add_user

pytestmark = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)


@pytest.fixture
def records(database: Database) -> JobRecords:
    add_user(database, "anna")
    return JobRecords(database, max_queued=10, max_running=1)


@pytest.fixture
def running(database: Database, records: JobRecords) -> str:
    """A job whose only task is at work."""
    order = JobOrder("meeting", {}, [JobFile("file_1", "a.wav")])
    job_id, _ = records.accept("anna", order)
    progress = JobProgress(database)
    progress.mark_enqueued(progress.not_enqueued(1))
    assert progress.start(job_id, 0, 0) is not None
    return job_id


def test_a_cancelled_task_that_is_handed_back_meanwhile_stays_cancelled(
    database: Database, records: JobRecords, running: str
) -> None:
    progress = JobProgress(database)
    with in_between(database, "UPDATE tasks", lambda: progress.hand_back(TaskRound(running, 0, 0))):
        records.cancel("anna", running)
    order = progress.start(running, 0, 1)
    assert order is None or progress.cancel_wanted([order.key]) == [order.key]


def test_events_of_a_job_are_committed_in_the_order_of_their_ids(
    database: Database, records: JobRecords, running: str
) -> None:
    progress = JobProgress(database)
    seen: list[int] = []

    def other() -> None:
        progress.stage_done((running, 0), "diarize", 1.0)
        seen.extend(event.id for event in records.events("anna", running, 0))

    with in_between(database, "INSERT INTO job_events", other):
        progress.report((running, 0), "diarize", 0.5, 0.5)
    # Whoever had read the second event and gone on after it would have missed the first.
    assert seen == [event.id for event in records.events("anna", running, 0)]


def test_tasks_are_marked_while_their_job_is_cancelled(database: Database, records: JobRecords) -> None:
    files = [JobFile("file_1", "a.wav"), JobFile("file_2", "b.wav")]
    job_id, _ = records.accept("anna", JobOrder("meeting", {}, files))
    progress = JobProgress(database)
    # The later file first: the cancelling comes upon the rows the other way round.
    backwards = progress.not_enqueued(2)[::-1]
    with in_between(database, "UPDATE tasks", lambda: records.cancel("anna", job_id)):
        progress.mark_enqueued(backwards)
    assert records.state("anna", job_id) == "cancelled"
    assert [progress.start(job_id, number, 0) for number in (0, 1)] == [None, None]
