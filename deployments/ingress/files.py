"""`/v1/files`: the caller's files. Nobody sees, reads or removes anybody else's.

What lives here: sending a small file whole, listing, describing, removing. What does not: resumable uploads
(`tus.py`), the bytes (`downloads.py`) and links to them (`links.py`).
"""

from __future__ import annotations

import asyncio
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request, Response

from clearcast.errors import (
    NotFound,
    QuotaExceeded,
    RequestMalformed,
    ServiceUnavailable,
    StorageFull,
    UploadStalled,
    UploadTooLarge,
)
from deployments.ingress.access import Owner
from deployments.ingress.file_answers import FileAnswer, FileList
from deployments.ingress.forms import Form, parse, request_body
from deployments.ingress.problem_docs import problems
from deployments.ingress.state import State
from deployments.ingress.tus_parts import intake_of
from deployments.ingress.uploads import receive

router = APIRouter(prefix="/v1/files", tags=["Files"])

MAX_PAGE = 200


class FileForm(Form):
    """`POST /v1/files`."""


@router.post(
    "",
    status_code=201,
    operation_id="createFile",
    summary="Send a small file whole",
    responses=problems(
        *(QuotaExceeded, RequestMalformed, ServiceUnavailable, StorageFull, UploadStalled, UploadTooLarge)
    ),
    openapi_extra=request_body(FileForm),
)
async def create_file(request: Request, response: Response, owner: Owner, state: State) -> FileAnswer:
    """Keeps one file. Large ones go better by `POST /v1/uploads`, which can be resumed."""
    async with state.workroom.folder() as folder:
        upload = await receive(request, folder, state.settings.audio.max_upload_bytes)
        parse(FileForm, upload)
        source = upload.file()
        record = await asyncio.to_thread(
            intake_of(state).take_file, owner, upload.names.get(source, ""), None, source
        )
    response.headers["Location"] = f"{router.prefix}/{record.id}"
    return FileAnswer.of(record, state.settings.storage)


@router.get(
    "",
    operation_id="listFiles",
    summary="List your files",
    responses=problems(),
)
async def list_files(
    owner: Owner,
    state: State,
    limit: Annotated[int, Query(ge=1, le=MAX_PAGE, description="Files on a page.")] = 50,
    after: Annotated[
        str | None, Query(max_length=100, description="`next` of the page before.", examples=[None])
    ] = None,
    kind: Annotated[
        Literal["upload", "result", "recording"] | None, Query(description="Only those of one kind.")
    ] = None,
) -> FileList:
    """Uploads, results of jobs and recordings of live rooms, the newest first."""
    records = await asyncio.to_thread(
        lambda: intake_of(state).records.list(owner, limit=limit + 1, after=after, kind=kind)
    )
    page = records[:limit]
    return FileList(
        files=[FileAnswer.of(record, state.settings.storage) for record in page],
        next=page[-1].id if len(records) > limit else None,
    )


@router.get(
    "/{file_id}",
    operation_id="describeFile",
    summary="Describe one file",
    responses=problems(NotFound, ServiceUnavailable),
)
async def describe_file(file_id: str, owner: Owner, state: State) -> FileAnswer:
    """Its name, size, digest and state. The bytes are at `/v1/files/{file_id}/content`."""
    record = await asyncio.to_thread(intake_of(state).find, owner, file_id)
    return FileAnswer.of(record, state.settings.storage)


@router.delete(
    "/{file_id}",
    status_code=204,
    operation_id="deleteFile",
    summary="Remove a file",
    responses=problems(NotFound, ServiceUnavailable),
)
async def delete_file(file_id: str, owner: Owner, state: State) -> Response:
    """Removes the record and the bytes; links to it end. Jobs that wait for it will fail."""
    await asyncio.to_thread(intake_of(state).drop, owner, file_id)
    return Response(status_code=204)
