"""`/v1/files/{file_id}/content`: the bytes of the caller's files, as stored or in another format."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from clearcast.errors import (
    AudioEmpty,
    AudioForbidden,
    AudioTooLong,
    AudioTruncated,
    AudioUnrecognised,
    DecodeLimitExceeded,
    NotFound,
    Overloaded,
    RangeWrong,
    ServiceTimeout,
    ServiceUnavailable,
    StorageFull,
)
from deployments.ingress.access import Owner
from deployments.ingress.problem_docs import problems
from deployments.ingress.sending import FORMATS, UntilSent, send_file
from deployments.ingress.state import State
from deployments.ingress.tus_parts import intake_of

router = APIRouter(prefix="/v1/files", tags=["Files"])

DOWNLOAD_PROBLEMS = (
    *(NotFound, RangeWrong, Overloaded, ServiceTimeout, ServiceUnavailable, StorageFull),
    *(AudioEmpty, AudioForbidden, AudioTooLong, AudioTruncated, AudioUnrecognised, DecodeLimitExceeded),
)

FormatName = Annotated[
    str | None,
    Query(
        alias="format",
        max_length=20,
        description="Sound: wav, flac, mp3, ogg, opus, m4a. Documents of speech: json, txt, srt, vtt, rttm;"
        " of keywords json, csv, txt. As it is stored when not given.",
        json_schema_extra={"enum": list(FORMATS)},
    ),
]

_BYTES = {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}


def download_answers() -> dict[int | str, dict[str, Any]]:
    """The `responses` of a route that sends a file."""
    return {
        **problems(*DOWNLOAD_PROBLEMS),
        200: {"description": "The whole file.", "content": _BYTES},
        206: {"description": "The bytes that `Range` names.", "content": _BYTES},
        304: {"description": "The client has it: `If-None-Match`."},
    }


@router.get(
    "/{file_id}/content",
    operation_id="downloadFile",
    summary="Download a file, in any format",
    response_class=Response,
    responses=download_answers(),
)
async def download_file(
    file_id: str,
    request: Request,
    owner: Owner,
    state: State,
    until_sent: UntilSent,
    format_name: FormatName = None,
) -> Response:
    """By ranges as it is stored, whole in another format.

    Sound keeps its rate and channels as far as the format has them (Opus is always 48 kHz; more channels
    than two are mixed into one in mp3, ogg, opus and m4a); wav and flac have 16 bits. Sounds that jobs made
    are stored as flac with 24 bits.
    """
    record = await asyncio.to_thread(intake_of(state).find, owner, file_id)
    return await send_file(request, state, record, format_name, until_sent)


@router.head(
    "/{file_id}/content",
    operation_id="describeDownload",
    summary="The headers of a download",
    response_class=Response,
    responses=download_answers(),
)
async def describe_download(
    file_id: str,
    request: Request,
    owner: Owner,
    state: State,
    until_sent: UntilSent,
    format_name: FormatName = None,
) -> Response:
    """As the download, without the bytes; in another format without their number."""
    record = await asyncio.to_thread(intake_of(state).find, owner, file_id)
    return await send_file(request, state, record, format_name, until_sent)
