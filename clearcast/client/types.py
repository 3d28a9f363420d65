"""What the Python client answers with, as frozen dataclasses; how they are read from the server's JSON.

What lives here: files, jobs, events, moments and keys. What does not: results of speech
(`clearcast/speech`), requests (`wire`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, TypeVar

from clearcast.errors import FileFormatInvalid

T = TypeVar("T")

JobState = Literal["queued", "running", "succeeded", "failed", "cancelled"]
Priority = Literal["low", "normal", "high"]
ENDED: frozenset[str] = frozenset({"succeeded", "failed", "cancelled"})

Values = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file on the server; `id` is what jobs are given."""

    id: str
    kind: str
    name: str
    media_type: str
    state: str
    size_bytes: int
    received_bytes: int
    sha256: str | None
    duration_s: float | None
    job_id: str | None
    created_at: datetime
    expires_at: datetime | None

    @classmethod
    def of(cls, values: Values) -> StoredFile:
        return read_as(cls, values, created_at=read_time, expires_at=read_time)


@dataclass(frozen=True, slots=True)
class JobProblem:
    """Why a file of a job failed."""

    code: str
    title: str
    detail: str
    hint: str | None = None


@dataclass(frozen=True, slots=True)
class JobTask:
    """One file of a job. Fractions lie in [0, 1]; `options` are its own, before those of the job; `outputs`
    are names below the job's destination."""

    number: int
    file_id: str
    file_name: str
    state: JobState
    stage: str | None
    stage_fraction: float
    fraction: float
    duration_s: float | None
    error: JobProblem | None
    warnings: tuple[str, ...]
    options: Mapping[str, Any] = field(default_factory=dict)
    outputs: tuple[str, ...] = ()

    @classmethod
    def of(cls, values: Values) -> JobTask:
        return read_as(cls, values, error=_problem, warnings=tuple, outputs=tuple)


@dataclass(frozen=True, slots=True)
class JobResult:
    """Where a result is; `is_partial` while later stages are to come, or after they failed.

    `facts`: of a sound its length, what made it, and its score card under "score"; of a document the score
    card of the recording.
    """

    task: int
    name: str
    kind: str
    is_partial: bool
    url: str
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class JobSummary:
    """A job in a list."""

    id: str
    pipeline: str
    label: str
    priority: Priority
    state: JobState
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None

    @property
    def has_ended(self) -> bool:
        return self.state in ENDED

    @classmethod
    def of(cls, values: Values) -> JobSummary:
        return read_as(JobSummary, values, **_TIMES)


@dataclass(frozen=True, slots=True)
class Job(JobSummary):
    """A job as it stands; `tasks` and `results` are of its first hundred files."""

    fraction: float
    eta_s: float | None
    files_ahead: int | None
    options: Mapping[str, Any]
    counts: Mapping[str, int]
    tasks: tuple[JobTask, ...]
    results: tuple[JobResult, ...]
    destination: str | None = None

    @classmethod
    def of(cls, values: Values) -> Job:
        return read_as(cls, values, **_TIMES, tasks=read_all(JobTask.of), results=read_all(_result))


@dataclass(frozen=True, slots=True)
class JobEvent:
    """Something that happened to a job.

    Attributes:
        id: following can go on after it.
        name: "queued", "running", "progress", "stage", "result", "task", or how the job ended.
        task: number of the file it is about, None for the job.
        data: everything the server told.
    """

    id: int
    name: str
    task: int | None = None
    stage: str | None = None
    stage_fraction: float | None = None
    fraction: float | None = None
    data: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_end(self) -> bool:
        return self.name in ENDED

    @classmethod
    def of(cls, event_id: int, name: str, data: Values) -> JobEvent:
        known = {key: data.get(key) for key in ("task", "stage", "stage_fraction", "fraction")}
        return cls(event_id, name, **known, data=data)


@dataclass(frozen=True, slots=True)
class Moment:
    """A place in a recording at which something was said; `marks` are places [start, end) of `text`."""

    job_id: str
    task: int
    file_name: str | None
    start_s: float
    end_s: float
    speaker: str | None
    text: str
    marks: tuple[tuple[int, int], ...]
    recorded_at: datetime

    @classmethod
    def of(cls, values: Values) -> Moment:
        return read_as(cls, values, recorded_at=read_time, marks=_marks)


@dataclass(frozen=True, slots=True)
class Pipeline:
    """A kind of job; `options` is the JSON Schema of its options."""

    name: str
    summary: str
    options: Mapping[str, Any]

    @classmethod
    def of(cls, values: Values) -> Pipeline:
        return read_as(cls, values)


def read_time(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


def _problem(values: Values | None) -> JobProblem | None:
    return None if values is None else read_as(JobProblem, values)


def _result(values: Values) -> JobResult:
    return read_as(JobResult, values)


def _marks(values: list[list[int]]) -> tuple[tuple[int, int], ...]:
    return tuple((start, end) for start, end in values)


def read_all(read: Callable[[Values], T]) -> Callable[[list[Values]], tuple[T, ...]]:
    return lambda items: tuple(read(item) for item in items)


_TIMES = {"created_at": read_time, "started_at": read_time, "finished_at": read_time}


def read_as(kind: type[T], values: Values, **readers: Callable[[Any], Any]) -> T:
    """`values` as a dataclass, without what the server says beyond its fields. Raises FileFormatInvalid."""
    names: Mapping[str, Any] = kind.__dataclass_fields__  # type: ignore[attr-defined]
    try:
        found = {
            name: readers[name](values[name]) if name in readers else values[name]
            for name in names
            if name in values
        }
        return kind(**found)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise FileFormatInvalid(f"The server's answer is no {kind.__name__}.") from error
