"""Jobs on what lies in a bucket, and the table of what became of it."""

from __future__ import annotations

import csv
import io
from collections.abc import AsyncIterator

import httpx
import pytest
from fastapi import FastAPI
from pyarrow import parquet

from clearcast.settings import Settings
from clearcast.testing.services import fake_services
from tests.deployments.ingress.loopback import MakeApp, connect, wav
from tests.deployments.ingress.runner import working
from tests.deployments.ingress.test_jobs import ended
from tests.servers import S3Server, s3_client
from tests.storage.test_places import settings_of


@pytest.fixture
def app(make_app: MakeApp, settings: Settings, s3_server: S3Server) -> FastAPI:
    client = s3_client(s3_server, "calls")
    for name, sound in {"a.wav": wav(300), "b/a.wav": wav(500), "bad.wav": b"text"}.items():
        client.put_object("calls", f"march/{name}", io.BytesIO(sound), len(sound))
    storage = settings_of(s3_server).model_copy(update={"database_url": settings.storage.database_url})
    jobs = settings.jobs.model_copy(update={"s3_sources": ("s3://calls/march",)})
    return make_app(storage=storage, jobs=jobs)


@pytest.fixture
async def client(app: FastAPI, key: str) -> AsyncIterator[httpx.AsyncClient]:
    async with working(app, fake_services()), connect(app, key) as client:
        yield client


async def test_every_file_of_a_prefix_is_a_row_of_the_table(
    app: FastAPI, client: httpx.AsyncClient, other_key: str
) -> None:
    order = {"pipeline": "meeting", "sources": ["s3://calls/march", "s3://calls/march/a.wav"]}
    answer = await client.post("/v1/jobs", json=order)
    assert answer.status_code == 202, answer.text
    job = await ended(client, answer.json()["id"])
    assert (job["state"], job["counts"]) == ("failed", {"succeeded": 2, "failed": 1})
    address = f"/v1/jobs/{job['id']}/table"
    table = await client.get(address)
    assert table.headers["content-type"] == "text/csv; charset=utf-8"
    rows = {row["file"]: row for row in csv.DictReader(io.StringIO(table.text))}
    assert list(rows) == ["a.wav", "b/a.wav", "bad.wav"]
    assert (rows["b/a.wav"]["outcome"], rows["b/a.wav"]["results"]) == ("succeeded", "meeting")
    assert float(rows["b/a.wav"]["transcribe_s"]) >= 0
    assert (rows["bad.wav"]["outcome"], rows["bad.wav"]["error_code"]) == ("failed", "audio_unrecognised")
    assert rows["bad.wav"]["source"] == "s3://calls/march/bad.wav"
    packed = await client.get(address, params={"format": "parquet"})
    read = parquet.read_table(io.BytesIO(packed.content)).to_pylist()
    assert [row["outcome"] for row in read] == ["succeeded", "succeeded", "failed"]
    meeting = await client.get(f"/v1/jobs/{job['id']}/results/meeting", params={"task": "1"})
    assert meeting.json()["type"] == "meeting"
    async with connect(app, other_key) as stranger:
        assert (await stranger.get(address)).status_code == 404


@pytest.mark.parametrize(
    ("source", "status", "code"),
    [
        ("s3://calls", 403, "forbidden"),
        ("s3://calls/march/../april", 403, "forbidden"),
        ("/etc", 422, "option_invalid"),
        ("file:///etc/passwd", 422, "option_invalid"),
        ("s3://calls/march/none", 404, "not_found"),
    ],
)
async def test_only_the_allowed_prefixes_are_read(
    client: httpx.AsyncClient, source: str, status: int, code: str
) -> None:
    answer = await client.post("/v1/jobs", json={"pipeline": "meeting", "sources": [source]})
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    address = {"pipeline": "meeting", "file_ids": ["s3://calls/march/a.wav"]}
    assert (await client.post("/v1/jobs", json=address)).status_code == 404, "an address is no id"
