"""Jobs as the API shows them, and what may be asked for."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.config import JsonDict

from clearcast.storage.fair_queue import Priority
from clearcast.storage.job_records import OPEN, SHOWN_TASKS, JobView, State
from clearcast.storage.tables import Job, Result, Task

MAX_FILES = 1000
MAX_SOURCES = 20
MAX_SOURCE_CHARACTERS = 1024
MAX_LABEL_CHARACTERS = 200
MAX_FORMATS = 16

SOURCES = (
    "Prefixes `s3://BUCKET/PREFIX` that this server reads from (`jobs.s3_sources`); every recording below"
    " becomes a task. The address of a manifest (`.csv`, `.jsonl`) means the recordings in its column"
    " `file`, with the options in its other columns."
)
DESTINATION = (
    "A prefix `s3://BUCKET/PREFIX` that this server writes to (`jobs.s3_destinations`). Results go there"
    " too; a file whose results are there already is not done again."
)
FORMATS = "Of documents at the destination; `json` when none is named."
SOUND_FORMAT = "Of sounds at the destination; `flac` when none is named."

_EXAMPLE: JsonDict = {
    "id": "job_01k9x3v7w2e8m5q4r6t9y0z1ab",
    "pipeline": "meeting",
    "label": "Monday",
    "priority": "normal",
    "state": "running",
    "fraction": 0.42,
    "eta_s": 31.5,
    "files_ahead": None,
    "created_at": "2026-03-02T09:00:00Z",
    "started_at": "2026-03-02T09:00:01Z",
    "finished_at": None,
    "options": {"language": "fa"},
    "destination": "s3://radio/2026/text",
    "formats": ["json", "srt"],
    "sound_format": "flac",
    "counts": {"running": 1},
    "tasks": [
        {
            "number": 0,
            "file_id": "file_01k9x3v7w2e8m5q4r6t9y0z1ab",
            "file_name": "monday.wav",
            "state": "running",
            "stage": "transcribe",
            "stage_fraction": 0.2,
            "fraction": 0.42,
            "duration_s": None,
            "error": None,
            "warnings": [],
            "options": {},
            "outputs": [],
        }
    ],
    "results": [
        {
            "task": 0,
            "name": "meeting",
            "kind": "meeting",
            "is_partial": True,
            "facts": {},
            "url": "/v1/jobs/job_01k9x3v7w2e8m5q4r6t9y0z1ab/results/meeting?task=0",
        }
    ],
}


class FileRequest(BaseModel):
    """A file with options of its own."""

    model_config = ConfigDict(extra="forbid")

    file: str = Field(
        max_length=MAX_SOURCE_CHARACTERS,
        description="An uploaded file's id, or an address `s3://…` as in `sources`.",
    )
    options: dict[str, Any] = Field(
        default={}, description="The pipeline's options for this file, before those of the job."
    )


class JobRequest(BaseModel):
    """`POST /v1/jobs` as JSON."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "example": {
                "pipeline": "meeting",
                "file_ids": ["file_01k9x3v7w2e8m5q4r6t9y0z1ab"],
                "files": [{"file": "s3://radio/2026/march/monday.mp3", "options": {"language": "en"}}],
                "options": {"language": "fa"},
                "destination": "s3://radio/2026/text",
                "formats": ["json", "srt"],
            }
        },
    )

    pipeline: str = Field(max_length=64, description="What is to be done; see GET /v1/pipelines.")
    file_ids: list[str] = Field(
        default=[], max_length=MAX_FILES, description="Files that were uploaded; each becomes a task."
    )
    sources: list[Annotated[str, Field(max_length=MAX_SOURCE_CHARACTERS)]] = Field(
        default=[], max_length=MAX_SOURCES, description=SOURCES
    )
    files: list[FileRequest] = Field(
        default=[], max_length=MAX_FILES, description="Files with options of their own."
    )
    options: dict[str, Any] = Field(default={}, description="The pipeline's own options.")
    destination: str | None = Field(default=None, max_length=MAX_SOURCE_CHARACTERS, description=DESTINATION)
    formats: list[str] = Field(default=[], max_length=MAX_FORMATS, description=FORMATS)
    sound_format: str | None = Field(default=None, max_length=16, description=SOUND_FORMAT)
    priority: Priority = Field(default="normal", description="Among your own jobs and, a little, all.")
    label: str = Field(default="", max_length=MAX_LABEL_CHARACTERS, description="For you to know it by.")
    webhook_url: str | None = Field(
        default=None, max_length=2000, description="Is told, signed, when the job has ended."
    )


class ProblemSummary(BaseModel):
    """Why a task failed."""

    code: str
    title: str
    detail: str
    hint: str | None = None


class TaskAnswer(BaseModel):
    """One file of a job."""

    number: int
    file_id: str = Field(description="Its id, or its address `s3://…` where it lies in a bucket.")
    file_name: str
    state: State
    stage: str | None = Field(description="What is being done.")
    stage_fraction: float = Field(description="How much of that stage is done, in [0, 1].")
    fraction: float = Field(description="How much of all is done, in [0, 1]; it never goes back.")
    duration_s: float | None = Field(description="Length of the recording, once it is known.")
    error: ProblemSummary | None
    warnings: list[str]
    options: dict[str, Any] = Field(description="Its own, before those of the job.")
    outputs: list[str] = Field(description="Names of its results below the job's destination.")

    @classmethod
    def of(cls, task: Task) -> TaskAnswer:
        return cls(
            number=task.number,
            file_id=task.file_id,
            file_name=task.file_name,
            state=task.state,  # checked by pydantic
            stage=task.stage,
            stage_fraction=task.stage_fraction,
            fraction=task.fraction,
            duration_s=task.duration_s,
            error=None if task.error is None else ProblemSummary(**task.error),
            warnings=task.warnings,
            options=task.options,
            outputs=task.outputs,
        )


class ResultAnswer(BaseModel):
    """Where a result is."""

    task: int
    name: str
    kind: str = Field(description='What kind of document it is: "meeting", "transcript", …')
    is_partial: bool = Field(description="Whether later stages are still to come, or failed.")
    facts: dict[str, Any] = Field(
        description="Of a sound: what made it, and its score card (loudness, peaks, what was removed)."
    )
    url: str

    @classmethod
    def of(cls, result: Result) -> ResultAnswer:
        url = f"/v1/jobs/{result.job_id}/results/{result.name}?task={result.number}"
        return cls(
            task=result.number,
            name=result.name,
            kind=result.kind,
            is_partial=result.is_partial,
            facts=result.facts,
            url=url,
        )


class JobSummary(BaseModel):
    """A job in a list."""

    id: str
    pipeline: str
    label: str
    priority: str
    state: State
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None

    @classmethod
    def of(cls, job: Job) -> JobSummary:
        return cls.model_validate(job, from_attributes=True)


class JobList(BaseModel):
    jobs: list[JobSummary]
    next: str | None = Field(description="Send it as `after` for the next page; null on the last one.")


class JobAnswer(JobSummary):
    model_config = ConfigDict(json_schema_extra={"example": _EXAMPLE})

    fraction: float = Field(description="How much of all its files is done, in [0, 1].")
    eta_s: float | None = Field(description="Seconds until it should be done; null when it is.")
    files_ahead: int | None = Field(
        description="Files of all people that come before the first waiting one of this job."
    )
    options: dict[str, Any]
    destination: str | None = Field(description="Where results go beside this server.")
    formats: list[str] = Field(description="Of documents there.")
    sound_format: str | None = Field(description="Of sounds there.")
    counts: dict[str, int] = Field(description="Number of its files by state.")
    tasks: list[TaskAnswer] = Field(
        description=f"Its files, the first {SHOWN_TASKS}; all of them at /v1/jobs/{{job_id}}/tasks."
    )
    results: list[ResultAnswer] = Field(description="What there is so far of the files shown.")

    @classmethod
    def of_view(cls, view: JobView) -> JobAnswer:
        there = view.job.destination or {"address": None, "formats": [], "sound_format": None}
        return cls(
            **JobSummary.of(view.job).model_dump(),
            fraction=round(view.fraction, 4),
            eta_s=None if view.eta_s is None else round(view.eta_s, 1),
            files_ahead=view.ahead,
            options=view.job.options,
            destination=there["address"],
            formats=there["formats"],
            sound_format=there["sound_format"],
            counts=dict(view.counts),
            tasks=[TaskAnswer.of(task) for task in view.tasks],
            results=[ResultAnswer.of(result) for result in view.results],
        )


class TaskList(BaseModel):
    tasks: list[TaskAnswer]
    next: int | None = Field(description="Send it as `after` for the next page; null on the last one.")


class PipelineAnswer(BaseModel):
    """A kind of job."""

    name: str
    summary: str
    options: dict[str, Any] = Field(description="JSON Schema of its options.")


class PipelineList(BaseModel):
    pipelines: list[PipelineAnswer]


EndedState = Literal["succeeded", "failed", "cancelled"]


def has_ended(state: str) -> bool:
    return state not in OPEN
