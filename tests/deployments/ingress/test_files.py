"""`/v1/files`: the caller's own, page by page, and presigned uploads to a real S3 server."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator

import httpx
import pytest

from clearcast.settings import AudioSettings, Settings, StorageSettings
from tests.deployments.ingress.loopback import MakeApp, connect, wav
from tests.servers import S3Server

SOUND = wav(440.0)


async def keep(
    client: httpx.AsyncClient, content: bytes = SOUND, name: str = "talk.wav"
) -> dict[str, object]:
    answer = await client.post("/v1/files", files={"file": (name, content)})
    assert answer.status_code == 201
    file: dict[str, object] = answer.json()
    assert answer.headers["Location"] == f"/v1/files/{file['id']}"
    return file


async def test_a_small_file_is_kept_whole(client: httpx.AsyncClient, settings: Settings) -> None:
    file = await keep(client, name="گفتگو.wav")
    assert file["name"] == "گفتگو.wav"
    assert (file["kind"], file["state"], file["media_type"]) == ("upload", "stored", "audio/wav")
    assert file["size_bytes"] == file["received_bytes"] == len(SOUND)
    assert file["sha256"] == hashlib.sha256(SOUND).hexdigest()
    assert file["expires_at"] is not None
    assert (await client.get(f"/v1/files/{file['id']}")).json() == file
    assert list((settings.data_path / "work").glob("*/")) == []


@pytest.mark.parametrize("body", [{}, {"file": b"x", "other": b"y"}])
async def test_a_form_of_another_shape_is_refused(
    client: httpx.AsyncClient, body: dict[str, bytes]
) -> None:
    answer = await client.post("/v1/files", files={name: (name, data) for name, data in body.items()})
    assert answer.json()["code"] in {"request_malformed", "option_invalid"}
    assert (await client.get("/v1/files")).json()["files"] == []


async def test_limits_hold_and_leave_nothing(make_app: MakeApp, key: str, settings: Settings) -> None:
    app = make_app(audio=AudioSettings(max_upload_bytes=1000), storage=StorageSettings(quota_bytes=1500))
    async with connect(app, key) as client:
        large = await client.post("/v1/files", files={"file": ("a", bytes(1001))})
        assert (large.status_code, large.json()["code"]) == (413, "upload_too_large")
        await keep(client, bytes(1000))
        full = await client.post("/v1/files", files={"file": ("a", bytes(501))})
        assert (full.status_code, full.json()["code"]) == (413, "quota_exceeded")
        assert len((await client.get("/v1/files")).json()["files"]) == 1


async def test_pages_hold_every_file_once_the_newest_first(client: httpx.AsyncClient) -> None:
    made = [(await keep(client, b"x"))["id"] for _ in range(5)]
    found: list[object] = []
    after = None
    while True:
        page = (
            await client.get("/v1/files", params={"limit": 2} | ({"after": after} if after else {}))
        ).json()
        found += [file["id"] for file in page["files"]]
        after = page["next"]
        if after is None:
            break
    assert sorted(found, reverse=True) == found
    assert sorted(found) == sorted(map(str, made))
    assert (await client.get("/v1/files", params={"kind": "result"})).json() == {"files": [], "next": None}
    assert (await client.get("/v1/files", params={"limit": 0})).status_code == 422


async def test_other_people_do_not_see_a_file(
    client: httpx.AsyncClient, make_app: MakeApp, other_key: str
) -> None:
    file = await keep(client)
    async with connect(make_app(), other_key) as stranger:
        assert (await stranger.get("/v1/files")).json()["files"] == []
        for method, address in (
            ("GET", ""),
            ("DELETE", ""),
            ("GET", "/content"),
            ("HEAD", "/content"),
            ("POST", "/links"),
        ):
            assert (await stranger.request(method, f"/v1/files/{file['id']}{address}")).status_code == 404
        assert (await stranger.post(f"/v1/uploads/{file['id']}/complete")).status_code == 404
    assert (await client.get(f"/v1/files/{file['id']}")).status_code == 200


async def test_nobody_gets_nothing(make_app: MakeApp) -> None:
    async with connect(make_app()) as nobody:
        assert (await nobody.get("/v1/files")).status_code == 401
        assert (await nobody.post("/v1/uploads", headers={"Upload-Length": "1"})).status_code in {401, 412}


async def test_a_deleted_file_is_gone_with_its_bytes(client: httpx.AsyncClient, settings: Settings) -> None:
    file = await keep(client)
    assert (await client.delete(f"/v1/files/{file['id']}")).status_code == 204
    for address in ("", "/content"):
        assert (await client.get(f"/v1/files/{file['id']}{address}")).status_code == 404
    assert (await client.delete(f"/v1/files/{file['id']}")).status_code == 404
    assert [path for path in (settings.data_path / "blobs").rglob("*") if path.is_file()] == []


async def test_where_files_are_kept_by_the_server_there_is_nothing_to_presign(
    client: httpx.AsyncClient,
) -> None:
    answer = await client.post("/v1/uploads/presigned", json={"name": "a.wav", "size_bytes": 10})
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    assert (await client.get("/v1/files")).json()["files"] == []


@pytest.fixture
async def s3_client(make_app: MakeApp, key: str, s3_server: S3Server) -> AsyncIterator[httpx.AsyncClient]:
    storage = {
        "blobs_url": "s3://ingress",
        "s3_endpoint": s3_server.endpoint,
        "s3_is_secure": False,
        "s3_access_key": s3_server.access_key,
        "s3_secret_key": s3_server.secret_key,
    }
    app = make_app(
        storage=StorageSettings.model_validate(storage), audio=AudioSettings(max_upload_bytes=100_000)
    )
    async with connect(app, key) as client:
        yield client


async def test_a_presigned_upload_goes_around_the_server(s3_client: httpx.AsyncClient) -> None:
    wanted = {"name": "talk.wav", "size_bytes": len(SOUND)}
    answer = await s3_client.post("/v1/uploads/presigned", json=wanted)
    assert answer.status_code == 201
    presigned = answer.json()
    early = await s3_client.post(f"/v1/uploads/{presigned['id']}/complete")
    assert (early.status_code, early.json()["code"]) == (404, "not_found")
    put = await asyncio.to_thread(httpx.put, presigned["url"], content=SOUND)
    assert put.status_code == 200
    file = (await s3_client.post(f"/v1/uploads/{presigned['id']}/complete")).json()
    assert (file["state"], file["sha256"]) == ("stored", hashlib.sha256(SOUND).hexdigest())
    assert (await s3_client.get(f"/v1/files/{file['id']}/content")).content == SOUND
    part = await s3_client.get(f"/v1/files/{file['id']}/content", headers={"Range": "bytes=10-19"})
    assert (part.status_code, part.content) == (206, SOUND[10:20])
    assert (await s3_client.delete(f"/v1/files/{file['id']}")).status_code == 204


async def test_a_presigned_upload_keeps_to_the_limits(s3_client: httpx.AsyncClient) -> None:
    too_much = await s3_client.post("/v1/uploads/presigned", json={"name": "a", "size_bytes": 100_001})
    assert too_much.json()["code"] == "upload_too_large"
    presigned = (await s3_client.post("/v1/uploads/presigned", json={"name": "a", "size_bytes": 10})).json()
    await asyncio.to_thread(httpx.put, presigned["url"], content=bytes(11))
    answer = await s3_client.post(f"/v1/uploads/{presigned['id']}/complete")
    assert (answer.status_code, answer.json()["code"]) == (413, "upload_too_large")
    assert (await s3_client.get(f"/v1/files/{presigned['id']}")).status_code == 404


async def test_tus_and_other_formats_work_on_s3_too(s3_client: httpx.AsyncClient) -> None:
    headers = {
        "Tus-Resumable": "1.0.0",
        "Upload-Length": str(len(SOUND)),
        "Content-Type": "application/offset+octet-stream",
    }
    answer = await s3_client.post("/v1/uploads", headers=headers, content=SOUND)
    address = answer.headers["Location"].replace("uploads", "files")
    assert (await s3_client.get(f"{address}/content")).content == SOUND
    flac = await s3_client.get(f"{address}/content?format=flac")
    assert flac.content.startswith(b"fLaC")
