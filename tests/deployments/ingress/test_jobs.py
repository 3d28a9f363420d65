"""`/v1/jobs`: queued over HTTP, done by a real engine beside the app."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import httpx
import pytest
import sqlalchemy as sa

from clearcast.services import Services
from clearcast.testing.services import FakeTranscriber, Hold, fake_services
from pipelines.recipes import all_recipes
from tests.deployments.ingress.loopback import MakeApp, connect, held_services, listening, wav
from tests.deployments.ingress.runner import working

House = Callable[..., AbstractAsyncContextManager[httpx.AsyncClient]]


@pytest.fixture
def house(make_app: MakeApp, key: str) -> House:
    """A client of an app with an engine beside it."""

    @asynccontextmanager
    async def open_house(services: Services | None = None) -> AsyncIterator[httpx.AsyncClient]:
        services = services or fake_services()
        app = make_app(services)
        async with working(app, services), connect(app, key) as client:
            yield client

    return open_house


async def ask(client: httpx.AsyncClient, **fields: str) -> dict[str, Any]:
    answer = await client.post(
        "/v1/jobs",
        data={"pipeline": "meeting", **fields},
        files=[("file", ("monday.wav", wav(300, 500), "audio/wav"))],
    )
    assert answer.status_code == 202, answer.text
    assert answer.headers["Location"] == f"/v1/jobs/{answer.json()['id']}"
    return dict(answer.json())


async def ended(client: httpx.AsyncClient, job_id: str, within_s: float = 30.0) -> dict[str, Any]:
    async with asyncio.timeout(within_s):
        while True:
            job = (await client.get(f"/v1/jobs/{job_id}")).json()
            if job["state"] not in {"queued", "running"}:
                return dict(job)
            await asyncio.sleep(0.05)


async def test_a_file_in_the_request_becomes_a_meeting_in_any_format(house: House) -> None:
    async with house() as client:
        job = await ask(client, label="Monday", options='{"language": "en"}')
        assert (job["state"], job["label"], job["options"]) == ("queued", "Monday", {"language": "en"})
        assert job["files_ahead"] == 0
        assert job["eta_s"] > 0
        done = await ended(client, job["id"])
        assert done["state"] == "succeeded"
        assert done["counts"] == {"succeeded": 1}
        assert done["fraction"] == 1.0
        [task] = done["tasks"]
        assert (task["file_name"], task["duration_s"]) == ("monday.wav", 4.0)
        [result] = done["results"]
        assert (result["name"], result["is_partial"]) == ("meeting", False)
        meeting = (await client.get(result["url"])).json()
        assert meeting["type"] == "meeting"
        subtitles = await client.get(result["url"], params={"task": "0", "format": "srt"})
        assert subtitles.headers["content-type"].startswith("application/x-subrip")
        assert "hello" in subtitles.text


async def test_uploaded_files_are_named_by_their_ids(house: House) -> None:
    async with house() as client:
        sent = await client.post("/v1/files", files={"file": ("a.wav", wav(300), "audio/wav")})
        file_id = sent.json()["id"]
        answer = await client.post(
            "/v1/jobs", json={"pipeline": "transcription", "file_ids": [file_id, file_id]}
        )
        assert answer.status_code == 202, answer.text
        done = await ended(client, answer.json()["id"])
        assert [task["state"] for task in done["tasks"]] == ["succeeded", "succeeded"]
        assert {result["name"] for result in done["results"]} == {"transcript"}


async def test_what_was_said_is_found_afterwards(house: House) -> None:
    async with house() as client:
        await ended(client, (await ask(client))["id"])
        found = (await client.get("/v1/search", params={"q": "hello"})).json()
        assert found["moments"][0]["file_name"] == "monday.wav"


@pytest.mark.parametrize(
    ("request_body", "code", "status"),
    [
        ({"pipeline": "meeting"}, "option_invalid", 422),
        ({"pipeline": "nonsense", "file_ids": []}, "option_invalid", 422),
        ({"pipeline": "meeting", "file_ids": ["file_nobody"]}, "not_found", 404),
        ({"pipeline": "meeting", "options": {"langage": "en"}}, "option_invalid", 422),
        ({"pipeline": "meeting", "options": {"num_speakers": 2, "min_speakers": 1}}, "option_invalid", 422),
        ({"pipeline": "meeting", "priority": "urgent"}, "option_invalid", 422),
        ({"pipeline": "meeting", "webhook_url": "http://127.0.0.1/x"}, "option_invalid", 422),
        ({"pipeline": "meeting", "webhook_url": "file:///etc/passwd"}, "option_invalid", 422),
    ],
)
async def test_wrong_requests_say_what_is_wrong(
    client: httpx.AsyncClient, request_body: dict[str, Any], code: str, status: int
) -> None:
    if "options" in request_body or "webhook_url" in request_body:
        sent = await client.post("/v1/files", files={"file": ("a.wav", wav(300), "audio/wav")})
        request_body = {**request_body, "file_ids": [sent.json()["id"]]}
    answer = await client.post("/v1/jobs", json=request_body)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert (await client.get("/v1/jobs")).json()["jobs"] == []


async def test_a_refused_request_leaves_no_files_behind(client: httpx.AsyncClient) -> None:
    answer = await client.post(
        "/v1/jobs",
        data={"pipeline": "meeting", "options": '{"nonsense": 1}'},
        files=[("file", ("a.wav", wav(300), "audio/wav"))],
    )
    assert answer.status_code == 422
    assert (await client.get("/v1/files")).json()["files"] == []


async def test_a_repeated_request_gives_the_same_job_and_keeps_one_file(client: httpx.AsyncClient) -> None:
    client.headers["Idempotency-Key"] = "try-1"
    first = await ask(client)
    assert (await ask(client))["id"] == first["id"]
    assert len((await client.get("/v1/files")).json()["files"]) == 1
    other = await client.post(
        "/v1/jobs",
        data={"pipeline": "diarization"},
        files=[("file", ("monday.wav", wav(300, 500), "audio/wav"))],
    )
    assert (other.status_code, other.json()["code"]) == (409, "conflict")


async def test_a_job_accepted_while_its_client_left_keeps_its_file(make_app: MakeApp, key: str) -> None:
    app = make_app()
    loop, at_work, go_on = asyncio.get_running_loop(), asyncio.Event(), threading.Event()

    def hold(_connection: Any, _cursor: Any, statement: str, *_more: Any) -> None:
        if "INSERT INTO jobs" in statement:
            loop.call_soon_threadsafe(at_work.set)
            go_on.wait(20)

    async with connect(app, key) as client:
        sa.event.listen(app.state.ingress.database.engine, "after_cursor_execute", hold)
        request = asyncio.create_task(ask(client))
        await asyncio.wait_for(at_work.wait(), 20)
        request.cancel()  # as Serve does when a client leaves
        loop.call_later(0.05, go_on.set)
        with pytest.raises(asyncio.CancelledError):
            await request
        (job,) = (await client.get("/v1/jobs")).json()["jobs"]
        (task,) = (await client.get(f"/v1/jobs/{job['id']}/tasks")).json()["tasks"]
        assert (await client.get(f"/v1/files/{task['file_id']}")).status_code == 200


async def test_cancelling_stops_the_work_and_keeps_what_there_is(house: House) -> None:
    hold = Hold()
    async with house(held_services(hold)) as client:
        job = await ask(client)
        await asyncio.wait_for(hold.entered.wait(), 20)
        early = await client.get(f"/v1/jobs/{job['id']}/results/meeting")
        assert early.status_code == 200, "what the first stages gave is there already"
        await client.delete(f"/v1/jobs/{job['id']}")
        await asyncio.wait_for(hold.cancelled.wait(), 20)
        done = await ended(client, job["id"])
        assert done["state"] == "cancelled"
        assert done["results"][0]["is_partial"]
        again = await client.delete(f"/v1/jobs/{job['id']}")
        assert again.json()["state"] == "cancelled"


async def test_a_failed_job_tells_why_and_can_be_tried_again(house: House) -> None:
    transcriber = FakeTranscriber(error=ValueError("a secret path"))
    async with house(fake_services(transcriber=transcriber)) as client:
        job = await ask(client)
        failed = await ended(client, job["id"])
        assert failed["state"] == "failed"
        assert failed["tasks"][0]["error"]["code"] == "internal_error"
        assert "secret" not in json.dumps(failed)
        transcriber.error = None
        again = await client.post(f"/v1/jobs/{job['id']}/retry")
        assert again.status_code == 202
        assert (await ended(client, job["id"]))["state"] == "succeeded"


async def test_an_ended_job_can_be_erased_with_its_results(house: House) -> None:
    async with house() as client:
        job = await ask(client)
        await ended(client, job["id"])
        assert (await client.post(f"/v1/jobs/{job['id']}/erase")).status_code == 204
        assert (await client.get(f"/v1/jobs/{job['id']}")).status_code == 404
        kinds = [file["kind"] for file in (await client.get("/v1/files")).json()["files"]]
        assert kinds == ["upload"]
        assert (await client.get("/v1/search", params={"q": "hello"})).json()["moments"] == []


async def test_a_result_whose_file_was_deleted_is_no_result_any_more(house: House) -> None:
    async with house() as client:
        job = await ask(client)
        [result] = (await ended(client, job["id"]))["results"]
        files = (await client.get("/v1/files")).json()["files"]
        [made] = [file["id"] for file in files if file["kind"] == "result"]
        assert (await client.delete(f"/v1/files/{made}")).status_code == 204
        assert (await client.get(f"/v1/jobs/{job['id']}")).json()["results"] == []
        answer = await client.get(result["url"])
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
        assert "deleted" in answer.json()["detail"]


async def test_what_was_said_is_not_found_any_more_once_the_document_is_deleted(house: House) -> None:
    async with house() as client:
        job = await ended(client, (await ask(client))["id"])
        [said] = (await client.get("/v1/files", params={"kind": "result"})).json()["files"]
        document = (await client.get(job["results"][0]["url"])).json()
        word = document["transcript"]["segments"][0]["text"].split()[0]
        assert (await client.get("/v1/search", params={"q": word})).json()["moments"]
        assert (await client.delete(f"/v1/files/{said['id']}")).status_code == 204
        assert (await client.get("/v1/search", params={"q": word})).json()["moments"] == []


async def test_tasks_are_paged(client: httpx.AsyncClient) -> None:
    file_id = (await client.get(f"/v1/jobs/{(await ask(client))['id']}/tasks")).json()["tasks"][0][
        "file_id"
    ]
    job = (await client.post("/v1/jobs", json={"pipeline": "meeting", "file_ids": [file_id] * 3})).json()
    path = f"/v1/jobs/{job['id']}/tasks"
    page = (await client.get(path, params={"limit": 2})).json()
    rest = (await client.get(path, params={"limit": 2, "after": page["next"]})).json()
    numbers = [[task["number"] for task in one["tasks"]] for one in (page, rest)]
    assert (numbers, rest["next"]) == ([[0, 1], [2]], None)
    assert (await client.get("/v1/jobs/job_x/tasks")).status_code == 404


async def test_lists_are_paged_and_filtered(client: httpx.AsyncClient) -> None:
    asked = [(await ask(client))["id"] for _ in range(3)]
    page = (await client.get("/v1/jobs", params={"limit": 2, "state": "queued"})).json()
    assert [job["id"] for job in page["jobs"]] == asked[:0:-1]
    rest = (await client.get("/v1/jobs", params={"limit": 2, "after": page["next"]})).json()
    assert ([job["id"] for job in rest["jobs"]], rest["next"]) == ([asked[0]], None)
    assert (await client.get("/v1/jobs", params={"pipeline": "diarization"})).json()["jobs"] == []


async def test_the_list_of_pipelines_comes_from_the_pipelines(client: httpx.AsyncClient) -> None:
    pipelines = (await client.get("/v1/pipelines")).json()["pipelines"]
    assert {one["name"] for one in pipelines} == set(all_recipes())
    options = {one["name"]: one["options"]["properties"] for one in pipelines}
    assert "language" in options["meeting"]
    assert "target_lufs" in options["boost"]


async def test_a_full_queue_is_overload_with_a_place(make_app: MakeApp, key: str) -> None:
    app = make_app()
    state = app.state.ingress
    jobs = state.settings.jobs.model_copy(update={"max_queued": 1})
    app = make_app(jobs=jobs)
    async with connect(app, key) as client:
        await ask(client)
        answer = await client.post(
            "/v1/jobs", data={"pipeline": "meeting"}, files=[("file", ("a.wav", wav(300), "audio/wav"))]
        )
    assert (answer.status_code, answer.json()["code"]) == (503, "overloaded")
    assert int(answer.headers["Retry-After"]) > 0
    assert answer.json()["queue_position"] == 2


def events_in(text: str) -> list[tuple[int, str, dict[str, Any]]]:
    found = []
    for block in text.split("\n\n"):
        lines = dict(line.split(": ", 1) for line in block.splitlines() if not line.startswith(":"))
        if lines:
            found.append((int(lines["id"]), lines["event"], json.loads(lines["data"])))
    return found


async def test_events_tell_all_and_go_on_where_they_broke_off(house: House) -> None:
    async with house() as client:
        job = await ask(client)
        whole = events_in((await client.get(f"/v1/jobs/{job['id']}/events")).text)
        kinds = [kind for _, kind, _ in whole]
        assert kinds[:2] == ["queued", "running"]
        assert kinds[-1] == "succeeded"
        assert {"stage", "result", "task"} <= set(kinds)
        assert [number for number, _, _ in whole] == sorted(number for number, _, _ in whole)
        middle = next(number for number, kind, _ in whole if kind == "result")
        rest = await client.get(f"/v1/jobs/{job['id']}/events", headers={"Last-Event-ID": str(middle)})
        assert events_in(rest.text)[0][0] > middle
        assert events_in(rest.text)[-1][1] == "succeeded"


async def test_events_arrive_while_the_work_goes_on(make_app: MakeApp, key: str) -> None:
    hold = Hold()
    services = held_services(hold)
    app = make_app(services)
    async with working(app, services), listening(app) as base_url:
        headers = {"Authorization": f"Bearer {key}"}
        async with httpx.AsyncClient(base_url=base_url, headers=headers, timeout=30) as client:
            job = await ask(client)
            async with client.stream("GET", f"/v1/jobs/{job['id']}/events") as stream:
                seen = ""
                async for line in stream.aiter_lines():
                    seen += line
                    if "diarize" in line:
                        hold.release.set()
                assert "event: succeeded" in seen
