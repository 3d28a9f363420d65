"""A stored file as an answer: ranges, conditions, a good file name, and other formats on demand.

What lives here: everything between a record and a response. What does not: whose record it is; the routes
ask for that (`downloads.py`, `links.py`, the results of jobs).

As stored, a file is sent by ranges and has a strong ETag, its SHA-256. In another format it is made for
this one request and sent whole, with a weak ETag: sound by a limited process (`clearcast.audio.sandbox`),
in turn with the other work of this server; documents of speech by their writers.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Generator, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, cast
from urllib.parse import quote

from fastapi import Depends, Request, Response
from fastapi.responses import StreamingResponse
from starlette.concurrency import iterate_in_threadpool

from clearcast.audio.encode import FORMATS as SOUND_FORMATS
from clearcast.audio.sandbox import transcode
from clearcast.errors import FileFormatInvalid, NotFound, OptionInvalid, RangeWrong
from clearcast.speech.formats import FORMATS as TEXT_FORMATS
from clearcast.speech.formats import write_result
from clearcast.speech.json_file import read_json
from clearcast.speech.keywords_file import (
    TABLE_TYPES,
    Classified,
    is_keywords,
    read_keywords,
    write_table,
)
from clearcast.storage.blobs import READ_BYTES
from clearcast.storage.files import FileRecord
from deployments.ingress.metrics import StageClock
from deployments.ingress.state import IngressState
from deployments.ingress.work import Work

FORMATS = (*SOUND_FORMATS, *TEXT_FORMATS, *sorted(TABLE_TYPES.keys() - TEXT_FORMATS.keys()))
MAX_DOCUMENT_BYTES = 64 << 20

_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")


async def _until_sent() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as stack:
        yield stack


UntilSent = Annotated[AsyncExitStack, Depends(_until_sent)]
"""What must stay open until the last byte of the answer is out."""


@dataclass(frozen=True, slots=True)
class Span:
    """Bytes of a file: `length` from `start`."""

    start: int
    length: int


async def send_file(
    request: Request,
    state: IngressState,
    record: FileRecord,
    format_name: str | None,
    open_: AsyncExitStack,
) -> Response:
    """The file, or what its condition asks for; in the format of that name, or as it is stored.

    Raises NotFound while it is not whole, RangeWrong, OptionInvalid, Overloaded, and the audio errors.
    """
    if not record.is_stored or record.sha256 is None:
        raise NotFound("The file has not arrived whole yet.", hint="GET /v1/files/{id} tells its state.")
    if format_name is None:
        return await _as_stored(request, state, record)
    name = format_name.lower()
    if name not in FORMATS:
        raise OptionInvalid(
            f"There is no format {name[:40]!r}.", hint=f"Formats: {', '.join(FORMATS)}.", field="format"
        )
    if _is_stored_as(record, name):
        return await _as_stored(request, state, record)
    headers = {
        "ETag": f'W/"{record.sha256}-{name}"',
        "Accept-Ranges": "none",
        "Content-Disposition": disposition(f"{_stem(record.name)}.{name}"),
    }
    if _is_known(request, headers["ETag"]):
        return Response(status_code=304, headers=headers)
    if name in TEXT_FORMATS or name in TABLE_TYPES:
        return await _as_text(state, record, name, headers)
    media_type = SOUND_FORMATS[name].mime_type
    if request.method == "HEAD":
        return Response(headers=headers, media_type=media_type)  # its length is known only once it is made
    path = await _encoded(request, state, record, name, open_)
    size_bytes = (await asyncio.to_thread(path.stat)).st_size
    headers["Content-Length"] = str(size_bytes)
    return StreamingResponse(_sent(_pieces(path)), headers=headers, media_type=media_type)


_STORED_TYPES = {"json": "application/json"}


def _is_stored_as(record: FileRecord, name: str) -> bool:
    """Whether it is a result in that format already; of what was uploaded nobody knows that."""
    media_type = SOUND_FORMATS[name].mime_type if name in SOUND_FORMATS else _STORED_TYPES.get(name)
    return record.kind == "result" and media_type == record.media_type


def disposition(name: str) -> str:
    """A Content-Disposition that saves the file under `name` (RFC 6266 §4.3, RFC 8187)."""
    plain = "".join(letter if " " <= letter <= "~" and letter not in '"\\%' else "_" for letter in name)
    header = f'attachment; filename="{plain}"'
    return header if plain == name else f"{header}; filename*=UTF-8''{quote(name, safe='')}"


async def _as_stored(request: Request, state: IngressState, record: FileRecord) -> Response:
    headers = {
        "ETag": f'"{record.sha256}"',
        "Accept-Ranges": "bytes",
        "Content-Disposition": disposition(record.name),
        "Content-Type": record.media_type,
    }
    if _is_known(request, headers["ETag"]):
        return Response(status_code=304, headers=headers)
    span = _span(request, record.size_bytes, headers["ETag"])
    status = 200
    if span is not None:
        last = span.start + span.length - 1
        headers["Content-Range"] = f"bytes {span.start}-{last}/{record.size_bytes}"
        status = 206
    whole = span or Span(0, record.size_bytes)
    headers["Content-Length"] = str(whole.length)
    if request.method == "HEAD" or whole.length == 0:
        return Response(status_code=status, headers=headers)
    # Asked for before the answer begins, so that missing bytes can still be an error.
    pieces = await asyncio.to_thread(state.blobs.read, record.blob_key, whole.start, whole.length)
    return StreamingResponse(_sent(pieces), status, headers)


def _is_known(request: Request, etag: str) -> bool:
    """Whether the client has what it asks for (RFC 9110 §13.1.2: weak comparison)."""
    given = request.headers.get("if-none-match")
    if given is None:
        return False
    tags = {tag.strip().removeprefix("W/") for tag in given.split(",")}
    return "*" in tags or etag.removeprefix("W/") in tags


def _span(request: Request, size_bytes: int, etag: str) -> Span | None:
    """The range that the client wants; None for all. Raises RangeWrong.

    What is not a single range of bytes is not heeded (RFC 9110 §14.2), nor is one of another version.
    """
    match = _RANGE.fullmatch(request.headers.get("range", "").replace(" ", ""))
    if match is None or request.headers.get("if-range", etag) != etag or not any(match.groups()):
        return None
    first, last = match.groups()
    if not first:
        length = min(int(last), size_bytes)
        start = size_bytes - length
    else:
        start = int(first)
        if last and int(last) < start:
            return None
        length = min(int(last) + 1 if last else size_bytes, size_bytes) - start
    if length <= 0:
        raise RangeWrong(f"The file has {size_bytes} bytes.", size_bytes=size_bytes)
    return Span(start, length)


async def _as_text(state: IngressState, record: FileRecord, name: str, headers: dict[str, str]) -> Response:
    if not record.is_transcript or record.size_bytes > MAX_DOCUMENT_BYTES:
        raise _other_kind(record, name)

    def write() -> str:
        content = state.blobs.get_bytes(record.blob_key)
        try:
            if name in TABLE_TYPES and is_keywords(content):
                return write_table([Classified(_stem(record.name), read_keywords(content))], name)
            if name not in TEXT_FORMATS:
                raise _other_kind(record, name)
            result = read_json(content)
        except FileFormatInvalid as error:
            raise _other_kind(record, name) from error
        return write_result(result, name, _stem(record.name))

    text = await asyncio.to_thread(write)
    media_type = TABLE_TYPES[name] if name in TABLE_TYPES else TEXT_FORMATS[name].media_type
    return Response(text, headers=headers, media_type=media_type)


def _other_kind(record: FileRecord, name: str) -> OptionInvalid:
    return OptionInvalid(
        f"This file ({record.media_type}) cannot be written as {name}.",
        hint="Leave the format away to get it as it is stored.",
        field="format",
    )


async def _encoded(
    request: Request, state: IngressState, record: FileRecord, name: str, open_: AsyncExitStack
) -> Path:
    """The sound in another format, in a folder that goes when the answer is out."""
    if record.is_transcript:
        raise _other_kind(record, name)
    folder = await open_.enter_async_context(state.workroom.folder())
    source, target = folder / "stored", folder / f"made.{name}"
    async with state.gate.place() as place:
        work = Work(request, state, record.owner_id, place, folder)

        async def flow(clock: StageClock) -> None:
            await asyncio.to_thread(state.blobs.fetch, record.blob_key, source)
            clock("encode", 0.0)
            await transcode(
                source, target, name, state.settings.audio, lambda fraction: clock("encode", fraction)
            )
            await asyncio.to_thread(source.unlink)

        try:
            await work.run("transcoding", flow)
        finally:
            await work.close()
    return target


def _pieces(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while piece := file.read(READ_BYTES):
            yield piece


async def _sent(pieces: Iterator[bytes]) -> AsyncIterator[bytes]:
    try:
        async for piece in iterate_in_threadpool(pieces):
            yield piece
    finally:
        if hasattr(pieces, "close"):
            cast(Generator[bytes], pieces).close()


def _stem(name: str) -> str:
    stem, dot, _ = name.rpartition(".")
    return stem if dot and stem else name
