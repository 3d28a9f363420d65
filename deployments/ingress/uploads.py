"""Multipart uploads (RFC 7578), streamed to disk: bounded memory, bounded bytes, no names from outside.

What lives here: reading a request body into files with server-made names and a few short fields. What does
not: what the fields mean (each route's form) and what the files hold (`clearcast.audio`).
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import errno
import re
import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from io import FileIO
from pathlib import Path
from typing import TYPE_CHECKING

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import ClientDisconnect, Request

from clearcast.errors import (
    Cancelled,
    OptionInvalid,
    RequestMalformed,
    StorageFull,
    UploadStalled,
    UploadTooLarge,
)

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

FLUSH_BYTES = 1 << 20  # held in memory before a thread writes it out
MAX_FIELD_BYTES = 64 << 10  # a prompt of 10,000 words
MAX_PARTS = 64
FRAMING_BYTES = 1 << 20  # boundaries, part headers and fields beside the files in a body
STALL_S = 60.0  # without one byte arriving

# Fields that carry recordings as data URLs: far longer than a field may be, so they go to disk too.
DATA_URL_FIELDS = frozenset({"known_speaker_references"})

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_BASE64_BLOCK = 3 << 18  # divides by 4: every block decodes by itself


@dataclass(frozen=True, slots=True)
class Upload:
    """A received form. `fields` and `files` go by name, without the trailing brackets of "name[]".

    `names` is what the sender calls each file: text from outside, never a path here.
    """

    fields: dict[str, list[str]] = field(default_factory=dict)
    files: dict[str, list[Path]] = field(default_factory=dict)
    names: dict[Path, str] = field(default_factory=dict)

    def file(self, name: str = "file") -> Path:
        """The one file of that name. Raises RequestMalformed when there is none or more than one."""
        found = self.files.get(name, [])
        if len(found) != 1:
            raise RequestMalformed(
                f"Exactly one file is expected in the part {name!r}, not {len(found)}.",
                hint=f"With curl: -F {name}=@recording.wav",
                field=name,
            )
        return found[0]


async def receive(request: Request, folder: Path, max_bytes: int) -> Upload:
    """Read the body of `request` into `folder`; the files together may hold `max_bytes`.

    Raises RequestMalformed, UploadTooLarge (at the first byte too many, or at once when Content-Length says
    so), UploadStalled, StorageFull, and Cancelled when the client goes away.
    """
    content_type, options = parse_options_header(request.headers.get("content-type"))
    boundary = options.get(b"boundary")
    if content_type != b"multipart/form-data" or not boundary:
        raise RequestMalformed(
            "The body must be multipart/form-data with a boundary.",
            hint="With curl: -F file=@recording.wav",
        )
    _check_announced(request.headers.get("content-length"), folder, max_bytes)
    receiver = _Receiver(folder, max_bytes)
    parser = MultipartParser(boundary, receiver.callbacks())
    try:
        async for chunk in body_chunks(request):
            parser.write(chunk)
            if receiver.pending_bytes >= FLUSH_BYTES:
                await asyncio.to_thread(receiver.flush)
        parser.finalize()
        await asyncio.to_thread(receiver.flush)
    except FormParserError as error:
        raise RequestMalformed("The multipart body does not follow its format.") from error
    except OSError as error:
        if is_disk_full(error):
            raise storage_full() from error
        raise
    finally:
        receiver.close()
    if not receiver.complete:
        raise RequestMalformed("The multipart body ends before its last boundary.")
    return receiver.upload


async def read_body(request: Request, max_bytes: int) -> bytes:
    """A short body, in memory. Raises UploadTooLarge, UploadStalled, Cancelled."""
    body = bytearray()
    async for chunk in body_chunks(request):
        body += chunk
        if len(body) > max_bytes:
            raise _too_large(max_bytes)
    return bytes(body)


def is_disk_full(error: BaseException) -> bool:
    return isinstance(error, OSError) and error.errno in _FULL


def storage_full() -> StorageFull:
    return StorageFull(
        "The server has no room left for this recording.", hint="Ask its operator to free disk space."
    )


def _check_announced(content_length: str | None, folder: Path, max_bytes: int) -> None:
    """Refuse at once what cannot succeed, before the caller sends it."""
    if content_length is None or not content_length.isdecimal():
        return
    announced = int(content_length)
    if announced > max_bytes + FRAMING_BYTES:
        raise _too_large(max_bytes)
    if announced > shutil.disk_usage(folder).free:
        raise storage_full()


def _too_large(max_bytes: int) -> UploadTooLarge:
    return UploadTooLarge(
        f"An upload may hold {max_bytes / 1e6:g} MB.",
        hint="Send a compressed format, or raise audio.max_upload_bytes.",
        max_bytes=max_bytes,
    )


async def body_chunks(request: Request) -> AsyncIterator[bytes]:
    """The body as it comes. Raises UploadStalled, and Cancelled when the client goes away."""
    stream = request.stream()
    try:
        while True:
            async with asyncio.timeout(STALL_S):
                chunk = await anext(stream, None)
            if chunk is None:
                return
            yield chunk
    except TimeoutError as error:
        raise UploadStalled(f"No data arrived for {STALL_S:g} s.") from error
    except ClientDisconnect as error:
        raise Cancelled("The client went away during the upload.") from error
    finally:
        await stream.aclose()


class _Receiver:
    """Takes what the parser finds: file parts to disk, short fields to memory."""

    def __init__(self, folder: Path, max_bytes: int) -> None:
        self.upload = Upload()
        self.complete = False
        self.pending_bytes = 0
        self._folder = folder
        self._max_bytes = max_bytes
        self._file_bytes = 0
        self._parts = 0
        self._header_name = b""
        self._header_value = b""
        self._disposition = b""
        self._name = ""
        self._field: bytearray | None = None
        self._open_files: list[FileIO] = []
        self._pending: list[tuple[FileIO, bytes]] = []

    def callbacks(self) -> MultipartCallbacks:
        return {
            "on_part_begin": self._on_part_begin,
            "on_header_field": self._on_header_field,
            "on_header_value": self._on_header_value,
            "on_header_end": self._on_header_end,
            "on_headers_finished": self._on_headers_finished,
            "on_part_data": self._on_part_data,
            "on_part_end": self._on_part_end,
            "on_end": self._on_end,
        }

    def flush(self) -> None:
        """Write out what is held; blocking."""
        for file, data in self._pending:
            left = memoryview(data)
            while left:  # an unbuffered write may take less than it is given
                left = left[file.write(left) :]
        self._pending.clear()
        self.pending_bytes = 0

    def close(self) -> None:
        for file in self._open_files:
            file.close()

    def _on_part_begin(self) -> None:
        self._parts += 1
        if self._parts > MAX_PARTS:
            raise RequestMalformed(f"A form may have {MAX_PARTS} parts.")
        self._disposition = b""

    def _on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._header_name += data[start:end]

    def _on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._header_value += data[start:end]

    def _on_header_end(self) -> None:
        if self._header_name.lower() == b"content-disposition":
            self._disposition = self._header_value
        self._header_name = self._header_value = b""

    def _on_headers_finished(self) -> None:
        _, options = parse_options_header(self._disposition)
        name = options.get(b"name")
        if not name:
            raise RequestMalformed("A part of the form has no name.")
        # "tags[]" and "strategy[type]" are how the OpenAI SDK writes lists and objects.
        self._name = re.sub(r"\[\w*\]$", "", name.decode("utf-8", "replace"))
        if b"filename" in options or self._name in DATA_URL_FIELDS:
            self._field = None
            path = self._folder / f"upload-{self._parts}"  # never the caller's file name
            self._open_files.append(FileIO(path, "wb"))
            self.upload.files.setdefault(self._name, []).append(path)
            self.upload.names[path] = options.get(b"filename", b"").decode("utf-8", "replace")
        else:
            self._field = bytearray()

    def _on_part_data(self, data: bytes, start: int, end: int) -> None:
        if self._field is not None:
            if len(self._field) + end - start > MAX_FIELD_BYTES:
                raise RequestMalformed(
                    f"The field {self._name!r} is longer than {MAX_FIELD_BYTES} bytes.", field=self._name
                )
            self._field += data[start:end]
            return
        self._file_bytes += end - start
        if self._file_bytes > self._max_bytes:
            raise _too_large(self._max_bytes)
        self._pending.append((self._open_files[-1], data[start:end]))
        self.pending_bytes += end - start

    def _on_part_end(self) -> None:
        if self._field is not None:
            text = self._field.decode("utf-8", "replace")
            self.upload.fields.setdefault(self._name, []).append(text)

    def _on_end(self) -> None:
        self.complete = True


def decode_data_url(source: Path, target: Path) -> None:
    """Write the bytes that the base64 data URL (RFC 2397) in the file `source` holds; blocking.

    Raises OptionInvalid.
    """
    wrong = OptionInvalid(
        "A reference must be a data URL: data:audio/wav;base64,…", field="known_speaker_references"
    )
    with source.open("rb") as coded, target.open("wb") as file:
        head = coded.read(256)
        start, comma, _ = head.partition(b",")
        if not comma or not start.startswith(b"data:") or not start.endswith(b";base64"):
            raise wrong
        coded.seek(len(start) + 1)
        while block := coded.read(_BASE64_BLOCK):
            try:
                file.write(base64.b64decode(block, validate=True))
            except binascii.Error as error:
                raise wrong from error
