"""Jobs on what lies in a bucket, what they leave in one, and the table of what became of it."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

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

MANIFESTS = {
    "two.csv": b"file,language\ns3://calls/march/a.wav,en\ns3://calls/march/a.wav,\n",
    "bad.jsonl": b'{"file": "s3://calls/march/a.wav", "juggle": true}\n',
    "out.csv": b"file\n../../april/a.wav\n",
}


@pytest.fixture
def app(make_app: MakeApp, settings: Settings, s3_server: S3Server) -> FastAPI:
    client = s3_client(s3_server, "calls")
    for name, sound in {"a.wav": wav(300), "b/a.wav": wav(500), "bad.wav": b"text"}.items():
        client.put_object("calls", f"march/{name}", io.BytesIO(sound), len(sound))
    for name, text in MANIFESTS.items():
        client.put_object("calls", f"march/lists/{name}", io.BytesIO(text), len(text))
    storage = settings_of(s3_server).model_copy(update={"database_url": settings.storage.database_url})
    s3_client(s3_server, "texts")
    jobs = settings.jobs.model_copy(
        update={
            "s3_sources": ("s3://calls/march",),
            "s3_destinations": ("s3://texts/out", "s3://texts/{owner}"),
        }
    )
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
    app: FastAPI, key: str, source: str, status: int, code: str
) -> None:
    async with connect(app, key) as client:
        answer = await client.post("/v1/jobs", json={"pipeline": "meeting", "sources": [source]})
        assert (answer.status_code, answer.json()["code"]) == (status, code)
        address = {"pipeline": "meeting", "file_ids": ["s3://calls/march/a.wav"]}
        assert (await client.post("/v1/jobs", json=address)).status_code == 404, "an address is no id"


@pytest.fixture
def texts(s3_server: S3Server) -> Callable[[str], dict[str, bytes]]:
    """What lies below a prefix of the bucket "texts", by name; records without their folder's name."""
    client = s3_client(s3_server, "texts")

    def look(prefix: str) -> dict[str, bytes]:
        found = client.list_objects("texts", f"{prefix}/", recursive=True)
        names = [one.object_name or "" for one in found]
        return {name.removeprefix(f"{prefix}/"): client.get_object("texts", name).read() for name in names}

    return look


async def asked(client: httpx.AsyncClient, order: dict[str, Any]) -> dict[str, Any]:
    answer = await client.post("/v1/jobs", json=order)
    assert answer.status_code == 202, answer.text
    return await ended(client, answer.json()["id"])


async def test_results_go_to_a_bucket_and_are_not_made_twice(
    client: httpx.AsyncClient, texts: Callable[[str], dict[str, bytes]]
) -> None:
    order = {
        "pipeline": "meeting",
        "sources": ["s3://calls/march"],
        "destination": "s3://texts/out/march/",
        "formats": ["json", "srt"],
    }
    job = await asked(client, order)
    assert (job["destination"], job["formats"]) == ("s3://texts/out/march", ["json", "srt"])
    tasks = {task["file_name"]: task for task in job["tasks"]}
    assert tasks["b/a.wav"]["outputs"] == ["b/a.meeting.json", "b/a.meeting.srt"]
    assert tasks["bad.wav"]["outputs"] == []
    made = texts("out/march")
    assert sorted(made) == [
        *(".batch/meeting/a.json", ".batch/meeting/b/a.json"),
        *("a.meeting.json", "a.meeting.srt", "b/a.meeting.json", "b/a.meeting.srt"),
    ]
    kept = await client.get(f"/v1/jobs/{job['id']}/results/meeting", params={"task": "1"})
    assert kept.json() == json.loads(made["b/a.meeting.json"])

    again = await asked(client, order)
    assert again["counts"] == {"succeeded": 2, "failed": 1}
    assert ["already" in "".join(task["warnings"]) for task in again["tasks"]] == [True, True, False]
    assert again["tasks"][1]["outputs"] == tasks["b/a.wav"]["outputs"]
    assert texts("out/march") == made, "records name the job that made the results"

    other = await asked(client, order | {"options": {"language": "en"}})
    assert not other["tasks"][0]["warnings"], "other options make other results"


async def test_sounds_go_to_a_bucket_in_the_form_that_is_asked_for(
    client: httpx.AsyncClient, texts: Callable[[str], dict[str, bytes]]
) -> None:
    file_ids = [(await client.post("/v1/files", files={"file": ("x.wav", wav(300))})).json()["id"]]
    me = (await client.get("/v1/auth/me")).json()["id"]
    order = {"pipeline": "enhance", "file_ids": file_ids, "destination": f"s3://texts/{me}"}
    job = await asked(client, order | {"sound_format": "opus"})
    assert job["state"] == "succeeded", job["tasks"]
    assert job["tasks"][0]["outputs"] == ["x.denoised.opus"]
    assert texts(me)["x.denoised.opus"].startswith(b"OggS")
    again = await asked(client, order | {"sound_format": "opus"})
    assert "already" in again["tasks"][0]["warnings"][0]


async def test_files_have_options_of_their_own(client: httpx.AsyncClient) -> None:
    order = {
        "pipeline": "transcription",
        "sources": ["s3://calls/march/lists/two.csv", "s3://calls/march/lists/two.csv"],
        "files": [{"file": "s3://calls/march/b/a.wav", "options": {"language": "de"}}],
        "options": {"language": "fa"},
    }
    job = await asked(client, order)
    given = [(task["file_name"], task["options"]) for task in job["tasks"]]
    assert given == [("a.wav", {"language": "de"}), ("a.wav", {"language": "en"}), ("a.wav", {})]
    results = [f"/v1/jobs/{job['id']}/results/transcript?task={task}" for task in range(3)]
    languages = [(await client.get(result)).json()["language"] for result in results]
    assert languages == ["de", "en", "fa"]


REFUSED: Sequence[tuple[dict[str, Any], int, str, str | None]] = [
    ({"destination": "s3://texts"}, 403, "forbidden", "destination"),
    ({"destination": "s3://texts/usr_ben"}, 403, "forbidden", "destination"),
    ({"destination": "s3://texts/out/../in"}, 403, "forbidden", "destination"),
    ({"destination": "/tmp/out"}, 422, "option_invalid", "destination"),
    ({"formats": ["srt"]}, 422, "option_invalid", "destination"),
    ({"destination": "s3://texts/out", "formats": ["doc"]}, 422, "option_invalid", None),
    ({"destination": "s3://texts/out", "sound_format": "mid"}, 422, "option_invalid", None),
    ({"sources": ["s3://calls/march/lists/bad.jsonl"]}, 422, "option_invalid", "options"),
    ({"sources": ["s3://calls/march/lists/out.csv"]}, 403, "forbidden", "sources"),
    ({"files": [{"file": "s3://calls/april/a.wav"}]}, 403, "forbidden", "sources"),
    ({"files": [{"file": "file_none"}]}, 404, "not_found", "files"),
]


async def test_what_may_not_be_written_or_is_no_option_is_refused_at_once(app: FastAPI, key: str) -> None:
    order = {"pipeline": "meeting", "sources": ["s3://calls/march/a.wav"]}
    async with connect(app, key) as client:
        for more, *expected in REFUSED:
            answer = await client.post("/v1/jobs", json=order | more)
            problem = answer.json()
            assert [answer.status_code, problem["code"], problem.get("field")] == expected, more
