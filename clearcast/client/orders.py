"""What the Python client asks about jobs: submitting, looking, choosing a result.

What lives here: requests and short conversations. What does not: who holds them (`jobs`).
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias, TypedDict
from urllib.parse import quote

import httpx

from clearcast.client.files import SMALL_BYTES, OnBytes, upload_flow
from clearcast.client.flow import Flow, ask, ask_again
from clearcast.client.types import Job, JobState, JobSummary, Priority, StoredFile
from clearcast.client.wire import Call, read_items, read_object
from clearcast.errors import InputError, JobUnfinished

_PAGE = "200"
_MOST_PARTS = 50  # files in one form; the server takes 64 parts
_S3 = "s3://"


PlainFile: TypeAlias = str | Path | StoredFile


@dataclass(frozen=True, slots=True)
class FileWithOptions:
    """A file with options of its own, which come before those of the job; `file` may also be the address
    `s3://…` of one recording."""

    file: PlainFile
    options: Mapping[str, Any]


GivenFile: TypeAlias = PlainFile | FileWithOptions


class OrderFields(TypedDict, total=False):
    """What a job may have besides its pipeline and files: the pipeline's options, its place among your own
    jobs, a text to know it by, an address that is told of its end, the key that makes a repeated submission
    the same job, and a prefix `s3://BUCKET/PREFIX` that results go to, with the formats that documents and
    sounds have there."""

    options: Mapping[str, Any]
    priority: Priority
    label: str
    webhook_url: str
    idempotency_key: str
    destination: str
    formats: Sequence[str]
    sound_format: str


def submit_flow(
    pipeline: str,
    files: Sequence[GivenFile] | GivenFile,
    order: OrderFields,
    patience_s: float,
    on_upload: OnBytes,
) -> Flow[Job]:
    """Small files go with the order, in one request; large ones before it, in parts. What is in a bucket is
    for the server to fetch."""
    named = [files] if isinstance(files, str | Path | StoredFile | FileWithOptions) else list(files)
    special = [file for file in named if isinstance(file, FileWithOptions)]
    plain = [file for file in named if not isinstance(file, FileWithOptions)]
    sources = [str(file) for file in plain if _is_address(file)]
    given = [*(file for file in plain if not _is_address(file)), *(one.file for one in special)]
    headers = {"Idempotency-Key": order.get("idempotency_key") or uuid.uuid4().hex}
    body: dict[str, Any] = {"pipeline": pipeline, **order}
    body.pop("idempotency_key", None)
    paths = [path for path in map(_path_of, given) if path is not None]
    sizes = [_size_of(path) for path in paths]
    if (
        not (sources or special or "formats" in body)
        and len(paths) == len(given)
        and sum(sizes) <= SMALL_BYTES
        and 0 < len(paths) <= _MOST_PARTS
    ):
        fields = {name: _field(value) for name, value in body.items()}
        parts = [("file", path) for path in paths]
        call = Call("POST", "/v1/jobs", fields, parts, headers=headers)
    else:
        ids = yield from _ids_flow(given, sum(sizes), patience_s, on_upload)
        count = len(given) - len(special)
        body |= {"sources": sources, "file_ids": ids[:count]}
        pairs = zip(ids[count:], special, strict=True)
        body["files"] = [{"file": file, "options": dict(one.options)} for file, one in pairs]
        call = Call("POST", "/v1/jobs", body=body, headers=headers)
    return read_job((yield from ask_again(call)))


def _ids_flow(
    given: Sequence[PlainFile], total_bytes: int, patience_s: float, on_upload: OnBytes
) -> Flow[list[str]]:
    """The ids of the files, in their order, those of this machine uploaded; addresses stay as they are."""
    sent_bytes, ids = 0, []
    for file in given:
        path = _path_of(file)
        if path is None:
            ids.append(file.id if isinstance(file, StoredFile) else str(file))
            continue
        before = sent_bytes

        def tell(done: int, _total: int, before: int = before) -> None:
            on_upload(before + done, total_bytes)

        stored = yield from upload_flow(path, patience_s, tell)
        sent_bytes += stored.size_bytes
        ids.append(stored.id)
    return ids


def job_call(job_id: str, method: str = "GET", rest: str = "") -> Call:
    return Call(method, f"/v1/jobs/{quote(job_id, safe='')}{rest}")


def jobs_call(state: JobState | None, pipeline: str | None, after: str | None) -> Call:
    given = {"limit": _PAGE, "state": state, "pipeline": pipeline, "after": after}
    return Call("GET", "/v1/jobs", params={name: text for name, text in given.items() if text is not None})


def tasks_call(job_id: str, after: int) -> Call:
    path = f"/v1/jobs/{quote(job_id, safe='')}/tasks"
    return Call("GET", path, params={"limit": _PAGE, "after": str(after)})


def pipelines_call() -> Call:
    return Call("GET", "/v1/pipelines")


def table_call(job_id: str, format_name: str) -> Call:
    path = f"/v1/jobs/{quote(job_id, safe='')}/table"
    return Call("GET", path, params={"format": format_name})


def result_call(job_id: str, name: str, task: int, format_name: str | None) -> Call:
    params = {"task": str(task)} | ({} if format_name is None else {"format": format_name})
    path = f"/v1/jobs/{quote(job_id, safe='')}/results/{quote(name, safe='')}"
    return Call("GET", path, params=params)


def chosen_result_flow(job_id: str, task: int, name: str | None) -> Flow[str]:
    """`name`, or that of the main result of a job's file. Raises JobUnfinished while there is none."""
    if name is not None:
        return name
    job = read_job((yield from ask(job_call(job_id))))
    results = [result for result in job.results if result.task == task]
    if not results:
        if job.tasks and task >= len(job.tasks):
            return job.pipeline  # beyond the files that the answer shows; the server knows
        raise JobUnfinished(
            "There is no result yet." if not job.has_ended else "The job has no result.",
            hint=f"See how it goes: clearcast jobs show {job_id}",
        )
    return min(results, key=lambda result: (result.is_partial, result.name != job.pipeline)).name


def read_job(response: httpx.Response) -> Job:
    return Job.of(read_object(response))


def read_jobs(response: httpx.Response) -> tuple[list[JobSummary], str | None]:
    """A page of jobs, and where the next one begins."""
    jobs = [JobSummary.of(values) for values in read_items(response, "jobs")]
    return jobs, read_object(response).get("next")


def _is_address(file: PlainFile) -> bool:
    """Whether it lies in a bucket, for the server to fetch."""
    return isinstance(file, str) and file.startswith(_S3)


def _path_of(file: PlainFile) -> Path | None:
    """The file of this machine that is meant; None for one that is elsewhere."""
    if (
        isinstance(file, StoredFile)
        or _is_address(file)
        or (isinstance(file, str) and file.startswith("file_") and not Path(file).exists())
    ):
        return None
    return Path(file)


def _size_of(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}.") from error


def _field(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)
