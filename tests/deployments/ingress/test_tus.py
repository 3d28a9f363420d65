"""tus 1.0.0, request by request."""

from __future__ import annotations

import asyncio
import base64
import hashlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import httpx
import pytest

from clearcast.settings import AudioSettings, Settings, StorageSettings
from tests.deployments.ingress.loopback import MakeApp, connect, listening

VERSION = {"Tus-Resumable": "1.0.0"}
PART = {**VERSION, "Content-Type": "application/offset+octet-stream"}
DATA = bytes(range(256)) * 1000
LIMITS = AudioSettings(max_upload_bytes=1_000_000, max_part_bytes=100_000)


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"audio": LIMITS, "storage": StorageSettings(quota_bytes=2_000_000)})


def coded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def checksum(data: bytes, algorithm: str = "sha256") -> dict[str, str]:
    digest = hashlib.new(algorithm, data).digest()
    return {"Upload-Checksum": f"{algorithm} {base64.b64encode(digest).decode()}"}


async def begin(client: httpx.AsyncClient, size_bytes: int = len(DATA), name: str = "talk.wav") -> str:
    headers = {**VERSION, "Upload-Length": str(size_bytes), "Upload-Metadata": f"filename {coded(name)}"}
    answer = await client.post("/v1/uploads", headers=headers)
    assert answer.status_code == 201
    return answer.headers["Location"]


async def send(
    client: httpx.AsyncClient, url: str, offset: int, data: bytes, **headers: str
) -> httpx.Response:
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return await client.patch(url, content=data, headers={**PART, "Upload-Offset": str(offset), **names})


async def offset_of(client: httpx.AsyncClient, url: str) -> int:
    answer = await client.head(url, headers=VERSION)
    assert answer.status_code == 200
    assert answer.headers["Cache-Control"] == "no-store"
    return int(answer.headers["Upload-Offset"])


def code_of(answer: httpx.Response) -> str:
    assert answer.headers["Tus-Resumable"] == "1.0.0"
    return str(answer.json()["code"])


async def test_the_server_says_what_it_can_do(client: httpx.AsyncClient) -> None:
    answer = await client.options("/v1/uploads")
    assert answer.status_code == 204
    told = {name: answer.headers[name] for name in answer.headers if name.startswith("tus-")}
    assert told == {
        "tus-resumable": "1.0.0",
        "tus-version": "1.0.0",
        "tus-extension": "creation,creation-with-upload,expiration,termination,checksum",
        "tus-max-size": "1000000",
        "tus-checksum-algorithm": "sha1,sha256,md5",
    }


async def test_a_file_arrives_in_parts_and_is_then_stored(client: httpx.AsyncClient) -> None:
    url = await begin(client, name="گفتگو.mp3")
    assert await offset_of(client, url) == 0
    for start in range(0, len(DATA), 100_000):
        answer = await send(client, url, start, DATA[start : start + 100_000])
        assert answer.status_code == 204
        assert answer.headers["Upload-Offset"] == str(min(start + 100_000, len(DATA)))
        if start + 100_000 < len(DATA):
            expires = parsedate_to_datetime(answer.headers["Upload-Expires"])
            assert (expires - datetime.now(UTC)).total_seconds() == pytest.approx(86400, abs=60)
            assert (await client.get(f"/v1/files/{url[12:]}")).json()["state"] == "receiving"
    file = (await client.get(f"/v1/files/{url.removeprefix('/v1/uploads/')}")).json()
    assert (file["state"], file["name"], file["media_type"]) == ("stored", "گفتگو.mp3", "audio/mpeg")
    assert file["sha256"] == hashlib.sha256(DATA).hexdigest()
    assert (await client.get(f"/v1/files/{file['id']}/content")).content == DATA
    head = await client.head(url, headers=VERSION)
    assert head.headers["Upload-Offset"] == head.headers["Upload-Length"] == str(len(DATA))
    assert (
        head.headers["Upload-Metadata"] == f"filename {coded('گفتگو.mp3')},filetype {coded('audio/mpeg')}"
    )
    again = await send(client, url, len(DATA), b"")  # the answer to the last part was lost
    assert again.status_code == 204


async def test_the_first_part_may_come_with_the_creation(client: httpx.AsyncClient) -> None:
    headers = {**PART, "Upload-Length": "10", **checksum(b"01234")}
    answer = await client.post("/v1/uploads", headers=headers, content=b"01234")
    assert (answer.status_code, answer.headers["Upload-Offset"]) == (201, "5")
    assert (await send(client, answer.headers["Location"], 5, b"56789")).headers["Upload-Offset"] == "10"
    whole = await client.post("/v1/uploads", headers={**PART, "Upload-Length": "5"}, content=b"01234")
    assert (await client.get(f"/v1/files/{whole.headers['Location'][12:]}")).json()["state"] == "stored"
    empty = await client.post("/v1/uploads", headers={**VERSION, "Upload-Length": "0"})
    assert (await client.get(f"/v1/files/{empty.headers['Location'][12:]}")).json()["state"] == "stored"


@pytest.mark.parametrize("version", [None, "0.2.2", "1.0"])
async def test_another_version_is_refused(client: httpx.AsyncClient, version: str | None) -> None:
    headers = {"Upload-Length": "1"} | ({} if version is None else {"Tus-Resumable": version})
    answer = await client.post("/v1/uploads", headers=headers)
    assert answer.status_code == 412
    assert code_of(answer) == "tus_version_wrong"
    assert answer.headers["Tus-Version"] == "1.0.0"


async def test_a_part_that_begins_elsewhere_is_refused_with_the_right_offset(
    client: httpx.AsyncClient,
) -> None:
    url = await begin(client)
    await send(client, url, 0, b"12345")
    for wrong in (0, 4, 6):
        answer = await send(client, url, wrong, b"x")
        assert (answer.status_code, code_of(answer)) == (409, "upload_offset_wrong")
        assert answer.json()["offset"] == 5
    assert await offset_of(client, url) == 5


@pytest.mark.parametrize("algorithm", ["sha1", "sha256", "md5"])
async def test_a_part_whose_checksum_is_wrong_is_thrown_away(
    client: httpx.AsyncClient, algorithm: str
) -> None:
    url = await begin(client)
    wrong = checksum(b"other", algorithm)
    answer = await send(client, url, 0, b"sound", **wrong)
    assert (answer.status_code, code_of(answer)) == (460, "checksum_mismatch")
    assert await offset_of(client, url) == 0
    right = await send(client, url, 0, b"sound", **checksum(b"sound", algorithm))
    assert right.headers["Upload-Offset"] == "5"


@pytest.mark.parametrize("given", ["crc32 AAAA", "sha1 !!", "sha1", ""])
async def test_a_checksum_that_cannot_be_read_is_refused(client: httpx.AsyncClient, given: str) -> None:
    url = await begin(client)
    answer = await send(client, url, 0, b"sound", **{"Upload-Checksum": given})
    assert answer.status_code in {400, 460}
    assert await offset_of(client, url) == 0


async def test_what_is_too_large_is_refused_before_it_is_sent(client: httpx.AsyncClient) -> None:
    answer = await client.post("/v1/uploads", headers={**VERSION, "Upload-Length": "1000001"})
    assert (answer.status_code, code_of(answer)) == (413, "upload_too_large")
    url = await begin(client, 1_000_000)
    answer = await send(client, url, 0, bytes(100_001))
    assert (answer.status_code, code_of(answer)) == (413, "upload_part_too_large")
    assert "100000" in answer.json()["hint"]
    assert "chunk" in answer.json()["hint"]
    assert await offset_of(client, url) == 0


async def test_a_part_of_unknown_length_ends_at_the_limit(client: httpx.AsyncClient) -> None:
    url = await begin(client, 1_000_000)

    async def endless() -> AsyncIterator[bytes]:
        for _ in range(50):
            yield bytes(10_000)

    answer = await client.patch(url, content=endless(), headers={**PART, "Upload-Offset": "0"})
    assert (answer.status_code, code_of(answer)) == (413, "upload_part_too_large")
    assert await offset_of(client, url) <= 100_000


async def test_bytes_past_the_announced_end_are_refused(client: httpx.AsyncClient) -> None:
    url = await begin(client, 10)
    answer = await send(client, url, 0, b"0123456789x")
    assert (answer.status_code, code_of(answer)) == (400, "request_malformed")
    assert await offset_of(client, url) == 0


async def test_the_quota_is_asked_for_at_the_beginning(client: httpx.AsyncClient) -> None:
    urls = [await begin(client, 1_000_000) for _ in range(2)]
    answer = await client.post("/v1/uploads", headers={**VERSION, "Upload-Length": "1"})
    assert (answer.status_code, code_of(answer)) == (413, "quota_exceeded")
    assert (await client.delete(urls[0], headers=VERSION)).status_code == 204
    await begin(client, 1)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Upload-Length": "-1"},
        {"Upload-Length": "many"},
        {"Upload-Length": "9" * 30},
        {"Upload-Defer-Length": "1"},
        {"Upload-Length": "1", "Upload-Metadata": "filename !!!"},
        {"Upload-Length": "1", "Upload-Metadata": "filename " + "A" * 9000},
    ],
)
async def test_a_creation_that_cannot_be_read_is_refused(
    client: httpx.AsyncClient, headers: dict[str, str]
) -> None:
    answer = await client.post("/v1/uploads", headers={**VERSION, **headers})
    assert (answer.status_code, code_of(answer)) == (400, "request_malformed")


async def test_a_part_of_another_type_is_refused(client: httpx.AsyncClient) -> None:
    url = await begin(client)
    answer = await client.patch(
        url, content=b"x", headers={**VERSION, "Upload-Offset": "0", "Content-Type": "audio/wav"}
    )
    assert (answer.status_code, code_of(answer)) == (415, "content_type_wrong")


async def test_two_parts_at_once_cannot_both_be_taken(client: httpx.AsyncClient) -> None:
    url = await begin(client)
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def slow() -> AsyncIterator[bytes]:
        yield b"first"
        begun.set()
        await go_on.wait()
        yield b"last"

    first = asyncio.create_task(client.patch(url, content=slow(), headers={**PART, "Upload-Offset": "0"}))
    await begun.wait()
    second = await send(client, url, 0, b"x")
    assert (second.status_code, code_of(second)) == (423, "upload_busy")
    go_on.set()
    assert (await first).headers["Upload-Offset"] == "9"


async def test_other_people_do_not_see_an_upload(
    client: httpx.AsyncClient, make_app: MakeApp, other_key: str
) -> None:
    url = await begin(client)
    async with connect(make_app(), other_key) as stranger:
        assert (await stranger.head(url, headers=VERSION)).status_code == 404
        assert (await send(stranger, url, 0, b"x")).status_code == 404
        assert (await stranger.delete(url, headers=VERSION)).status_code == 404
        assert (await stranger.get(f"/v1/files/{url[12:]}")).status_code == 404
    assert await offset_of(client, url) == 0


async def test_a_dropped_upload_is_gone(client: httpx.AsyncClient, settings: Settings) -> None:
    url = await begin(client)
    await send(client, url, 0, b"12345")
    assert (await client.delete(url, headers=VERSION)).status_code == 204
    assert (await client.head(url, headers=VERSION)).status_code == 404
    assert (await send(client, url, 5, b"x")).status_code == 404
    assert list((settings.data_path / "uploads").iterdir()) == []


@pytest.mark.parametrize("name", ["..%2Fkeys", "file_0", "%2e%2e", "file_" + "0" * 26])
async def test_an_upload_that_does_not_exist_is_not_found(client: httpx.AsyncClient, name: str) -> None:
    assert (await client.head(f"/v1/uploads/{name}", headers=VERSION)).status_code == 404


@pytest.mark.parametrize(("headers", "kept"), [({}, 5000), (checksum(b"never"), 0)])
async def test_a_part_that_breaks_off_keeps_what_arrived_unless_it_had_to_be_proved(
    make_app: MakeApp, key: str, settings: Settings, headers: dict[str, str], kept: int
) -> None:
    app = make_app()
    async with listening(app) as url, connect(app, key) as client:
        upload = await begin(client)
        _, writer = await asyncio.open_connection("127.0.0.1", httpx.URL(url).port)
        lines = {**PART, "Host": "x", "Authorization": f"Bearer {key}", "Upload-Offset": "0", **headers}
        head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        writer.write(f"PATCH {upload} HTTP/1.1\r\n{head}Content-Length: 90000\r\n\r\n".encode())
        writer.write(DATA[:5000])
        async with asyncio.timeout(20):
            # The answer to a client that is gone goes nowhere, so the state is asked for: first that the
            # part is being received, then that it no longer is.
            while (await send(client, upload, 1, b"")).status_code != 423:
                await asyncio.sleep(0.05)
            writer.close()
            await writer.wait_closed()
            while (answer := await send(client, upload, kept, b"next")).status_code == 423:
                await asyncio.sleep(0.05)
        assert answer.headers["Upload-Offset"] == str(kept + 4)
        assert list((settings.data_path / "uploads").glob("*.check")) == []
