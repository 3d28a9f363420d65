"""`/v1/uploads/presigned`: uploads that go to the S3 service straight, around this server.

What lives here: handing out the address, and taking the file in when its sender says that it is there. What
does not: resumable uploads through this server (`tus.py`).
"""

from __future__ import annotations

import asyncio

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from clearcast.errors import NotFound, QuotaExceeded, ServiceUnavailable, UploadTooLarge
from deployments.ingress.access import Owner
from deployments.ingress.file_answers import FileAnswer
from deployments.ingress.forms import json_body, parse_json
from deployments.ingress.problem_docs import problems
from deployments.ingress.state import State
from deployments.ingress.tus_parts import intake_of
from deployments.ingress.uploads import read_body

router = APIRouter(prefix="/v1/uploads", tags=["Files"])

EXPIRY_S = 3600
_MAX_BODY_BYTES = 16 << 10


class PresignedRequest(BaseModel):
    """`POST /v1/uploads/presigned`."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"example": {"name": "interview.mp3", "size_bytes": 8388608}}
    )

    name: str = Field(max_length=1000, description="What the file is called.")
    size_bytes: int = Field(ge=1, le=1 << 50, description="Bytes of the whole file.")
    media_type: str | None = Field(
        default=None, max_length=200, description="Told by the name if not given."
    )


class PresignedUpload(BaseModel):
    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "id": "file_01k9z3x5c8m2v7q4w6t1r0y9pb",
                "url": "https://s3.example.org/clearcast/incoming/file_01k9…?X-Amz-Signature=…",
                "expires_s": EXPIRY_S,
            }
        }
    )

    id: str = Field(description="The file's id, once it is complete.")
    url: str = Field(description="PUT the bytes here, without a key.")
    expires_s: int = Field(description="Seconds the address works.")


@router.post(
    "/presigned",
    status_code=201,
    operation_id="presignUpload",
    summary="Get an address to PUT a file to",
    responses=problems(NotFound, QuotaExceeded, UploadTooLarge, ServiceUnavailable),
    openapi_extra=json_body(PresignedRequest.model_json_schema()),
)
async def presign_upload(
    request: Request, response: Response, owner: Owner, state: State
) -> PresignedUpload:
    """Where blobs are in an S3 service, a file can go there straight; elsewhere this is `not_found`."""
    wanted = parse_json(PresignedRequest, await read_body(request, _MAX_BODY_BYTES))
    presigned = await asyncio.to_thread(
        intake_of(state).presign, owner, wanted.name, wanted.media_type, wanted.size_bytes, EXPIRY_S
    )
    response.headers["Location"] = f"/v1/files/{presigned.record.id}"
    return PresignedUpload(id=presigned.record.id, url=presigned.url, expires_s=EXPIRY_S)


@router.post(
    "/{file_id}/complete",
    operation_id="completeUpload",
    summary="Say that a presigned upload is there",
    responses=problems(NotFound, UploadTooLarge, ServiceUnavailable),
)
async def complete_upload(file_id: str, owner: Owner, state: State) -> FileAnswer:
    """Measures what arrived and stores it; more than was announced is thrown away."""
    record = await asyncio.to_thread(intake_of(state).complete_presigned, owner, file_id)
    return FileAnswer.of(record, state.settings.storage)
