"""Two people with jobs of theirs, and the index over what was said in them."""

from __future__ import annotations

import pytest

from clearcast.search.transcripts import TranscriptIndex
from clearcast.storage.database import Database
from clearcast.storage.tables import Job, Task, User


@pytest.fixture
def index(database: Database) -> TranscriptIndex:
    """Of a database where "user_anna" has the jobs "job_a" (two files) and "job_b", "user_omid" "job_o"."""
    with database.writing() as session:
        for owner in ("user_anna", "user_omid"):
            session.add(User(id=owner, name=owner, name_key=owner))
        session.flush()
        for job, owner, count in (
            ("job_a", "user_anna", 2),
            ("job_b", "user_anna", 1),
            ("job_o", "user_omid", 1),
        ):
            session.add(
                Job(
                    id=job,
                    owner_id=owner,
                    pipeline="meeting",
                    options={},
                    priority="normal",
                    state="succeeded",
                )
            )
            session.flush()
            for number in range(count):
                session.add(
                    Task(
                        job_id=job,
                        number=number,
                        owner_id=owner,
                        pipeline="meeting",
                        file_id="file_1",
                        file_name=f"{job}-{number}.wav",
                        state="succeeded",
                        place=0,
                    )
                )
    return TranscriptIndex(database)
