"""What the tests of live rooms share."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from clearcast.testing.checkpoints.deepfilternet import write_deepfilternet2
from streaming.room import Room
from streaming.workers import DenoiseWorkers


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
