"""Files on a ClearCast server: `client.files` of the Python client.

    file = client.files.upload("interview.mp3", on_progress=lambda done, total: print(done, "of", total))
    client.files.download(file.id, "interview.wav", format="wav")

A small file goes whole; a larger one by tus 1.0 in parts, and after a broken connection goes on where the
server says that it stopped. What does not live here: jobs (`jobs`).
"""

from __future__ import annotations

import base64
import mimetypes
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Literal
from urllib.parse import quote

import httpx

from clearcast.audio.atomic import whole_or_absent
from clearcast.client.flow import BROKEN, Backoff, Flow, Pause, ask
from clearcast.client.transport import AsyncTransport, Transport
from clearcast.client.types import StoredFile
from clearcast.client.wire import Call, read_items, read_object
from clearcast.errors import (
    ClearCastError,
    InputError,
    UploadBusy,
    UploadOffsetWrong,
    UploadPartTooLarge,
    UploadStalled,
)

PART_BYTES = 8 << 20
SMALL_BYTES = PART_BYTES
"""A file of up to this size goes whole."""
_TUS = {"Tus-Resumable": "1.0.0"}
_PART_TYPE = "application/offset+octet-stream"
_PAGE = "200"

FileKind = Literal["upload", "result", "recording"]
OnBytes = Callable[[int, int], None]
"""Told (bytes that are there, bytes in all) as they come."""


def ignore_bytes(_done: int, _total: int) -> None:
    """The listener of those who do not listen."""


def upload_flow(
    path: Path, patience_s: float, on_progress: OnBytes, upload_id: str | None = None
) -> Flow[StoredFile]:
    """Send a file, or with `upload_id` the rest of one. Raises InputError and what the server reports."""
    size_bytes = _size_of(path)
    on_progress(0, size_bytes)
    if upload_id is None and size_bytes <= SMALL_BYTES:
        response = yield from ask(Call("POST", "/v1/files", files=[("file", path)]))
        on_progress(size_bytes, size_bytes)
        return StoredFile.of(read_object(response))
    if upload_id is None:
        upload_id = yield from _begin(path, size_bytes)
        offset = 0
    else:
        offset = yield from _offset(upload_id)
    return (yield from _Upload(path, size_bytes, upload_id, offset, patience_s, on_progress).flow())


def _begin(path: Path, size_bytes: int) -> Flow[str]:
    media_type = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    headers = {
        **_TUS,
        "Upload-Length": str(size_bytes),
        "Upload-Metadata": f"filename {_coded(path.name)},filetype {_coded(media_type)}",
    }
    response = yield from ask(Call("POST", "/v1/uploads", headers=headers))
    return str(response.headers.get("Location", "")).rpartition("/")[2]


def _offset(upload_id: str) -> Flow[int]:
    response = yield from ask(Call("HEAD", f"/v1/uploads/{quote(upload_id)}", headers=_TUS))
    return _offset_in(response)


class _Upload:
    """The parts of one upload, from an offset to the end."""

    def __init__(
        self,
        path: Path,
        size_bytes: int,
        upload_id: str,
        offset: int,
        patience_s: float,
        on_progress: OnBytes,
    ) -> None:
        self._path = path
        self._size_bytes = size_bytes
        self._id = upload_id
        self._offset = offset
        self._part_bytes = PART_BYTES
        self._backoff = Backoff(patience_s)
        self._on_progress = on_progress

    def flow(self) -> Flow[StoredFile]:
        self._on_progress(self._offset, self._size_bytes)
        with _opened(self._path) as file:
            while self._offset < self._size_bytes:
                try:
                    yield from self._send_part(file)
                except UploadPartTooLarge as error:
                    self._part_bytes = self._smaller(error)
                except (*BROKEN, UploadBusy, UploadOffsetWrong, UploadStalled) as error:
                    yield from self._find_place(error)
        response = yield from ask(Call("GET", f"/v1/files/{quote(self._id)}"))
        return StoredFile.of(read_object(response))

    def _send_part(self, file: BinaryIO) -> Flow[None]:
        file.seek(self._offset)
        part = file.read(min(self._part_bytes, self._size_bytes - self._offset))
        if not part:
            raise InputError(f"{self._path} became shorter while it was sent.")
        headers = {**_TUS, "Upload-Offset": str(self._offset), "Content-Type": _PART_TYPE}
        call = Call("PATCH", f"/v1/uploads/{quote(self._id)}", content=part, headers=headers)
        self._arrived(_offset_in((yield from ask(call))))

    def _find_place(self, error: ClearCastError) -> Flow[None]:
        """Ask where to go on, until the server answers. Raises `error` when patience ends."""
        while True:
            error.fields["upload_id"] = self._id  # for those who go on later
            yield Pause(self._backoff.pause_s(error))
            try:
                self._arrived((yield from _offset(self._id)))
            except BROKEN as again:
                error = again
            else:
                return

    def _arrived(self, offset: int) -> None:
        if offset > self._offset:
            self._backoff.succeeded()
        self._offset = offset
        self._on_progress(offset, self._size_bytes)

    def _smaller(self, error: UploadPartTooLarge) -> int:
        allowed = error.fields.get("max_part_bytes")
        if not isinstance(allowed, int) or not 0 < allowed < self._part_bytes:
            raise error
        return allowed


def list_call(kind: FileKind | None, after: str | None) -> Call:
    given = {"limit": _PAGE, "kind": kind, "after": after}
    return Call("GET", "/v1/files", params={name: text for name, text in given.items() if text is not None})


def get_call(file_id: str) -> Call:
    return Call("GET", f"/v1/files/{quote(file_id, safe='')}")


def delete_call(file_id: str) -> Call:
    return Call("DELETE", f"/v1/files/{quote(file_id, safe='')}")


def download_call(file_id: str, format_name: str | None) -> Call:
    params = {} if format_name is None else {"format": format_name}
    return Call("GET", f"/v1/files/{quote(file_id, safe='')}/content", params=params)


class Files:
    """`client.files`."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def upload(
        self, file: str | Path, on_progress: OnBytes = ignore_bytes, *, upload_id: str | None = None
    ) -> StoredFile:
        """Send a file. `upload_id` goes on with one that was given up; it stands in the error's fields."""
        flow = upload_flow(Path(file), self._transport.busy_wait_s, on_progress, upload_id)
        return self._transport.run(flow)

    def list(self, kind: FileKind | None = None) -> Iterator[StoredFile]:
        """Files sent and made, the newest first; pages are fetched as they are needed."""
        after: str | None = None
        while True:
            response = self._transport.send(list_call(kind, after))
            yield from map(StoredFile.of, read_items(response, "files"))
            after = read_object(response).get("next")
            if after is None:
                return

    def get(self, file_id: str) -> StoredFile:
        return StoredFile.of(read_object(self._transport.send(get_call(file_id))))

    def delete(self, file_id: str) -> None:
        self._transport.send(delete_call(file_id))

    def download(
        self,
        file_id: str,
        to: str | Path,
        format: str | None = None,  # noqa: A002 - as the API calls it
        on_progress: OnBytes = ignore_bytes,
    ) -> Path:
        """Write the file to the path `to`, whole or not at all, in another format where one is named."""
        return fetch(self._transport, download_call(file_id, format), Path(to), on_progress)


class AsyncFiles:
    """`client.files` of the asynchronous client; see `Files`."""

    def __init__(self, transport: AsyncTransport) -> None:
        self._transport = transport

    async def upload(
        self, file: str | Path, on_progress: OnBytes = ignore_bytes, *, upload_id: str | None = None
    ) -> StoredFile:
        """As `Files.upload`."""
        flow = upload_flow(Path(file), self._transport.busy_wait_s, on_progress, upload_id)
        return await self._transport.run(flow)

    async def list(self, kind: FileKind | None = None) -> AsyncIterator[StoredFile]:
        """As `Files.list`."""
        after: str | None = None
        while True:
            response = await self._transport.send(list_call(kind, after))
            for values in read_items(response, "files"):
                yield StoredFile.of(values)
            after = read_object(response).get("next")
            if after is None:
                return

    async def get(self, file_id: str) -> StoredFile:
        return StoredFile.of(read_object(await self._transport.send(get_call(file_id))))

    async def delete(self, file_id: str) -> None:
        await self._transport.send(delete_call(file_id))

    async def download(
        self,
        file_id: str,
        to: str | Path,
        format: str | None = None,  # noqa: A002 - as the API calls it
        on_progress: OnBytes = ignore_bytes,
    ) -> Path:
        """As `Files.download`."""
        return await fetch_async(self._transport, download_call(file_id, format), Path(to), on_progress)


def fetch(transport: Transport, call: Call, target: Path, on_progress: OnBytes = ignore_bytes) -> Path:
    """Write the answer to `target`, whole or not at all. Raises InputError where it cannot be written."""
    with _writing(target) as file, transport.stream(call) as response:
        for block in response.iter_bytes():
            file.write(block)
            on_progress(file.tell(), _length(response))
    return target


async def fetch_async(
    transport: AsyncTransport, call: Call, target: Path, on_progress: OnBytes = ignore_bytes
) -> Path:
    """As `fetch`."""
    with _writing(target) as file:
        async with transport.stream(call) as response:
            async for block in response.aiter_bytes():
                file.write(block)
                on_progress(file.tell(), _length(response))
    return target


@contextmanager
def _writing(target: Path) -> Iterator[BinaryIO]:
    try:
        with whole_or_absent(target) as temporary, temporary.open("wb") as file:
            yield file
    except OSError as error:
        raise InputError(f"{target} cannot be written: {error.strerror}.") from error


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    try:
        with path.open("rb") as file:
            yield file
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}.") from error


def _size_of(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}.") from error


def _length(response: httpx.Response) -> int:
    """Bytes to come in all, 0 where the server does not know."""
    text = response.headers.get("Content-Length", "0")
    return int(text) if text.isdecimal() else 0


def _offset_in(response: httpx.Response) -> int:
    text = response.headers.get("Upload-Offset", "")
    return int(text) if text.isdecimal() else 0


def _coded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()
