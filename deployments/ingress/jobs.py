"""`/v1/jobs`: work that is queued and survives everything. Nobody sees anybody else's.

What lives here: asking, looking, cancelling, asking again, results. What does not: the events
(`job_events.py`), taking an order apart (`job_orders.py`), and the work (`deployments/jobs`).
"""

from __future__ import annotations

import asyncio
from typing import Annotated

from fastapi import APIRouter, Path, Query, Request, Response

from clearcast.errors import (
    Conflict,
    JobUnfinished,
    NotFound,
    Overloaded,
    QuotaExceeded,
    RequestMalformed,
    ServiceUnavailable,
    StorageFull,
    UploadStalled,
    UploadTooLarge,
)
from clearcast.search.transcripts import TranscriptIndex
from clearcast.storage.job_records import JobRecords
from clearcast.storage.job_records import State as JobState
from deployments.ingress.access import Owner
from deployments.ingress.downloads import FormatName, download_answers
from deployments.ingress.forms import json_body, request_body
from deployments.ingress.job_answers import (
    JobAnswer,
    JobList,
    JobRequest,
    JobSummary,
    PipelineAnswer,
    PipelineList,
    TaskAnswer,
    TaskList,
)
from deployments.ingress.job_orders import JobForm, read_order
from deployments.ingress.problem_docs import problems
from deployments.ingress.sending import UntilSent, send_file
from deployments.ingress.state import IngressState, State
from deployments.ingress.tus_parts import intake_of, to_its_end
from pipelines.recipes import all_recipes

router = APIRouter(prefix="/v1", tags=["Jobs"])

MAX_PAGE = 200

JobId = Annotated[str, Path(max_length=64)]


def records_of(state: IngressState) -> JobRecords:
    jobs = state.settings.jobs
    return JobRecords(state.database, max_queued=jobs.max_queued, max_running=jobs.max_running)


@router.get("/pipelines", operation_id="listPipelines", summary="What jobs can do", responses=problems())
async def list_pipelines(_owner: Owner) -> PipelineList:
    """The kinds of job, each with the JSON Schema of its options."""
    return PipelineList(
        pipelines=[
            PipelineAnswer(
                name=recipe.name, summary=recipe.summary, options=recipe.Options.model_json_schema()
            )
            for recipe in all_recipes().values()
        ]
    )


def _bodies() -> dict[str, object]:
    as_json = json_body(JobRequest.model_json_schema())["requestBody"]["content"]
    as_form = request_body(JobForm)["requestBody"]["content"]
    return {"requestBody": {"required": True, "content": {**as_json, **as_form}}}


@router.post(
    "/jobs",
    status_code=202,
    operation_id="createJob",
    summary="Queue work on one file or many",
    responses=problems(
        *(Conflict, NotFound, Overloaded, QuotaExceeded, RequestMalformed, ServiceUnavailable),
        *(StorageFull, UploadStalled, UploadTooLarge),
    ),
    openapi_extra=_bodies(),
)
async def create_job(request: Request, response: Response, owner: Owner, state: State) -> JobAnswer:
    """Takes uploaded files by id, or files in the request itself. Once answered, the work will be done.

    With the header `Idempotency-Key`, a repeated request gives the same job.
    """
    records = records_of(state)
    async with read_order(request, state, owner) as order:

        def accept() -> str:
            job_id, is_new = records.accept(owner, order.job)
            if is_new:
                order.keep_files()
            return job_id

        # To its end also when the client leaves: a job that was accepted keeps its files.
        job_id = await to_its_end(accept)
    response.headers["Location"] = f"/v1/jobs/{job_id}"
    return JobAnswer.of_view(await asyncio.to_thread(records.job, owner, job_id))


@router.get("/jobs", operation_id="listJobs", summary="List your jobs", responses=problems())
async def list_jobs(
    owner: Owner,
    state: State,
    limit: Annotated[int, Query(ge=1, le=MAX_PAGE, description="Jobs on a page.")] = 50,
    after: Annotated[str | None, Query(max_length=64, description="`next` of the page before.")] = None,
    job_state: Annotated[JobState | None, Query(alias="state", description="Only those.")] = None,
    pipeline: Annotated[str | None, Query(max_length=64, description="Only those.")] = None,
) -> JobList:
    """The newest first."""
    found = await asyncio.to_thread(
        lambda: records_of(state).jobs(
            owner, state=job_state, pipeline=pipeline, limit=limit + 1, after=after
        )
    )
    page = found[:limit]
    return JobList(
        jobs=[JobSummary.of(job) for job in page], next=page[-1].id if len(found) > limit else None
    )


@router.get("/jobs/{job_id}", operation_id="getJob", summary="How a job goes", responses=problems(NotFound))
async def get_job(job_id: JobId, owner: Owner, state: State) -> JobAnswer:
    """State, progress by stage, time left, place in the queue, and the results there are."""
    return JobAnswer.of_view(await asyncio.to_thread(records_of(state).job, owner, job_id))


@router.get(
    "/jobs/{job_id}/tasks", operation_id="listTasks", summary="A job's files", responses=problems(NotFound)
)
async def list_tasks(
    job_id: JobId,
    owner: Owner,
    state: State,
    limit: Annotated[int, Query(ge=1, le=MAX_PAGE, description="Files on a page.")] = 100,
    after: Annotated[int, Query(ge=-1, le=2**31 - 1, description="`next` of the page before.")] = -1,
) -> TaskList:
    """In the order in which they were given."""
    found = await asyncio.to_thread(
        lambda: records_of(state).tasks(owner, job_id, limit=limit + 1, after=after)
    )
    page = found[:limit]
    return TaskList(
        tasks=[TaskAnswer.of(task) for task in page],
        next=page[-1].number if len(found) > limit else None,
    )


@router.delete(
    "/jobs/{job_id}", operation_id="cancelJob", summary="Cancel a job", responses=problems(NotFound)
)
async def cancel_job(job_id: JobId, owner: Owner, state: State) -> JobAnswer:
    """Stops what runs and drops what waits; what is finished stays. A job that has ended stays as it is."""
    records = records_of(state)
    await asyncio.to_thread(records.cancel, owner, job_id)
    return JobAnswer.of_view(await asyncio.to_thread(records.job, owner, job_id))


@router.post(
    "/jobs/{job_id}/retry",
    status_code=202,
    operation_id="retryJob",
    summary="Try again what failed or was cancelled",
    responses=problems(NotFound, JobUnfinished),
)
async def retry_job(job_id: JobId, owner: Owner, state: State) -> JobAnswer:
    """Goes on after the last finished stage of each file."""
    records = records_of(state)
    await asyncio.to_thread(records.retry, owner, job_id)
    return JobAnswer.of_view(await asyncio.to_thread(records.job, owner, job_id))


@router.post(
    "/jobs/{job_id}/erase",
    status_code=204,
    operation_id="eraseJob",
    summary="Erase a job and its results",
    responses=problems(NotFound, JobUnfinished),
)
async def erase_job(job_id: JobId, owner: Owner, state: State) -> Response:
    """The files that were uploaded for it stay; `DELETE /v1/files/{file_id}` removes those."""

    def erase() -> None:
        for file_id in records_of(state).delete(owner, job_id):
            try:
                intake_of(state).drop(owner, file_id)
            except NotFound:
                continue  # its time was over before
        TranscriptIndex(state.database).forget(owner, job_id)

    await asyncio.to_thread(erase)
    return Response(status_code=204)


@router.get(
    "/jobs/{job_id}/results/{name}",
    operation_id="downloadResult",
    summary="Download a result, in any format",
    response_class=Response,
    responses={**download_answers(), **problems(NotFound, JobUnfinished)},
)
async def download_result(
    job_id: JobId,
    name: Annotated[str, Path(max_length=64)],
    request: Request,
    owner: Owner,
    state: State,
    until_sent: UntilSent,
    task: Annotated[int, Query(ge=0, le=2**31 - 1, description="Number of the file in the job.")] = 0,
    format_name: FormatName = None,
) -> Response:
    """What is partial while the job runs is whole when it has succeeded."""
    result = await asyncio.to_thread(records_of(state).result, owner, job_id, task, name)
    record = await asyncio.to_thread(intake_of(state).find, owner, result.file_id)
    return await send_file(request, state, record, format_name, until_sent)
