"""Live rooms whose Redis, or whose other node, is killed."""

from __future__ import annotations

import asyncio
import logging
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from clearcast.errors import ServiceUnavailable
from clearcast.ports import free_port
from streaming.bus import START, Subscription, open_bus
from streaming.bus_redis import RedisBus
from streaming.presence import PersonState, PresenceWatch, open_presence
from tests import servers
from tests.breaking_proxy import breaking_proxy

WAIT_S = 60.0
DURABLE = ("--appendonly", "yes", "--appendfsync", "always")


async def until(done: Callable[[], bool], meanwhile: Callable[[], Awaitable[None]] | None = None) -> None:
    async with asyncio.timeout(WAIT_S):
        while not done():
            if meanwhile is not None:
                await meanwhile()
            await asyncio.sleep(0.005)


async def test_acknowledged_messages_survive_a_killed_redis_each_once(tmp_path: Path) -> None:
    with servers.redis_server(tmp_path, DURABLE) as (server, url):
        bus, other_node = open_bus(url), open_bus(url)
        acknowledged: list[int] = []

        async def publish() -> None:
            for number in range(900):
                await bus.publish("room", {"n": number})
                acknowledged.append(number)

        async def receive(subscription: Subscription) -> list[Any]:
            return [(await anext(subscription)).message["n"] for _ in range(900)]

        receiving = asyncio.create_task(receive(await other_node.subscribe("room")))
        publishing = asyncio.create_task(publish())
        for enough in (100, 400):
            await until(lambda enough=enough: len(acknowledged) >= enough)  # type: ignore[misc]
            await asyncio.to_thread(server.stop, signal.SIGKILL)
            assert not publishing.done()
            await asyncio.to_thread(server.start)
        await asyncio.wait_for(publishing, WAIT_S)
        assert await asyncio.wait_for(receiving, WAIT_S) == list(range(900))
        history = await bus.history("room", last=1000)
        assert [posted.message["n"] for posted in history] == list(range(900))
        await other_node.close()
        await bus.close()


async def test_an_answer_that_got_lost_doubles_no_message(redis_url: str) -> None:
    direct = open_bus(redis_url)
    await direct.erase("lost-answers")
    await direct.publish("lost-answers", {"n": -1})  # from now on Redis knows the script
    at_bytes, is_cut = 0, True
    with breaking_proxy(redis_url.replace("redis:", "http:")) as proxy:
        while is_cut:  # wherever the answers of a first connection may end, until one is whole
            at_bytes += 8
            proxy.breaks, before = [(None, at_bytes)], proxy.num_connections
            through = open_bus(proxy.url.replace("http:", "redis:"))
            await through.publish("lost-answers", {"n": at_bytes})
            await through.close()
            is_cut = proxy.num_connections > before + 1
    history = await direct.history("lost-answers", last=1000)
    assert [posted.message["n"] for posted in history] == [-1, *range(8, at_bytes + 8, 8)]
    await direct.close()


async def test_a_message_that_cannot_be_published_is_refused_in_time() -> None:
    bus = RedisBus(f"redis://127.0.0.1:{free_port()}", tried_for_s=1.0)
    begin_s = time.monotonic()
    with pytest.raises(ServiceUnavailable) as refused:
        await bus.publish("room", {"n": 1})
    assert refused.value.retryable
    assert refused.value.fields["retry_after_s"] > 0
    with pytest.raises(ServiceUnavailable):
        await bus.subscribe("room")
    assert time.monotonic() - begin_s < WAIT_S
    await bus.close()


async def test_a_subscription_waits_for_a_redis_that_is_down_and_the_log_says_so_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streaming.bus_redis.BLOCK_S", 0.5)
    with servers.redis_server(tmp_path, DURABLE) as (server, url):
        bus = RedisBus(url, tried_for_s=0.3)
        subscription = await bus.subscribe("room", after=START)
        with caplog.at_level(logging.INFO, "streaming"):
            await asyncio.to_thread(server.stop, signal.SIGKILL)
            await until(lambda: "does not answer" in caplog.text)
            with pytest.raises(ServiceUnavailable):
                await bus.publish("room", {"n": 1})
            await asyncio.to_thread(server.start)
            await until(lambda: "answers again" in caplog.text)
        assert caplog.text.count("does not answer") == 1
        await bus.publish("room", {"n": 2})
        assert (await asyncio.wait_for(anext(subscription), WAIT_S)).message["n"] == 2
        await bus.close()


async def everything(user_id: str, room_id: str) -> bool:
    return True


async def state_of(watch: PresenceWatch, state: str) -> PersonState:
    async with asyncio.timeout(WAIT_S):
        async for person in watch:
            if person.state == state:
                return person
    raise AssertionError("the watch ended")


_NODE = """
import asyncio, sys
from streaming.presence import open_presence

async def run():
    presence = open_presence(sys.argv[1], expires_after_s=2.0)
    while True:
        await presence.tell("sara", "c1", "streaming", "room_1")
        print("told", flush=True)
        await asyncio.sleep(0.3)

asyncio.run(run())
"""


async def test_people_of_a_killed_node_are_told_of_as_offline(redis_url: str) -> None:
    presence = open_presence(redis_url, expires_after_s=2.0)
    command = [sys.executable, "-c", _NODE, redis_url]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as node:  # noqa: ASYNC220 (starts at once)
        try:
            with await presence.watch(["sara"], everything) as watch:
                assert await state_of(watch, "streaming") == PersonState("sara", "streaming", "room_1")
                await asyncio.sleep(2.5)  # longer than a heartbeat lasts: they keep somebody here
                assert (await presence.states(["sara"]))["sara"].state == "streaming"
                node.kill()
                assert await state_of(watch, "offline") == PersonState("sara")
        finally:
            node.kill()
    await presence.close()


@pytest.mark.parametrize("options", [DURABLE, ()], ids=["durable", "forgetful"])
async def test_presence_goes_on_after_a_killed_redis(tmp_path: Path, options: tuple[str, ...]) -> None:
    with servers.redis_server(tmp_path, options) as (server, url):
        presence, other_node = open_presence(url, 2.0), open_presence(url, 2.0)
        await other_node.tell("gone", "c2", "online")

        async def beat() -> None:
            await other_node.tell("sara", "c1", "streaming", "room_1")

        await beat()
        with (
            await presence.watch(["gone"], everything) as watch_of_gone,
            await presence.watch(["sara"], everything) as watch_of_sara,
        ):
            await state_of(watch_of_gone, "online")
            await state_of(watch_of_sara, "streaming")
            await asyncio.to_thread(server.stop, signal.SIGKILL)
            await asyncio.to_thread(server.start)
            offline = asyncio.create_task(state_of(watch_of_gone, "offline"))
            await until(offline.done, beat)
            assert offline.result() == PersonState("gone")
            await other_node.tell("sara", "c1", "listening", "room_2")
            assert await state_of(watch_of_sara, "listening") == PersonState("sara", "listening", "room_2")
            assert (await presence.states(["sara"]))["sara"].state == "listening"
        await other_node.close()
        await presence.close()
