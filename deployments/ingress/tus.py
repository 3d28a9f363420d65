"""`/v1/uploads`: resumable uploads by tus 1.0.0 (https://tus.io/protocols/resumable-upload).

What lives here: the protocol's requests and answers. What does not: taking in the bytes of a part
(`tus_parts.py`), where they go (`clearcast/storage/intake.py`), and uploads that go around us
(`presigned.py`).
"""

from __future__ import annotations

import asyncio
import base64
import binascii
from email.utils import format_datetime
from typing import Any

from fastapi import APIRouter, Depends, Request, Response

from clearcast.errors import (
    ChecksumMismatch,
    ContentTypeWrong,
    NotFound,
    QuotaExceeded,
    RequestMalformed,
    ServiceUnavailable,
    StorageFull,
    TusVersionWrong,
    UploadBusy,
    UploadOffsetWrong,
    UploadPartTooLarge,
    UploadStalled,
    UploadTooLarge,
)
from clearcast.storage.files import FileRecord
from deployments.ingress.access import Owner
from deployments.ingress.problem_docs import problems
from deployments.ingress.problems import TUS_VERSION
from deployments.ingress.state import State
from deployments.ingress.tus_parts import (
    ALGORITHMS,
    PART_TYPE,
    check_part,
    intake_of,
    is_part,
    receive_part,
)

router = APIRouter(prefix="/v1/uploads", tags=["Files"])

EXTENSIONS = "creation,creation-with-upload,expiration,termination,checksum"
MAX_METADATA_CHARACTERS = 8192

_PART_PROBLEMS = (
    *(TusVersionWrong, RequestMalformed, ContentTypeWrong, UploadPartTooLarge, UploadTooLarge),
    *(ChecksumMismatch, UploadBusy, UploadStalled, StorageFull, ServiceUnavailable),
)


def _check_version(request: Request) -> None:
    """Raises TusVersionWrong."""
    if request.headers.get("tus-resumable") != TUS_VERSION:
        raise TusVersionWrong("The header Tus-Resumable must be 1.0.0.", hint="Use a client of tus 1.0.")


_versioned = [Depends(_check_version)]


def _headers(*named: tuple[str, str, str]) -> list[dict[str, Any]]:
    """Headers of a request for OpenAPI: name (with "*" when it must be there), description, example."""
    version = ("Tus-Resumable*", "The version of tus.", TUS_VERSION)
    return [
        {
            "name": name.removesuffix("*"),
            "in": "header",
            "required": name.endswith("*"),
            "description": text,
            "schema": {"type": "string"},
            "example": example,
        }
        for name, text, example in (version, *named)
    ]


def _part_body(required: bool) -> dict[str, Any]:
    schema = {"type": "string", "format": "binary", "description": "The bytes of the part."}
    return {"required": required, "content": {PART_TYPE: {"schema": schema}}}


_CHECKSUM = (
    "Upload-Checksum",
    "Algorithm and base64 of the part's digest.",
    "sha1 qvTGHdzF6KLavt4PO0gs2a6pQ00=",
)


@router.options(
    "",
    status_code=204,
    operation_id="describeUploads",
    summary="What the upload server can do",
    responses=problems(),
)
async def describe_uploads(owner: Owner, state: State) -> Response:
    """The version of tus, its extensions, and the limits, in headers of the answer."""
    headers = {
        "Tus-Resumable": TUS_VERSION,
        "Tus-Version": TUS_VERSION,
        "Tus-Extension": EXTENSIONS,
        "Tus-Max-Size": str(state.settings.audio.max_upload_bytes),
        "Tus-Checksum-Algorithm": ",".join(ALGORITHMS),
        "X-ClearCast-Max-Part": str(state.settings.audio.max_part_bytes),
    }
    return Response(status_code=204, headers=headers)


@router.post(
    "",
    status_code=201,
    dependencies=_versioned,
    operation_id="createUpload",
    summary="Begin a resumable upload",
    response_class=Response,
    responses=problems(*_PART_PROBLEMS, QuotaExceeded),
    openapi_extra={
        "parameters": _headers(
            ("Upload-Length*", "Bytes of the whole file.", "8388608"),
            ("Upload-Metadata", "`filename` and `filetype`, each in base64.", "filename dGFsay53YXY="),
            _CHECKSUM,
        ),
        "requestBody": _part_body(required=False),
    },
)
async def create_upload(request: Request, owner: Owner, state: State) -> Response:
    """Answers the upload's address in `Location`; its last part is the `file_id` for jobs.

    The first part may come with the request.
    """
    size_bytes = _length(request)
    name, media_type = _metadata(request.headers.get("upload-metadata", ""))
    has_part = is_part(request) or request.headers.get("content-length", "0") != "0"
    if has_part:
        check_part(request, state.settings.audio.max_part_bytes)
    intake = intake_of(state)
    record = await asyncio.to_thread(intake.announce, owner, name, media_type, size_bytes)
    if has_part or size_bytes == 0:
        record = await receive_part(request, state, record, 0)
    headers = {"Location": f"{router.prefix}/{record.id}", **_progress(record)}
    return Response(status_code=201, headers=headers)


@router.head(
    "/{file_id}",
    dependencies=_versioned,
    operation_id="findUploadOffset",
    summary="How much of an upload has arrived",
    response_class=Response,
    responses=problems(NotFound, TusVersionWrong, ServiceUnavailable),
    openapi_extra={"parameters": _headers()},
)
async def find_upload_offset(file_id: str, owner: Owner, state: State) -> Response:
    """`Upload-Offset` tells where to go on."""
    intake = intake_of(state)
    record = await asyncio.to_thread(intake.find, owner, file_id)
    headers = {
        "Upload-Length": str(record.size_bytes),
        "Upload-Metadata": f"filename {_coded(record.name)},filetype {_coded(record.media_type)}",
        "Cache-Control": "no-store",
        **_progress(record),
    }
    return Response(headers=headers)


@router.patch(
    "/{file_id}",
    status_code=204,
    dependencies=_versioned,
    operation_id="continueUpload",
    summary="Send the next part of an upload",
    responses=problems(*_PART_PROBLEMS, NotFound, UploadOffsetWrong),
    openapi_extra={
        "parameters": _headers(
            ("Upload-Offset*", "Where in the file the part begins.", "0"),
            _CHECKSUM,
        ),
        "requestBody": _part_body(required=True),
    },
)
async def continue_upload(file_id: str, request: Request, owner: Owner, state: State) -> Response:
    """The part is kept when `Upload-Offset` is answered; after the last one the file is stored."""
    check_part(request, state.settings.audio.max_part_bytes)
    offset = _number(request, "upload-offset")
    intake = intake_of(state)
    record = await asyncio.to_thread(intake.find, owner, file_id)
    record = await receive_part(request, state, record, offset)
    return Response(status_code=204, headers=_progress(record))


@router.delete(
    "/{file_id}",
    status_code=204,
    dependencies=_versioned,
    operation_id="dropUpload",
    summary="Drop an upload",
    responses=problems(NotFound, TusVersionWrong, ServiceUnavailable),
    openapi_extra={"parameters": _headers()},
)
async def drop_upload(file_id: str, owner: Owner, state: State) -> Response:
    """Removes what has arrived; a finished upload goes as by `DELETE /v1/files/{id}`."""
    intake = intake_of(state)
    await asyncio.to_thread(intake.drop, owner, file_id)
    return Response(status_code=204, headers={"Tus-Resumable": TUS_VERSION})


def _progress(record: FileRecord) -> dict[str, str]:
    headers = {"Tus-Resumable": TUS_VERSION, "Upload-Offset": str(record.received_bytes)}
    if record.expires_at is not None:
        headers["Upload-Expires"] = format_datetime(record.expires_at, usegmt=True)  # RFC 9110 §5.6.7
    return headers


def _length(request: Request) -> int:
    if "upload-defer-length" in request.headers:
        raise RequestMalformed("The length of an upload must be known: Upload-Defer-Length is not spoken.")
    return _number(request, "upload-length")


def _number(request: Request, name: str) -> int:
    text = request.headers.get(name, "")
    if not (text.isascii() and text.isdecimal() and len(text) <= 18):
        raise RequestMalformed(f"The header {name.title()} must be a number of bytes.", field=name)
    return int(text)


def _metadata(header: str) -> tuple[str, str | None]:
    """The file's name and media type of an Upload-Metadata header. Raises RequestMalformed."""
    if len(header) > MAX_METADATA_CHARACTERS:
        raise RequestMalformed(f"Upload-Metadata is longer than {MAX_METADATA_CHARACTERS} characters.")
    values = {}
    for pair in filter(None, (pair.strip() for pair in header.split(","))):
        name, _, coded = pair.partition(" ")
        try:
            values[name.lower()] = base64.b64decode(coded, validate=True).decode("utf-8")
        except (binascii.Error, ValueError) as error:
            raise RequestMalformed("Upload-Metadata must be names, each with UTF-8 in base64.") from error
    # Clients disagree on what they call things: tus-js-client says filename, Uppy also name and type.
    return (
        values.get("filename") or values.get("name") or "",
        values.get("filetype") or values.get("type") or values.get("content-type"),
    )


def _coded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()
