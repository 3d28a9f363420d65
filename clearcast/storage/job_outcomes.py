"""What became of every file of a job, for a table: one look at tasks, results and stages.

What lives here: the query, which names the owner. What does not: how the table is written.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from clearcast.errors import NotFound
from clearcast.storage.database import Database
from clearcast.storage.tables import File, Job, JobEvent, Result, Task


@dataclass(frozen=True, slots=True)
class FileOutcome:
    """Attributes:
    task: the file, with how far it has come or how it ended.
    results: names of what there is of it, whole or in part.
    stages_s: seconds each stage took, by its group.
    """

    task: Task
    results: Sequence[str]
    stages_s: Mapping[str, float]


def job_outcomes(database: Database, owner_id: str, job_id: str) -> list[FileOutcome]:
    """Every file of the job, in order. Raises NotFound."""
    with database.reading() as session:
        if session.scalar(sa.select(Job.id).where(Job.id == job_id, Job.owner_id == owner_id)) is None:
            raise NotFound("There is no such job.", hint="GET /v1/jobs lists yours.")
        of_job = (Task.job_id == job_id, Task.owner_id == owner_id)
        tasks = session.scalars(sa.select(Task).where(*of_job).order_by(Task.number)).all()
        results, stages_s = _results(session, owner_id, job_id), _stages(session, job_id)
        return [
            FileOutcome(task, results.get(task.number, []), stages_s.get(task.number, {})) for task in tasks
        ]


def _results(session: Session, owner_id: str, job_id: str) -> dict[int, list[str]]:
    rows = session.execute(
        sa.select(Result.number, Result.name)
        .join(File, File.id == Result.file_id)
        .where(Result.job_id == job_id, Result.owner_id == owner_id)
        .order_by(Result.number, Result.name)
    )
    found: dict[int, list[str]] = {}
    for number, name in rows:
        found.setdefault(number, []).append(name)
    return found


def _stages(session: Session, job_id: str) -> dict[int, dict[str, float]]:
    """Of a job that is the owner's. A stage that was done in pieces took the sum of them."""
    rows = session.scalars(
        sa.select(JobEvent.data)
        .where(JobEvent.job_id == job_id, JobEvent.event == "stage")
        .order_by(JobEvent.id)
    )
    found: dict[int, dict[str, float]] = {}
    for data in rows:
        _add(found.setdefault(data["task"], {}), data)
    return found


def _add(seconds: dict[str, float], data: Mapping[str, Any]) -> None:
    group = str(data["stage"]).partition("/")[0]
    seconds[group] = seconds.get(group, 0.0) + float(data["seconds"])
