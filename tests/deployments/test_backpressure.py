"""What the proxy and the ingress hold of one request: little, in order, and nothing waits for ever."""

from __future__ import annotations

import asyncio
import pickle
from typing import Any

import pytest
from ray.serve._private import proxy, replica
from ray.serve._private.http_util import ASGIReceiveProxy, MessageQueue

from deployments.backpressure import (
    BATCH_BYTES,
    HELD_BYTES,
    HELD_MESSAGES,
    BoundedQueue,
    BoundedReceive,
    bound_proxy,
    bound_replica,
)
from deployments.server import RAY_ENVIRONMENT

DISCONNECT = {"type": "http.disconnect"}


def body(data: bytes, more: bool = True) -> dict[str, Any]:
    return {"type": "http.request", "body": data, "more_body": more}


async def settled() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_a_sender_waits_until_what_it_sent_is_fetched() -> None:
    queue = BoundedQueue()
    data = bytes(range(256)) * (3 * HELD_BYTES // 256)
    sending = asyncio.create_task(queue(body(data, more=False)))
    arrived, most_bytes = [], 0
    while not arrived or arrived[-1]["more_body"]:
        await queue.wait_for_message()
        await settled()
        most_bytes = max(most_bytes, sum(len(message["body"]) for message in queue._message_queue))
        batch = queue.get_messages_nowait()
        assert len(pickle.dumps(batch)) < 100 << 10  # what Ray sends without its object store
        arrived += batch
    await sending
    assert b"".join(message["body"] for message in arrived) == data
    assert HELD_BYTES - BATCH_BYTES < most_bytes < HELD_BYTES + BATCH_BYTES


async def test_a_crowd_of_tiny_messages_is_bounded_too() -> None:
    queue = BoundedQueue()

    async def send() -> None:
        while True:
            await queue(body(b"."))

    sending = asyncio.create_task(send())
    await settled()
    assert 0 < len(queue._message_queue) < 10_000
    assert len(pickle.dumps(queue.get_messages_nowait())) < 100 << 10
    sending.cancel()


async def test_the_messages_after_a_body_are_fetched_too_and_a_closed_queue_says_so() -> None:
    queue = BoundedQueue()
    await queue(body(b"", more=False))
    await queue(DISCONNECT)
    queue.close()
    await queue.wait_for_message()
    assert queue.get_messages_nowait() == [body(b"", more=False), DISCONNECT]
    await queue.wait_for_message()  # at once: nothing more will come
    assert queue.get_messages_nowait() == []


async def test_a_long_message_of_a_websocket_stays_whole() -> None:
    queue = BoundedQueue()
    long = {"type": "websocket.receive", "bytes": bytes(2 * HELD_BYTES)}
    await queue(long)
    waiting = asyncio.create_task(queue({"type": "websocket.receive", "text": "next"}))
    await settled()
    assert not waiting.done()
    assert queue.get_messages_nowait() == [long]
    await waiting
    assert queue.get_messages_nowait() == [{"type": "websocket.receive", "text": "next"}]


async def test_a_waiting_sender_can_be_cancelled() -> None:
    queue = BoundedQueue()
    waiting = asyncio.create_task(queue(body(bytes(2 * HELD_BYTES))))
    await settled()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting


async def test_the_ingress_fetches_no_more_than_it_can_hold() -> None:
    messages = [body(bytes([number])) for number in range(3 * HELD_MESSAGES)]
    fetched = 0

    async def fetch(_metadata: object) -> bytes:
        nonlocal fetched
        fetched += 1
        return pickle.dumps([messages[fetched - 1]] if fetched <= len(messages) else [DISCONNECT])

    receive = BoundedReceive({"type": "http"}, None, fetch)
    fetching = asyncio.create_task(receive.fetch_until_disconnect())
    for number, message in enumerate(messages):
        await settled()
        assert fetched <= number + HELD_MESSAGES
        assert await receive() == message
    assert [await receive(), await receive()] == [DISCONNECT, DISCONNECT]
    await fetching


async def test_a_disconnect_is_noticed_though_a_short_body_is_not_read() -> None:
    batches = [[body(b"short", more=False)], [DISCONNECT]]

    async def fetch(_metadata: object) -> bytes:
        return pickle.dumps(batches.pop(0))

    receive = BoundedReceive({"type": "http"}, None, fetch)
    await asyncio.wait_for(receive.fetch_until_disconnect(), 1)


def test_ray_is_started_with_the_callback_for_its_proxies() -> None:
    path = f"{bound_proxy.__module__}.{bound_proxy.__qualname__}"
    assert RAY_ENVIRONMENT["RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH"] == path
    assert RAY_ENVIRONMENT["FORWARDED_ALLOW_IPS"] == ""  # whom to believe is http.trusted_proxies


def test_the_installed_ray_uses_the_classes_that_are_put_in_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proxy, "MessageQueue", MessageQueue)
    monkeypatch.setattr(replica, "ASGIReceiveProxy", ASGIReceiveProxy)
    assert bound_proxy() == []
    bound_replica()
    assert proxy.MessageQueue is BoundedQueue
    assert replica.ASGIReceiveProxy is BoundedReceive
