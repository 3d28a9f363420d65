"""The bus of live rooms: from `publish` to the subscriber, alone and at 1000 messages a second.

In memory, and over a Redis on this machine that keeps its messages in memory only; two nodes, publishing on
one, subscribed on the other. Without `redis-server` only the memory is measured.
"""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import redis

from bench.row import Row
from clearcast.ports import free_port
from streaming.bus import Bus, open_bus

_TOPICS = 10
_PER_TOPIC = 300
_ALONE = 300


def rows() -> Iterator[Row]:
    yield from asyncio.run(_measure("memory", "memory://"))
    if shutil.which("redis-server") is not None:
        with _redis() as url:
            yield from asyncio.run(_measure("redis", url))


async def _measure(case: str, url: str) -> list[Row]:
    one = open_bus(url)
    other = one if case == "memory" else open_bus(url)
    try:
        alone_ms = await _delays_ms(one, other, 1, _ALONE, pause_s=0.0)
        busy_s = time.process_time()
        began_s = time.monotonic()
        # 10 topics, 100 messages a second each
        busy_ms = await _delays_ms(one, other, _TOPICS, _PER_TOPIC, pause_s=0.01)
        took_s = time.monotonic() - began_s
        cpu = (time.process_time() - busy_s) / took_s
    finally:
        await other.close()
        await one.close()
    rate = _TOPICS * _PER_TOPIC / took_s
    return [
        Row("bus", f"{case}, one at a time", "publish_to_receive_p50", float(np.median(alone_ms)), "ms"),
        Row("bus", f"{case}, 1000/s", "messages_per_s", rate, "1/s"),
        Row("bus", f"{case}, 1000/s", "publish_to_receive_p50", float(np.median(busy_ms)), "ms"),
        Row("bus", f"{case}, 1000/s", "publish_to_receive_p95", float(np.percentile(busy_ms, 95)), "ms"),
        Row("bus", f"{case}, 1000/s", "both_nodes_core_share", 100 * cpu, "%"),
    ]


async def _delays_ms(one: Bus, other: Bus, topics: int, count: int, pause_s: float) -> list[float]:
    """Publish `count` messages on each topic, by a clock if there is a pause."""

    async def run(topic: str) -> list[float]:
        with await other.subscribe(topic) as messages:

            async def publish() -> None:
                begin_s = time.monotonic()
                for number in range(count):
                    await asyncio.sleep(max(0.0, begin_s + number * pause_s - time.monotonic()))
                    await one.publish(topic, {"sent_s": time.monotonic(), "text": "x" * 100})

            publishing = asyncio.create_task(publish())
            delays = []
            for _ in range(count):
                posted = await anext(messages)
                delays.append(1000 * (time.monotonic() - posted.message["sent_s"]))
            await publishing
            return delays

    found = await asyncio.gather(*[run(f"bench:{number}") for number in range(topics)])
    return [delay for delays in found for delay in delays]


@contextmanager
def _redis() -> Iterator[str]:
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        command = [
            "redis-server",
            "--port",
            str(port),
            "--bind",
            "127.0.0.1",
            "--save",
            "",
            "--dir",
            folder,
        ]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL) as server:
            try:
                _await_answer(port)
                yield f"redis://127.0.0.1:{port}"
            finally:
                server.terminate()


def _await_answer(port: int) -> None:
    give_up_s = time.monotonic() + 20
    with redis.Redis(port=port, socket_timeout=5) as client:
        while True:
            try:
                client.ping()
                return
            except redis.ConnectionError:
                if time.monotonic() > give_up_s:
                    raise
                time.sleep(0.05)
