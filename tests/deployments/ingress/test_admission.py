"""The gate: how many run, how many wait, who is sent away, and that no place is ever lost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import httpx
import pytest

from clearcast.errors import Overloaded
from clearcast.settings import ServeSettings
from clearcast.testing.services import Hold
from deployments.ingress.admission import Gate
from tests.deployments.ingress.loopback import MakeApp, connect, held_services, wav


async def test_only_so_many_run_and_the_others_wait_in_order() -> None:
    gate = Gate(max_running=2, max_waiting=3)
    running = most = 0
    order: list[int] = []

    async def work(number: int) -> None:
        nonlocal running, most
        async with gate.place() as place, place.turn():
            order.append(number)
            running += 1
            most = max(most, running)
            await asyncio.sleep(0.01)
            running -= 1

    await asyncio.gather(*(work(number) for number in range(5)))
    assert most == 2
    assert order == [0, 1, 2, 3, 4]
    assert gate.inside == 0


async def test_one_more_than_fits_is_overloaded_at_once_and_told_when_to_come_back() -> None:
    gate = Gate(max_running=1, max_waiting=2)
    async with AsyncExitStack() as held:
        for _ in range(3):
            await held.enter_async_context(gate.place())
        with pytest.raises(Overloaded) as caught:
            await held.enter_async_context(gate.place())
    assert 1 <= caught.value.retry_after_s <= 120
    async with gate.place():
        assert gate.inside == 1


async def test_whoever_is_cancelled_while_waiting_leaves_the_place_and_the_turn_to_others() -> None:
    gate = Gate(max_running=1, max_waiting=5)

    async def work() -> None:
        async with gate.place() as place, place.turn():
            await asyncio.sleep(0)

    async with gate.place() as first, first.turn():
        waiting = [asyncio.create_task(work()) for _ in range(3)]
        await asyncio.sleep(0)
        waiting[0].cancel()
        await asyncio.wait([waiting[0]])
        assert gate.inside == 3
    await asyncio.gather(*waiting[1:])
    assert gate.inside == 0
    assert waiting[0].cancelled()


async def test_a_full_house_answers_503_before_it_reads_the_body(make_app: MakeApp, key: str) -> None:
    hold = Hold()
    app = make_app(held_services(hold), serve=_limits(running=1, waiting=1))
    read = asyncio.Event()

    async def body() -> AsyncIterator[bytes]:
        read.set()
        yield b""

    async with connect(app, key) as client:
        inside = [asyncio.create_task(_transcribe(client)) for _ in range(2)]
        await asyncio.wait_for(hold.entered.wait(), 20)
        refused = await client.post("/v1/meetings", content=body())
        hold.release.set()
        answers = await asyncio.gather(*inside)
    problem = refused.json()
    assert refused.status_code == 503
    assert (problem["code"], problem["retryable"]) == ("overloaded", True)
    assert refused.headers["retry-after"] == str(problem["retry_after_s"])
    assert not read.is_set()
    assert [answer.status_code for answer in answers] == [200, 200]


async def test_overloads_are_counted(make_app: MakeApp, key: str) -> None:
    hold = Hold()
    app = make_app(held_services(hold), serve=_limits(running=1, waiting=0))
    async with connect(app, key) as client:
        inside = asyncio.create_task(_transcribe(client))
        await asyncio.wait_for(hold.entered.wait(), 20)
        assert (await _transcribe(client)).status_code == 503
        hold.release.set()
        assert (await inside).status_code == 200
        metrics = (await client.get("/metrics")).text
    assert "clearcast_overloads_total 1.0" in metrics
    assert 'clearcast_errors_total{code="overloaded"} 1.0' in metrics


async def _transcribe(client: httpx.AsyncClient) -> httpx.Response:
    return await client.post(
        "/v1/audio/transcriptions", data={"model": "whisper-1"}, files={"file": wav(300)}
    )


def _limits(*, running: int, waiting: int) -> ServeSettings:
    return ServeSettings(max_running_meetings=running, max_waiting_meetings=waiting)
