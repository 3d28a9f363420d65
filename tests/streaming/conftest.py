"""What the tests of live rooms share."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from clearcast.engines.denoise.contract import DenoiseEngine
from clearcast.engines.engine import EngineContext, make_engine
from streaming.processing import denoise_threads
from streaming.room import Denoising, Room


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
