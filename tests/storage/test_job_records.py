"""What the owner of a large job sees, and that it costs no more than of a small one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import sqlalchemy as sa

from clearcast.storage.database import Database
from clearcast.storage.job_order import JobFile, JobOrder
from clearcast.storage.job_progress import Ending, JobProgress
from clearcast.storage.job_records import SHOWN_TASKS, JobRecords
from clearcast.storage.tables import Task
from tests.storage.people import add_user

FILES = 250


@pytest.fixture
def records(database: Database) -> JobRecords:
    add_user(database, "anna")
    add_user(database, "ben")
    return JobRecords(database, max_queued=1000, max_running=2)


@pytest.fixture
def loaded() -> Iterator[list[object]]:
    """The tasks that were loaded whole."""
    found: list[object] = []

    def note(task: object, _context: object) -> None:
        found.append(task)

    sa.event.listen(Task, "load", note)
    yield found
    sa.event.remove(Task, "load", note)


def accept(records: JobRecords, owner_id: str, files: int) -> str:
    order = JobOrder("meeting", {}, [JobFile(f"file_{number}", f"{number}.wav") for number in range(files)])
    return records.accept(owner_id, order)[0]


def test_a_job_of_many_files_is_counted_and_not_loaded(
    database: Database, records: JobRecords, loaded: list[object]
) -> None:
    job_id = accept(records, "anna", FILES)
    progress = JobProgress(database)
    for number, state in ((0, "succeeded"), (1, "failed"), (200, "succeeded")):
        order = progress.start(job_id, number, 0)
        assert order is not None
        progress.finish(order, Ending(state))  # type: ignore[arg-type]
    for number, fraction in ((2, 0.25), (201, 0.5)):
        assert progress.start(job_id, number, 0) is not None
        progress.report((job_id, number), "diarize", 0.5, fraction)
    loaded.clear()
    view = records.job("anna", job_id)
    assert [task.number for task in view.tasks] == list(range(SHOWN_TASKS))
    assert view.counts == {"succeeded": 2, "failed": 1, "running": 2, "queued": FILES - 5}
    assert view.fraction == pytest.approx(3.75 / FILES)
    assert view.ahead == 0 and view.eta_s is not None
    assert len(loaded) <= SHOWN_TASKS + 2, "those shown and those at work"
    loaded.clear()
    records.cancel("anna", job_id)
    assert not loaded
    view = records.job("anna", job_id)
    assert view.counts["cancelled"] == FILES - 5


def test_the_files_ahead_are_those_before_the_first_waiting_one(
    database: Database, records: JobRecords
) -> None:
    first = accept(records, "anna", 3)
    second = accept(records, "ben", 1)
    assert (records.job("anna", first).ahead, records.job("ben", second).ahead) == (0, 0)
    third = accept(records, "ben", 1)
    assert records.job("ben", third).ahead == 2
    assert JobProgress(database).start(second, 0, 0) is not None
    assert records.job("ben", third).ahead == 1
    assert records.job("ben", second).ahead is None
