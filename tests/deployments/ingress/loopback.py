"""What the ingress's tests share: small recordings, and ways to reach an app."""

from __future__ import annotations

import asyncio
import contextlib
import io
import wave
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Protocol

import httpx
import numpy as np
import uvicorn
from fastapi import FastAPI

from clearcast.services import Services
from clearcast.testing.services import FakeTranscriber, Hold, fake_services

SAMPLE_RATE_HZ = 16_000


class MakeApp(Protocol):
    """The fixture `make_app`."""

    def __call__(self, services: Services | None = None, **changes: object) -> FastAPI: ...


def wav(*tones_hz: float, seconds: float = 2.0, level: float = 0.3) -> bytes:
    """A 16 kHz WAV file with the tones one after the other, `seconds` each; 0 Hz is silence."""
    time_s = np.arange(round(seconds * SAMPLE_RATE_HZ)) / SAMPLE_RATE_HZ
    sound = np.concatenate([level * np.sin(2 * np.pi * tone_hz * time_s) for tone_hz in tones_hz])
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(SAMPLE_RATE_HZ)
        out.writeframes((np.clip(sound, -1, 1) * 32767).astype("<i2").tobytes())
    return file.getvalue()


def held_services(hold: Hold) -> Services:
    """Services whose transcriber stops at `hold`."""
    return fake_services(transcriber=FakeTranscriber(hold=hold))


@asynccontextmanager
async def connect(app: FastAPI, key: str | None = None) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the app without sockets in between."""
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://test", headers=headers) as client:
        yield client


@asynccontextmanager
async def listening(app: FastAPI) -> AsyncIterator[str]:
    """The app on a real socket of this machine, in the test's event loop; gives its base URL."""
    config = uvicorn.Config(app, host="127.0.0.1", port=0, log_config=None, access_log=False, ws="none")
    server = _Server(config)
    task = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        await task


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield  # Ctrl-C is pytest's
