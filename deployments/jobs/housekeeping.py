"""What the runner cleans up now and then: files past their time, rests of tasks, old workflows."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import groupby
from pathlib import Path

import sqlalchemy as sa
from dbos import DBOS

from clearcast.search.transcripts import TranscriptIndex
from clearcast.settings import Settings
from clearcast.storage.blobs import BlobStore
from clearcast.storage.database import Database
from clearcast.storage.job_records import OPEN
from clearcast.storage.old_rows import forget_rows
from clearcast.storage.retention import sweep
from clearcast.storage.tables import File, Job, Task

logger = logging.getLogger(__name__)

OVER = ("SUCCESS", "ERROR", "CANCELLED", "MAX_RECOVERY_ATTEMPTS_EXCEEDED")
"""The states of a DBOS workflow that will not go on."""

PAGE = 500
KEPT_WORKFLOWS_S = 7 * 86400.0  # a workflow that is over is of no more use; its job has its own record


def clean_house(settings: Settings, database: Database, blobs: BlobStore) -> None:
    """One round of cleaning; blocking, and safe to be killed in."""
    swept = sweep(database, blobs, settings, datetime.now(UTC))
    stages = _drop_blobs(database, blobs)
    folders = _drop_folders(database, settings.data_path / "jobs")
    rows = forget_rows(database, datetime.now(UTC))
    TranscriptIndex(database).compact()
    logger.info(
        "house cleaned", extra={"swept": str(swept), "stages": stages, "folders": folders, "rows": rows}
    )


async def forget_workflows() -> None:
    """Remove the records of workflows that ended long ago."""
    limit = datetime.now(UTC) - timedelta(seconds=KEPT_WORKFLOWS_S)
    while True:
        old = await DBOS.list_workflows_async(
            status=list(OVER),
            completed_before=limit.isoformat(),
            limit=PAGE,
            load_input=False,
            load_output=False,
        )
        if not old:
            return
        await DBOS.delete_workflows_async([workflow.workflow_id for workflow in old])


def _drop_blobs(database: Database, blobs: BlobStore) -> int:
    """Everything of jobs that are gone, and stages of tasks that succeeded: kills leave them behind."""
    dropped = 0
    for job_id, group in groupby(blobs.keys("jobs/"), lambda key: key.split("/")[1]):
        keys = list(group)
        states = _states(database, job_id)
        for key in keys if states is None else _needless(keys, states):
            blobs.delete(key)
            dropped += 1
        if states is None:
            with database.writing() as session:
                session.execute(sa.delete(File).where(File.job_id == job_id, File.kind == "result"))
    return dropped


def _needless(keys: Sequence[str], states: Mapping[int, str]) -> Iterator[str]:
    """Those of the job's blobs that are stages of tasks which will not go on."""
    for key in keys:
        _, _, number, kind, *_ = [*key.split("/"), "", ""]
        if kind == "stages" and states.get(int(number), "succeeded") == "succeeded":
            yield key


def _states(database: Database, job_id: str) -> Mapping[int, str] | None:
    """The states of the job's tasks; None when there is no such job."""
    with database.reading() as session:
        if session.get(Job, job_id) is None:
            return None
        rows = session.execute(sa.select(Task.number, Task.state).where(Task.job_id == job_id)).all()
        return {row.number: row.state for row in rows}


def _drop_folders(database: Database, root: Path) -> int:
    """Working copies of tasks that nobody works on."""
    dropped = 0
    for folder in root.iterdir() if root.is_dir() else ():
        job_id, number, *_round = folder.name.split(".")
        states = _states(database, job_id) or {}
        if number.isdigit() and states.get(int(number)) not in OPEN:
            shutil.rmtree(folder, ignore_errors=True)
            dropped += 1
    return dropped
