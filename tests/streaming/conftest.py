"""What the tests of live rooms share."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import redis

from clearcast.engines.denoise.contract import DenoiseEngine
from clearcast.engines.engine import EngineContext, make_engine
from streaming.processing import denoise_threads
from streaming.room import Denoising, Room
from tests import servers


@pytest.fixture(scope="session")
def rnnoise() -> DenoiseEngine:
    engine = make_engine(DenoiseEngine, "rnnoise", {}, EngineContext(Path("nowhere")))
    engine.load()
    return engine


@pytest.fixture(scope="session")
def denoise_executor() -> Iterator[ThreadPoolExecutor]:
    with denoise_threads() as executor:
        yield executor


@pytest.fixture
def denoising(rnnoise: DenoiseEngine, denoise_executor: ThreadPoolExecutor) -> Denoising:
    return Denoising(rnnoise, denoise_executor)


@pytest.fixture
async def room() -> AsyncIterator[Room]:
    room = Room()
    yield room
    await room.close()


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URL of a real Redis that lives as long as the tests."""
    with servers.redis_server(tmp_path_factory.mktemp("redis")) as (_, url):
        yield url


@pytest.fixture(params=["memory", "redis"])
def bus_url(request: pytest.FixtureRequest) -> str:
    """URL of a bus, or of a presence, that knows nothing yet."""
    if request.param == "memory":
        return "memory://"
    url: str = request.getfixturevalue("redis_url")
    with redis.Redis.from_url(url) as client:
        client.flushdb()
    return url
