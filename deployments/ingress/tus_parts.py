"""One part of a resumable upload, from the request's body to the disk.

What lives here: the limits on a part, its checksum, and writing it. What does not: the rest of the protocol
(`tus.py`).

A part is on the disk before its offset is answered, and the length of the file there is the offset:
whatever dies in between, the client goes on with what HEAD tells it. A part with a checksum waits beside
the upload until it has proved right; a part without one keeps what arrived before the connection broke.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from io import FileIO
from typing import Any, TypeVar

from fastapi import Request

from clearcast.errors import (
    ChecksumMismatch,
    ContentTypeWrong,
    RequestMalformed,
    UploadOffsetWrong,
    UploadPartTooLarge,
)
from clearcast.storage.blob_files import room_on_disk
from clearcast.storage.files import FileRecord
from clearcast.storage.intake import Intake
from clearcast.storage.parts import PartFile
from deployments.ingress.state import IngressState
from deployments.ingress.uploads import FLUSH_BYTES, body_chunks

T = TypeVar("T")

ALGORITHMS = ("sha1", "sha256", "md5")
PART_TYPE = "application/offset+octet-stream"


@dataclass(frozen=True, slots=True)
class Checksum:
    algorithm: str
    digest: bytes


def intake_of(state: IngressState) -> Intake:
    return Intake(state.database, state.blobs, state.settings)


def is_part(request: Request) -> bool:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower() == PART_TYPE


def check_part(request: Request, max_part_bytes: int) -> None:
    """Refuse at once what cannot succeed. Raises ContentTypeWrong, UploadPartTooLarge, RequestMalformed."""
    if not is_part(request):
        raise ContentTypeWrong(f"A part is sent as {PART_TYPE}.")
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and int(announced) > max_part_bytes:
        raise _part_too_large(max_part_bytes)
    _checksum(request)


async def receive_part(
    request: Request, state: IngressState, record: FileRecord, offset: int
) -> FileRecord:
    """Append the body to the upload and finish it after the last byte; gives the upload as it is then.

    Raises UploadBusy, UploadOffsetWrong, UploadPartTooLarge, ChecksumMismatch, UploadStalled, StorageFull,
    RequestMalformed for bytes past the end, and Cancelled when the client goes away.
    """
    if record.is_stored:
        if offset != record.size_bytes:
            raise _wrong_offset(record.size_bytes)
        return record  # the answer to the last part was lost on its way
    intake = intake_of(state)
    async with _held(intake, record.id) as part:
        size_bytes = part.size_bytes
        if offset != size_bytes:
            raise _wrong_offset(size_bytes)
        room = min(state.settings.audio.max_part_bytes, record.size_bytes - size_bytes)
        part_in = _Part(request, record, part, intake, room, state.settings.audio.max_part_bytes)
        try:
            await part_in.receive()
        finally:
            # What has arrived is kept whether or not the client is still there to hear of it.
            record = await to_its_end(_settle, intake, record, part)
    return record


def _settle(intake: Intake, record: FileRecord, part: PartFile) -> FileRecord:
    """Make what has arrived last, and say so; with the last byte, store the file."""
    part.sync()
    size_bytes = part.size_bytes
    if size_bytes == record.size_bytes:
        return intake.finish(record, part)
    expires_at = intake.expiry()
    intake.records.receiving(record.owner_id, record.id, size_bytes, expires_at)
    return replace(record, received_bytes=size_bytes, expires_at=expires_at)


async def to_its_end(work: Callable[..., T], *arguments: Any) -> T:
    """Run `work` in a thread. A cancelled caller waits for it: the file may not be closed below it."""
    job = asyncio.ensure_future(asyncio.to_thread(work, *arguments))
    try:
        return await asyncio.shield(job)
    except asyncio.CancelledError:
        await asyncio.wait([job])
        if not job.cancelled():
            job.exception()  # taken notice of: the reason is the cancellation
        raise


@asynccontextmanager
async def _held(intake: Intake, file_id: str) -> AsyncIterator[PartFile]:
    with intake.parts.held(file_id) as part:  # short: an open and a lock that is not waited for
        yield part


class _Part:
    """The body of one request on its way to the disk."""

    def __init__(
        self,
        request: Request,
        record: FileRecord,
        part: PartFile,
        intake: Intake,
        room_bytes: int,
        max_part_bytes: int,
    ) -> None:
        self._request = request
        self._part = part
        self._check_path = intake.parts.check_path(record.id)
        self._room_bytes = room_bytes
        self._max_part_bytes = max_part_bytes
        self._checksum = _checksum(request)
        self._received_bytes = 0

    async def receive(self) -> None:
        if self._checksum is None:
            async for block in self._blocks():
                await to_its_end(self._part.append, block)
            return
        digest = hashlib.new(self._checksum.algorithm, usedforsecurity=False)
        try:
            with FileIO(self._check_path, "wb") as beside:
                async for block in self._blocks():
                    digest.update(block)
                    await to_its_end(_write, beside, block)
            if digest.digest() != self._checksum.digest:
                raise ChecksumMismatch(
                    "The part arrived changed, and was thrown away.", hint="Send it again."
                )
            await to_its_end(self._part.append_file, self._check_path)
        finally:
            self._check_path.unlink(missing_ok=True)

    async def _blocks(self) -> AsyncIterator[bytes]:
        """The body in blocks that are worth a thread. What came before an error is given out first."""
        held = bytearray()
        try:
            async for chunk in body_chunks(self._request):
                self._received_bytes += len(chunk)
                if self._received_bytes > self._room_bytes:
                    raise self._too_much()
                held += chunk
                if len(held) >= FLUSH_BYTES:
                    yield bytes(held)
                    held.clear()
        except Exception:
            if held and self._checksum is None and self._received_bytes <= self._room_bytes:
                yield bytes(held)
            raise
        if held:
            yield bytes(held)

    def _too_much(self) -> UploadPartTooLarge | RequestMalformed:
        if self._received_bytes > self._max_part_bytes:
            return _part_too_large(self._max_part_bytes)
        return RequestMalformed("The part goes past the end that Upload-Length announced.")


def _write(file: FileIO, data: bytes) -> None:
    with room_on_disk():
        left = memoryview(data)
        while left:  # an unbuffered write may take less than it is given
            left = left[file.write(left) :]


def _checksum(request: Request) -> Checksum | None:
    """What Upload-Checksum says. Raises RequestMalformed."""
    header = request.headers.get("upload-checksum")
    if header is None:
        return None
    algorithm, _, coded = header.partition(" ")
    if algorithm not in ALGORITHMS:
        raise RequestMalformed(
            f"There is no checksum {algorithm[:20]!r}.", hint=f"Algorithms: {', '.join(ALGORITHMS)}."
        )
    try:
        return Checksum(algorithm, base64.b64decode(coded.strip(), validate=True))
    except (binascii.Error, ValueError) as error:
        raise RequestMalformed("Upload-Checksum must be an algorithm and a digest in base64.") from error


def _wrong_offset(offset: int) -> UploadOffsetWrong:
    return UploadOffsetWrong(
        f"The upload has {offset} bytes, and the part begins elsewhere.",
        hint="Ask for the offset (HEAD) and go on there.",
        offset=offset,
    )


def _part_too_large(max_part_bytes: int) -> UploadPartTooLarge:
    return UploadPartTooLarge(
        f"A part may hold {max_part_bytes} bytes.",
        hint=f"Set the client's chunk size (chunkSize, chunk_size) to {max_part_bytes}.",
        max_part_bytes=max_part_bytes,
    )
