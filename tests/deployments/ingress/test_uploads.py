"""Uploads: to disk as they come, within their limits, under names of our own."""

from __future__ import annotations

import asyncio
import base64
import os
from collections.abc import AsyncIterator, Iterable
from pathlib import Path

import httpx
import pytest
from starlette.requests import Request

from clearcast.errors import (
    Cancelled,
    OptionInvalid,
    RequestMalformed,
    StorageFull,
    UploadStalled,
    UploadTooLarge,
)
from clearcast.settings import AudioSettings
from deployments.ingress import uploads
from deployments.ingress.uploads import MAX_FIELD_BYTES, Upload, decode_data_url, receive
from tests.deployments.ingress.loopback import MakeApp, connect, wav

BOUNDARY = "frontier"
LIMIT = 1000


def part(name: str, content: bytes, filename: str | None = None) -> bytes:
    tail = "" if filename is None else f'; filename="{filename}"'
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"{tail}\r\n\r\n'
    return head.encode() + content + b"\r\n"


END = f"--{BOUNDARY}--\r\n".encode()


def request(
    chunks: Iterable[bytes],
    *,
    content_type: str = f"multipart/form-data; boundary={BOUNDARY}",
    length: int | None = None,
    then: str = "http.request",
) -> Request:
    """A request whose body comes in these chunks, and then ends or breaks off."""
    messages = [{"type": "http.request", "body": chunk, "more_body": True} for chunk in chunks]
    messages.append({"type": then, "body": b"", "more_body": False})
    waiting = iter(messages)

    async def receive_message() -> dict[str, object]:
        return next(waiting)

    headers = [(b"content-type", content_type.encode())]
    if length is not None:
        headers.append((b"content-length", str(length).encode()))
    scope = {"type": "http", "method": "POST", "path": "/", "headers": headers}
    return Request(scope, receive_message)


async def read(folder: Path, *chunks: bytes, max_bytes: int = LIMIT, **how: object) -> Upload:
    return await receive(request(chunks, **how), folder, max_bytes)  # type: ignore[arg-type]


async def test_files_and_fields_arrive_whole_however_the_body_is_cut(tmp_path: Path) -> None:
    sound = bytes(range(256)) * 3
    body = part("file", sound, "a.wav") + part("tags[]", b"x") + part("tags[]", "آ".encode()) + END
    for size in (1, 2, 7, 64, len(body)):
        folder = tmp_path / str(size)
        folder.mkdir()
        upload = await read(folder, *(body[at : at + size] for at in range(0, len(body), size)))
        assert upload.file().read_bytes() == sound
        assert upload.fields == {"tags": ["x", "آ"]}


@pytest.mark.parametrize(
    "name", ["../../evil", "/etc/passwd", "..\\evil", "a\x00b", "x" * 300, "", "آوا.wav"]
)
async def test_no_name_from_outside_becomes_a_path(tmp_path: Path, name: str) -> None:
    upload = await read(tmp_path, part("file", b"sound", name) + END)
    assert upload.file().parent == tmp_path
    assert upload.file().name == "upload-1"
    assert upload.file().read_bytes() == b"sound"


async def test_exactly_as_many_bytes_as_allowed_are_taken(tmp_path: Path) -> None:
    upload = await read(tmp_path, part("file", b"s" * LIMIT, "a") + END)
    assert upload.file().stat().st_size == LIMIT


async def test_the_first_byte_too_many_ends_the_upload_before_the_rest_is_read(tmp_path: Path) -> None:
    asked = 0

    async def endless() -> dict[str, object]:
        nonlocal asked
        asked += 1
        body = part("file", b"", "a")[:-2] if asked == 1 else b"s" * 100
        return {"type": "http.request", "body": body, "more_body": True}

    chunked = Request({**request([]).scope}, endless)
    with pytest.raises(UploadTooLarge) as caught:
        await receive(chunked, tmp_path, LIMIT)
    assert asked == 1 + LIMIT // 100 + 1
    assert caught.value.fields["max_bytes"] == LIMIT


async def test_several_files_share_one_limit(tmp_path: Path) -> None:
    files = part("file", b"s" * 600, "a") + part("file", b"s" * 401, "b")
    with pytest.raises(UploadTooLarge):
        await read(tmp_path, files + END)


async def test_a_length_that_is_announced_too_large_is_refused_before_reading(tmp_path: Path) -> None:
    with pytest.raises(UploadTooLarge):
        await read(tmp_path, length=LIMIT + uploads.FRAMING_BYTES + 1)


async def test_a_length_that_lies_does_not_help_against_the_limit(tmp_path: Path) -> None:
    body = part("file", b"s" * (LIMIT + 1), "a") + END
    for lie in (1, 0):
        with pytest.raises(UploadTooLarge):
            await read(tmp_path, body, length=lie)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"nonsense",
        part("file", b"sound", "a"),  # no last boundary
        part("file", b"sound", "a")[:20],
        b"--frontier\r\nContent-Disposition: form-data\r\n\r\nx\r\n" + END,  # no name
        b"--frontier\r\nX: " + b"y" * 10_000 + b"\r\n\r\n" + END,
        part("a", b"") * (uploads.MAX_PARTS + 1) + END,
        part("a", b"x" * (MAX_FIELD_BYTES + 1)) + END,
    ],
)
async def test_a_body_that_breaks_the_format_is_malformed(tmp_path: Path, body: bytes) -> None:
    with pytest.raises(RequestMalformed):
        await read(tmp_path, body)


@pytest.mark.parametrize(
    "content_type", ["", "text/plain", "multipart/form-data", "multipart/form-data; boundary="]
)
async def test_any_other_type_of_body_is_malformed(tmp_path: Path, content_type: str) -> None:
    with pytest.raises(RequestMalformed):
        await read(tmp_path, part("file", b"x", "a") + END, content_type=content_type)


async def test_a_client_that_goes_away_cancels_the_upload(tmp_path: Path) -> None:
    with pytest.raises(Cancelled):
        await read(tmp_path, part("file", b"sound", "a"), then="http.disconnect")


async def test_an_upload_that_stalls_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "STALL_S", 0.05)

    async def never() -> dict[str, object]:
        await asyncio.sleep(600)
        raise AssertionError

    with pytest.raises(UploadStalled):
        await receive(Request({**request([]).scope}, never), tmp_path, LIMIT)


async def test_a_full_disk_is_said_to_be_full(tmp_path: Path) -> None:
    (tmp_path / "upload-1").symlink_to("/dev/full")  # every write to it fails for want of space
    with pytest.raises(StorageFull):
        await read(tmp_path, part("file", b"sound", "a") + END)


async def test_a_body_that_cannot_fit_on_the_disk_is_refused_before_reading(tmp_path: Path) -> None:
    status = os.statvfs(tmp_path)
    more = status.f_bavail * status.f_frsize * 2
    with pytest.raises(StorageFull):
        await read(tmp_path, length=more, max_bytes=more)


def test_a_reference_is_read_from_its_data_url(tmp_path: Path) -> None:
    sound = bytes(range(256)) * 5000  # longer than a block
    coded = tmp_path / "coded"
    coded.write_bytes(b"data:audio/wav;base64," + base64.b64encode(sound))
    decode_data_url(coded, tmp_path / "sound")
    assert (tmp_path / "sound").read_bytes() == sound


@pytest.mark.parametrize(
    "url",
    [b"", b"data:audio/wav,abc", b"http://x/y;base64,AAAA", b"data:;base64,A", b"data:;base64,A*AA"],
)
def test_anything_else_than_a_data_url_is_refused(tmp_path: Path, url: bytes) -> None:
    coded = tmp_path / "coded"
    coded.write_bytes(url)
    with pytest.raises(OptionInvalid):
        decode_data_url(coded, tmp_path / "sound")


async def test_over_http_the_limit_holds_for_chunked_and_for_announced_bodies(
    make_app: MakeApp, key: str
) -> None:
    app = make_app(audio=AudioSettings(max_upload_bytes=50_000))
    sound = wav(300)  # 64 kB
    body = part("file", sound, "a.wav") + END

    async def chunks() -> AsyncIterator[bytes]:
        for at in range(0, len(body), 4096):
            yield body[at : at + 4096]

    headers = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
    async with connect(app, key) as client:
        for content in (body, chunks()):
            answer = await client.post("/v1/meetings", content=content, headers=headers)
            problem = answer.json()
            assert (answer.status_code, problem["code"]) == (413, "upload_too_large")
            assert problem["max_bytes"] == 50_000
        fits = await client.post("/v1/diarizations", files={"file": wav(300, seconds=1)})
        assert fits.status_code == 200


async def test_unknown_twice_given_and_misplaced_fields_are_named(client: httpx.AsyncClient) -> None:
    async def code_and_field(*parts: bytes) -> tuple[str, str]:
        answer = await client.post(
            "/v1/meetings",
            content=b"".join(parts) + END,
            headers={"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"},
        )
        return answer.json()["code"], answer.json()["field"]

    sound = part("file", wav(300), "a.wav")
    assert await code_and_field(sound, part("langauge", b"fa")) == ("option_invalid", "langauge")
    assert await code_and_field(sound, part("language", b"fa") * 2) == ("option_invalid", "language")
    assert await code_and_field(part("file", b"text")) == ("option_invalid", "file")
    assert await code_and_field(sound, part("language", b"fa", "a.txt")) == ("option_invalid", "language")
    assert await code_and_field(part("language", b"fa")) == ("request_malformed", "file")
    assert await code_and_field(sound, sound) == ("request_malformed", "file")
