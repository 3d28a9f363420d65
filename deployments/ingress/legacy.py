"""`/api/…/upload/`: the upload addresses of the earlier Django platform, as thin adapters over jobs.

What lives here: their fields and answers. What does not: the work, which the job `enhance`, `separate`,
`boost` or `extract` does; where this server has no such pipeline, `pipeline_missing` is answered before the
upload is read.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from fastapi import APIRouter, Request, Response
from fastapi import Path as InPath
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from clearcast.errors import (
    NotFound,
    Overloaded,
    PipelineMissing,
    QuotaExceeded,
    RequestMalformed,
    ServiceUnavailable,
    StorageFull,
    UploadStalled,
    UploadTooLarge,
)
from clearcast.storage.files import FileRecord
from clearcast.storage.job_order import JobFile, JobOrder
from clearcast.storage.job_records import JobView
from clearcast.storage.job_records import State as JobState
from deployments.ingress.access import Owner
from deployments.ingress.forms import Form, parse, request_body
from deployments.ingress.job_answers import ResultAnswer
from deployments.ingress.jobs import records_of
from deployments.ingress.problem_docs import problems
from deployments.ingress.problems import from_validation
from deployments.ingress.state import IngressState, State
from deployments.ingress.tus_parts import intake_of
from deployments.ingress.uploads import receive
from pipelines.recipe import Recipe
from pipelines.recipes import all_recipes

router = APIRouter(prefix="/api", tags=["Earlier platform"])

Boost = Annotated[int, Field(ge=2, le=5)]
_PROBLEMS = problems(
    *(Overloaded, PipelineMissing, QuotaExceeded, RequestMalformed, ServiceUnavailable, StorageFull),
    *(UploadStalled, UploadTooLarge),
)


class DenoiseForm(Form):
    """`POST /api/denoise/upload/`."""

    boost: Boost | None = Field(default=None, description="How much louder: 2, 3, 4 or 5 times.")


class SeparationForm(Form):
    """`POST /api/vocal-separation/upload/`."""

    stem: Literal["vocals", "music", "drums", "bass", "other"] = Field(
        default="vocals", description="What is wanted; `music` is everything but the vocals."
    )


class BoostForm(Form):
    """`POST /api/audio-boost/upload/`."""

    boost: Boost = Field(description="How much louder: 2, 3, 4 or 5 times.")


class ExtractionForm(Form):
    """`POST /api/speaker-extraction/upload/`."""

    files: ClassVar[dict[str, str]] = {
        "file": "The recording in which several people speak.",
        "reference": "A clip in which only the wanted person speaks.",
    }

    boost: Boost | None = Field(default=None, description="How much louder: 2, 3, 4 or 5 times.")


class LegacyJob(BaseModel):
    """A job, as the earlier platform told of it."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "job_id": "job_01k9x3v7w2e8m5q4r6t9y0z1ab",
                "status": "succeeded",
                "progress": 100,
                "status_url": "/api/jobs/job_01k9x3v7w2e8m5q4r6t9y0z1ab/",
                "download_url": "/v1/jobs/job_01k9x3v7w2e8m5q4r6t9y0z1ab/results/speech?task=0",
                "error": None,
            }
        }
    )

    job_id: str
    status: JobState
    progress: int = Field(description="Percent.")
    status_url: str = Field(description="Ask here until `download_url` is there.")
    download_url: str | None = Field(description="Where the result is, once the job has succeeded.")
    error: str | None = Field(description="Why the job failed.")

    @classmethod
    def of(cls, view: JobView) -> LegacyJob:
        whole = {
            result.name: result
            for result in view.results
            if result.number == 0 and not result.is_partial and result.kind != "extraction"
        }
        last = whole.get("boosted") or next(iter(whole.values()), None)
        error = next((task.error for task in view.tasks if task.error is not None), None)
        return cls(
            job_id=view.job.id,
            status=view.job.state,  # checked by pydantic
            progress=round(100 * view.fraction),
            status_url=f"{router.prefix}/jobs/{view.job.id}/",
            download_url=ResultAnswer.of(last).url if last and view.job.state == "succeeded" else None,
            error=None if error is None else str(error.get("detail", "")),
        )


@router.post(
    "/denoise/upload/",
    status_code=202,
    operation_id="legacyDenoise",
    summary="Take the noise out of a recording",
    responses=_PROBLEMS,
    openapi_extra=request_body(DenoiseForm),
)
async def denoise(request: Request, response: Response, owner: Owner, state: State) -> LegacyJob:
    """The job `enhance`, with an optional boost."""
    return await _Adapter(request, response, owner, state, "enhance").take(DenoiseForm)


@router.post(
    "/vocal-separation/upload/",
    status_code=202,
    operation_id="legacySeparate",
    summary="Take a song apart",
    responses=_PROBLEMS,
    openapi_extra=request_body(SeparationForm),
)
async def separate(request: Request, response: Response, owner: Owner, state: State) -> LegacyJob:
    """The job `separate`; gives the one stem that is asked for."""
    return await _Adapter(request, response, owner, state, "separate").take(SeparationForm)


@router.post(
    "/audio-boost/upload/",
    status_code=202,
    operation_id="legacyBoost",
    summary="Make a recording louder",
    responses=_PROBLEMS,
    openapi_extra=request_body(BoostForm),
)
async def boost(request: Request, response: Response, owner: Owner, state: State) -> LegacyJob:
    """The job `boost`."""
    return await _Adapter(request, response, owner, state, "boost").take(BoostForm)


@router.post(
    "/speaker-extraction/upload/",
    status_code=202,
    operation_id="legacyExtract",
    summary="Keep one person's voice",
    responses=_PROBLEMS,
    openapi_extra=request_body(ExtractionForm),
)
async def extract(request: Request, response: Response, owner: Owner, state: State) -> LegacyJob:
    """The job `extract`, on the mixed recording and a clip of the wanted person."""
    return await _Adapter(request, response, owner, state, "extract").take(ExtractionForm)


@router.get(
    "/jobs/{job_id}/",
    operation_id="legacyJob",
    summary="How such a job goes",
    responses=problems(NotFound),
)
async def read_job(job_id: Annotated[str, InPath(max_length=64)], owner: Owner, state: State) -> LegacyJob:
    """Any job of yours, in the earlier platform's form."""
    return LegacyJob.of(await asyncio.to_thread(records_of(state).job, owner, job_id))


class _Adapter:
    """One upload on its way to becoming a job. Raises PipelineMissing."""

    def __init__(
        self, request: Request, response: Response, owner: str, state: IngressState, pipeline: str
    ) -> None:
        self._request, self._response = request, response
        self._owner, self._state = owner, state
        self._recipe = _recipe(pipeline)

    async def take(self, kind: type[Form]) -> LegacyJob:
        kept: list[FileRecord] = []
        try:
            async with self._state.workroom.folder() as folder:
                limit_bytes = self._state.settings.audio.max_upload_bytes
                upload = await receive(self._request, folder, limit_bytes)
                options = _options(parse(kind, upload))
                for part in kind.files:
                    source = upload.file(part)
                    kept.append(await self._keep(upload.names.get(source, ""), source))
            if "reference" in kind.files:
                options["reference_file_id"] = kept[1].id
            job_id = await self._queue(kept[0], options)
            kept.clear()
        finally:
            for record in kept:
                await asyncio.to_thread(intake_of(self._state).drop, self._owner, record.id)
        job = LegacyJob.of(await asyncio.to_thread(records_of(self._state).job, self._owner, job_id))
        self._response.headers["Location"] = job.status_url
        return job

    async def _keep(self, name: str, source: Path) -> FileRecord:
        return await asyncio.to_thread(intake_of(self._state).take_file, self._owner, name, None, source)

    async def _queue(self, file: FileRecord, options: dict[str, Any]) -> str:
        try:
            self._recipe.Options.model_validate(options)
        except ValidationError as error:
            raise from_validation(error) from error
        order = JobOrder(self._recipe.name, options, [JobFile(file.id, file.name)])
        return (await asyncio.to_thread(records_of(self._state).accept, self._owner, order))[0]


def _recipe(pipeline: str) -> Recipe:
    recipe = all_recipes().get(pipeline)
    if recipe is None:
        raise PipelineMissing(
            f"This server has no pipeline {pipeline!r}.", hint="See GET /v1/pipelines.", pipeline=pipeline
        )
    return recipe


def _options(form: Form) -> dict[str, Any]:
    """The pipeline's options: only what was asked for, a boost as a mode, a stem as a list of stems."""
    options = form.model_dump(exclude_none=True)
    if "boost" in options:
        options["mode"] = f"{options.pop('boost')}x"
    if "stem" in options:
        stem = options.pop("stem")
        options["stems"] = ["accompaniment" if stem == "music" else stem]
    return options
