"""Clients that go away, over real sockets: their work stops and nothing of it stays."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI

from clearcast.settings import AudioSettings, ServeSettings, Settings
from clearcast.testing.services import FakeDiarizer, Hold, fake_services
from tests.deployments.ingress.loopback import MakeApp, connect, held_services, listening, wav

PATIENCE_S = 20.0
BOUNDARY = "frontier"


def form(sound: bytes, **fields: str) -> bytes:
    parts = [
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{n}"\r\n\r\n{v}\r\n'
        for n, v in fields.items()
    ]
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\n'
    return ("".join(parts) + head).encode() + sound + f"\r\n--{BOUNDARY}--\r\n".encode()


async def send(
    url: str, path: str, key: str, body: bytes, announced: int | None = None
) -> asyncio.StreamWriter:
    """Begin a request on a connection of its own, whose end is in the test's hands."""
    address = httpx.URL(url)
    _, writer = await asyncio.open_connection(address.host, address.port)
    length = len(body) if announced is None else announced
    writer.write(
        f"POST {path} HTTP/1.1\r\nHost: test\r\nAuthorization: Bearer {key}\r\nContent-Length: {length}\r\n"
        f"Content-Type: multipart/form-data; boundary={BOUNDARY}\r\n\r\n".encode()
    )
    writer.write(body)
    await writer.drain()
    return writer


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not condition():
            await asyncio.sleep(0.01)


def folders(settings: Settings) -> list[Path]:
    return [path for path in (settings.data_path / "work").glob("*-*") if path.is_dir()]


def inside(app: FastAPI) -> int:
    count: int = app.state.ingress.gate.inside
    return count


async def test_leaving_in_the_middle_of_an_upload_removes_what_came(
    make_app: MakeApp, key: str, settings: Settings
) -> None:
    app = make_app()
    async with listening(app) as url:
        writer = await send(url, "/v1/meetings", key, form(wav(300))[:5000], announced=60_000)
        await until(lambda: len(folders(settings)) == 1)
        writer.close()
        await until(lambda: not folders(settings) and inside(app) == 0)


@pytest.mark.parametrize(
    ("path", "fields"),
    [
        ("/v1/meetings", {}),
        ("/v1/audio/transcriptions", {"model": "whisper-1"}),
        ("/v1/audio/transcriptions", {"model": "whisper-1", "stream": "true"}),
        ("/v1/audio/transcriptions", {"model": "whisper-1", "response_format": "diarized_json"}),
    ],
)
async def test_leaving_stops_the_pipeline(
    make_app: MakeApp, key: str, settings: Settings, path: str, fields: dict[str, str]
) -> None:
    hold = Hold()
    app = make_app(held_services(hold))
    async with listening(app) as url:
        writer = await send(url, path, key, form(wav(300), **fields))
        await asyncio.wait_for(hold.entered.wait(), PATIENCE_S)
        writer.close()
        await asyncio.wait_for(hold.cancelled.wait(), PATIENCE_S)
        await until(lambda: not folders(settings) and inside(app) == 0)


async def test_leaving_an_open_stream_stops_the_pipeline(
    make_app: MakeApp, key: str, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("deployments.ingress.event_stream.QUIET_S", 0.05)
    hold = Hold()
    app = make_app(held_services(hold))
    async with listening(app) as url, httpx.AsyncClient(base_url=url) as client:
        async with client.stream(
            "POST",
            "/v1/audio/transcriptions",
            data={"model": "whisper-1", "stream": "true"},
            files={"file": wav(300)},
            headers={"Authorization": f"Bearer {key}"},
        ) as answer:
            assert answer.status_code == 200
            lines = answer.aiter_lines()
            assert await anext(lines) == ": working"
            await asyncio.wait_for(hold.entered.wait(), PATIENCE_S)
        await asyncio.wait_for(hold.cancelled.wait(), PATIENCE_S)
        await until(lambda: not folders(settings) and inside(app) == 0)


async def test_leaving_while_waiting_frees_the_place(make_app: MakeApp, key: str) -> None:
    hold = Hold()
    limits = ServeSettings(max_running_meetings=1, max_waiting_meetings=1)
    app = make_app(held_services(hold), serve=limits)
    async with listening(app) as url:
        running = await send(url, "/v1/meetings", key, form(wav(300)))
        await asyncio.wait_for(hold.entered.wait(), PATIENCE_S)
        waiting = await send(url, "/v1/meetings", key, form(wav(300)))
        await until(lambda: inside(app) == 2)
        waiting.close()
        await until(lambda: inside(app) == 1)
        hold.release.set()
        async with connect(app, key) as client:
            answer = await client.post("/v1/diarizations", files={"file": wav(300)})
        assert answer.status_code == 200
        running.close()


async def test_a_cancelled_request_as_serve_cancels_it_leaves_nothing(
    make_app: MakeApp, key: str, settings: Settings
) -> None:
    hold = Hold()
    app = make_app(fake_services(FakeDiarizer(hold=hold)))
    async with connect(app, key) as client:
        request = asyncio.create_task(client.post("/v1/meetings", files={"file": wav(300)}))
        await asyncio.wait_for(hold.entered.wait(), PATIENCE_S)
        request.cancel()
        with pytest.raises(asyncio.CancelledError):
            await request
    assert hold.cancelled.is_set()
    await until(lambda: not folders(settings) and inside(app) == 0)


@pytest.mark.parametrize(("given", "status"), [("right", 413), ("wrong", 401)])
async def test_who_is_refused_while_sending_still_reads_the_reason(
    make_app: MakeApp, key: str, given: str, status: int
) -> None:
    app = make_app(audio=AudioSettings(max_upload_bytes=1_000_000))
    headers = {"Authorization": f"Bearer {key if given == 'right' else 'cc_wrong'}"}
    async with listening(app) as url, httpx.AsyncClient(base_url=url, headers=headers) as client:
        answer = await client.post("/v1/meetings", files={"file": bytes(8_000_000)})
        assert answer.status_code == status
        after = await client.post("/v1/diarizations", files={"file": wav(300)})
        assert after.status_code == (200 if given == "right" else 401)
