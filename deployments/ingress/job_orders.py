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

from clearcast.audio.encode import format_named as sound_format_named
from clearcast.errors import OptionInvalid
from clearcast.speech.formats import format_named
from clearcast.storage.fair_queue import Priority
from clearcast.storage.files import FileRecord
from clearcast.storage.job_order import Destination, JobOrder
from clearcast.webhooks.guard import AddressRefused, find_target
from deployments.ingress.forms import Form, parse, parse_json
from deployments.ingress.job_answers import (
    DESTINATION,
    FORMATS,
    MAX_FILES,
    MAX_FORMATS,
    MAX_LABEL_CHARACTERS,
    MAX_SOURCE_CHARACTERS,
    MAX_SOURCES,
    SOUND_FORMAT,
    SOURCES,
    JobRequest,
)
from deployments.ingress.job_files import check_options, find_files
from deployments.ingress.problems import from_validation
from deployments.ingress.state import IngressState
from deployments.ingress.tus_parts import intake_of
from deployments.ingress.uploads import read_body, receive
from pipelines.batch.allowed_prefixes import allowed_destinations
from pipelines.recipes import all_recipes

MAX_JSON_BYTES = 1 << 20
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
    destination: str | None = Field(default=None, max_length=MAX_SOURCE_CHARACTERS, description=DESTINATION)
    formats: list[str] = Field(default=[], max_length=MAX_FORMATS, description=FORMATS)
    sound_format: str | None = Field(default=None, max_length=16, description=SOUND_FORMAT)
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
    destination = _destination(state, owner, wanted)
    files = await asyncio.to_thread(find_files, state, owner, wanted, came)
    await asyncio.to_thread(check_options, state, owner, recipe, wanted.options, files)
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
        destination=destination,
    )


def _destination(state: IngressState, owner: str, wanted: JobRequest) -> Destination | None:
    """Raises Forbidden for one that may not be written to, OptionInvalid."""
    if wanted.destination is None:
        if wanted.formats or wanted.sound_format:
            raise OptionInvalid(
                "Formats are those of results at a destination, and none is named.",
                hint="Results that stay with the server come in any format when they are downloaded.",
                field="destination",
            )
        return None
    allowed_destinations(state.settings, owner).check(wanted.destination)
    formats = dict.fromkeys(format_named(name).name for name in wanted.formats or ["json"])
    sound_format = sound_format_named(wanted.sound_format or "flac")
    return Destination(wanted.destination.rstrip("/"), tuple(formats), sound_format.name)


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
