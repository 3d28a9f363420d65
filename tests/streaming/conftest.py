"""What the tests of live rooms share."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import redis

from clearcast.testing.checkpoints.deepfilternet import write_deepfilternet2
from streaming.room import Room
from streaming.workers import DenoiseWorkers
from tests import servers


@pytest.fixture
async def rnnoise() -> AsyncIterator[DenoiseWorkers]:
    """One worker process with RNNoise."""
    async with DenoiseWorkers("rnnoise", {}, Path("nowhere")) as workers:
        yield workers


@pytest.fixture(scope="session")
def engine_options(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, str]]:
    """Options by engine; DeepFilterNet2 is of the published format and size, with random weights."""
    model = write_deepfilternet2(tmp_path_factory.mktemp("dfn") / "full-size")
    return {"rnnoise": {}, "deepfilternet2": {"model": str(model)}}


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
