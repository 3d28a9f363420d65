"""What is forgotten, and what is not."""

from __future__ import annotations

from datetime import timedelta

import sqlalchemy as sa

from clearcast.storage.database import Database
from clearcast.storage.job_order import JobFile, JobOrder
from clearcast.storage.job_progress import Ending, JobProgress
from clearcast.storage.job_records import JobRecords
from clearcast.storage.old_rows import DELIVERIES_KEPT, EVENTS_KEPT, forget_rows
from clearcast.storage.tables import Job, OneTimeCode, RefreshToken, WebhookDelivery, now
from tests.storage.people import add_user


def ended_job(database: Database) -> str:
    order = JobOrder("meeting", {}, [JobFile("file_1", "a.wav")], webhook_url="https://example.org/")
    job_id, _ = JobRecords(database, max_queued=9, max_running=1).accept("anna", order)
    progress = JobProgress(database)
    task = progress.start(job_id, 0, 0)
    assert task is not None
    progress.report(task.key, "diarize", 0.5, 0.5)
    progress.finish(task, Ending("succeeded"))
    return job_id


def events(database: Database, job_id: str) -> list[str]:
    records = JobRecords(database, max_queued=9, max_running=1)
    return [event.event for event in records.events("anna", job_id, 0)]


def test_the_course_of_an_old_job_goes_and_its_end_stays(database: Database) -> None:
    add_user(database, "anna")
    old, new = ended_job(database), ended_job(database)
    with database.writing() as session:
        session.execute(sa.update(Job).where(Job.id == old).values(finished_at=now() - EVENTS_KEPT))
    course = events(database, new)
    assert forget_rows(database, now()) == len(course) - 1
    assert events(database, old) == ["succeeded"]
    assert events(database, new) == course
    assert forget_rows(database, now()) == 0


def test_log_ins_and_webhooks_that_are_over_go(database: Database) -> None:
    add_user(database, "anna")
    ended_job(database)
    ended_job(database)
    with database.writing() as session:
        sent, waits = session.scalars(sa.select(WebhookDelivery))
        sent.finished_at = now() - DELIVERIES_KEPT
        for name, left_s in (("over", -1.0), ("open", 60.0)):
            ends = now() + timedelta(seconds=left_s)
            session.add(RefreshToken(sha256=name, family_id=name, owner_id="anna", expires_at=ends))
            session.add(OneTimeCode(sha256=name, owner_id="anna", expires_at=ends))
        kept = waits.id
    assert forget_rows(database, now()) == 3
    with database.reading() as session:
        assert session.scalars(sa.select(WebhookDelivery.id)).all() == [kept]
        assert session.scalars(sa.select(RefreshToken.sha256)).all() == ["open"]
        assert session.scalars(sa.select(OneTimeCode.sha256)).all() == ["open"]
