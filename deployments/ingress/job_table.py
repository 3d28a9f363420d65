"""`/v1/jobs/{job_id}/table`: a row for each file of a job, for those who send many."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query, Response

from clearcast.errors import NotFound
from clearcast.storage.job_outcomes import FileOutcome, job_outcomes
from deployments.ingress.access import Owner
from deployments.ingress.problem_docs import problems
from deployments.ingress.state import State
from pipelines.batch.table import WRITERS

router = APIRouter(prefix="/v1", tags=["Jobs"])

FIRST = (
    *("task", "file", "outcome", "error_code", "message", "duration_s", "seconds", "results"),
    *("source", "output"),
)
_TYPES = {"csv": "text/csv; charset=utf-8", "parquet": "application/vnd.apache.parquet"}
_ANSWER: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The table.",
        "content": {
            "text/csv": {"schema": {"type": "string"}},
            "application/vnd.apache.parquet": {"schema": {"type": "string", "format": "binary"}},
        },
    }
}


@router.get(
    "/jobs/{job_id}/table",
    operation_id="downloadTable",
    summary="What became of every file of a job",
    response_class=Response,
    responses={**_ANSWER, **problems(NotFound)},
)
async def download_table(
    job_id: Annotated[str, Path(max_length=64)],
    owner: Owner,
    state: State,
    format_name: Annotated[
        Literal["csv", "parquet"], Query(alias="format", description="CSV in UTF-8, or Parquet.")
    ] = "csv",
) -> Response:
    """A row for each file: how it ended and why, its length, the seconds of each stage, its results. While
    the job is at work, what there is so far."""
    table = await asyncio.to_thread(_table, state, owner, job_id, format_name)
    name = f"{job_id}.{format_name}"
    return Response(
        table,
        media_type=_TYPES[format_name],
        headers={"Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": "no-store"},
    )


def _table(state: State, owner: str, job_id: str, format_name: str) -> bytes:
    rows = [_row(outcome) for outcome in job_outcomes(state.database, owner, job_id)]
    columns = list(dict.fromkeys([*FIRST, *(name for row in rows for name in row)]))
    return WRITERS[format_name](columns, rows)


def _row(outcome: FileOutcome) -> dict[str, Any]:
    task, error = outcome.task, outcome.task.error or {}
    return {
        "task": task.number,
        "file": task.file_name,
        "outcome": task.state,
        "error_code": error.get("code"),
        "message": error.get("detail"),
        "duration_s": task.duration_s,
        "seconds": round(sum(outcome.stages_s.values()), 3),
        "results": " ".join(outcome.results),
        "source": task.file_id,
        "output": task.output_name,
        **{f"{stage}_s": round(seconds, 3) for stage, seconds in outcome.stages_s.items()},
    }
