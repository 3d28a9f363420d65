"""What a request for a job asks for, taken apart and checked before anything is queued.

What lives here: JSON or a form with files → `JobOrder`. What does not: the queue (`clearcast/storage`).
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, ClassVar

from fastapi import Request
from pydantic import Field, ValidationError

from clearcast.errors import NotFound, OptionInvalid
from clearcast.storage.fair_queue import Priority
from clearcast.storage.files import FileRecord
from clearcast.storage.job_records import JobOrder
from clearcast.webhooks.guard import AddressRefused, find_target
from deployments.ingress.forms import Form, parse, parse_json
from deployments.ingress.job_answers import (
    MAX_FILES,
    MAX_LABEL_CHARACTERS,
    MAX_SOURCES,
    SOURCES,
    JobRequest,
)
from deployments.ingress.problems import from_validation
from deployments.ingress.state import IngressState
from deployments.ingress.tus_parts import intake_of
from deployments.ingress.uploads import read_body, receive
from pipelines.batch.bucket_recordings import BucketRecordings
from pipelines.recipes import all_recipes

MAX_JSON_BYTES = 1 << 20
MAX_BUCKET_FILES = 10_000
_KEY = re.compile(r"[\x21-\x7e]{1,200}")


class JobForm(Form):
    """`POST /v1/jobs` as a form."""

    files: ClassVar[dict[str, str]] = {"file": "Recordings; each becomes a task."}

    pipeline: str = Field(max_length=64, description="What is to be done; see GET /v1/pipelines.")
    file_ids: list[str] = Field(
        default=[], max_length=MAX_FILES, description="Files that were uploaded before."
    )
    sources: list[str] = Field(default=[], max_length=MAX_SOURCES, description=SOURCES)
    options: str = Field(default="{}", description="The pipeline's own options, as JSON.")
    priority: Priority = Field(default="normal", description="Among your own jobs and, a little, all.")
    label: str = Field(default="", max_length=MAX_LABEL_CHARACTERS, description="For you to know it by.")
    webhook_url: str | None = Field(
        default=None, max_length=2000, description="Is told, signed, when the job has ended."
    )


class Asked:
    """An order, with the files that came with it. Unless they are to be kept, they go."""

    def __init__(self, job: JobOrder, came: Sequence[FileRecord]) -> None:
        self.job = job
        self.came = list(came)

    def keep_files(self) -> None:
        self.came.clear()


@asynccontextmanager
async def read_order(request: Request, state: IngressState, owner: str) -> AsyncIterator[Asked]:
    """The order in the request's body. Raises what uploads and forms raise, NotFound, OptionInvalid."""
    intake = intake_of(state)
    came: list[FileRecord] = []
    asked: Asked | None = None
    try:
        if request.headers.get("content-type", "").startswith("multipart/form-data"):
            wanted = await _from_form(request, state, owner, came)
        else:
            wanted = parse_json(JobRequest, await read_body(request, MAX_JSON_BYTES))
        asked = Asked(await _checked(request, state, owner, wanted, came), came)
        yield asked
    finally:
        for record in came if asked is None else asked.came:
            await asyncio.to_thread(intake.drop, owner, record.id)


async def _from_form(
    request: Request, state: IngressState, owner: str, came: list[FileRecord]
) -> JobRequest:
    async with state.workroom.folder() as folder:
        upload = await receive(request, folder, state.settings.audio.max_upload_bytes)
        form = parse(JobForm, upload)
        for source in upload.files.get("file", []):
            name = upload.names.get(source, "")
            came.append(await asyncio.to_thread(intake_of(state).take_file, owner, name, None, source))
    try:
        options = json.loads(form.options)
    except ValueError as error:
        raise OptionInvalid("The options are not JSON.", field="options") from error
    values: dict[str, Any] = {**form.model_dump(), "options": options}
    try:
        return JobRequest.model_validate(values)
    except ValidationError as error:
        raise from_validation(error) from error


async def _checked(
    request: Request, state: IngressState, owner: str, wanted: JobRequest, came: Sequence[FileRecord]
) -> JobOrder:
    recipe = all_recipes().get(wanted.pipeline)
    if recipe is None:
        known = ", ".join(all_recipes())
        raise OptionInvalid(f"There is no pipeline {wanted.pipeline!r}.", hint=f"There are: {known}.")
    try:
        options = recipe.Options.model_validate(wanted.options)
    except ValidationError as error:
        raise from_validation(error) from error
    await asyncio.to_thread(_stored, state, owner, options.file_ids(), "options")
    known_files = await asyncio.to_thread(_stored, state, owner, wanted.file_ids)
    files = [(file.id, file.name) for file in (*known_files, *came)]
    files += await asyncio.to_thread(_in_buckets, state, owner, wanted.sources)
    if not files:
        raise OptionInvalid("A job needs at least one file.", hint="Send file parts, file_ids or sources.")
    if wanted.webhook_url is not None:
        await _check_webhook(wanted.webhook_url, state)
    return JobOrder(
        pipeline=wanted.pipeline,
        options=wanted.options,
        files=files,
        priority=wanted.priority,
        label=wanted.label,
        webhook_url=wanted.webhook_url,
        idempotency_key=_idempotency_key(request),
        request_sha256=_digest(wanted, came),
    )


def _stored(
    state: IngressState, owner: str, file_ids: Sequence[str], field: str = "file_ids"
) -> list[FileRecord]:
    """The owner's files of these ids, all of them whole; `field` of the request names them.

    Raises NotFound, OptionInvalid.
    """
    if not file_ids:
        return []
    intake = intake_of(state)
    known = intake.records.find_all(owner, file_ids)
    records = []
    for file_id in file_ids:
        record = known.get(file_id)
        if record is not None and record.is_stored:
            records.append(record)
            continue
        try:
            record = intake.find(owner, file_id)  # its last byte may just have arrived
        except NotFound as error:
            raise NotFound(
                f"You have no file {file_id[:64]!r}.", hint="See GET /v1/files.", field=field
            ) from error
        if not record.is_stored:
            raise OptionInvalid(f"The upload {file_id} is not finished yet.", field=field)
        records.append(record)
    return records


def _in_buckets(state: IngressState, owner: str, sources: Sequence[str]) -> list[tuple[str, str]]:
    """Every recording below the sources, once: its address and its name.

    Raises Forbidden, NotFound, OptionInvalid, ServiceUnavailable.
    """
    bucket = BucketRecordings(state.settings, owner)
    found: dict[str, str] = {}
    for source in sources:
        found |= {one.address: one.name for one in bucket.find(source, MAX_BUCKET_FILES - len(found))}
    return list(found.items())


async def _check_webhook(url: str, state: IngressState) -> None:
    try:
        await find_target(url, private=state.settings.jobs.webhook_private_networks)
    except AddressRefused as error:
        raise OptionInvalid(
            "The webhook's address may not be called from here.",
            hint="Only public http and https addresses; see jobs.webhook_private_networks.",
            field="webhook_url",
        ) from error


def _idempotency_key(request: Request) -> str | None:
    key = request.headers.get("idempotency-key")
    if key is not None and _KEY.fullmatch(key) is None:
        raise OptionInvalid("An Idempotency-Key has 1 to 200 printable ASCII characters.")
    return key


def _digest(wanted: JobRequest, came: Sequence[FileRecord]) -> str:
    """What tells one request from another: everything in it but the ids that its own files were given."""
    facts = {**wanted.model_dump(mode="json"), "came": [(file.name, file.sha256) for file in came]}
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
