"""Bodies of requests come no faster than they are read: what keeps an upload out of memory behind Serve.

What lives here: a bound on what Serve's proxy and the ingress replica hold of a request. What does not:
what is done with the bytes (`ingress/`).

Serve's proxy takes a body as fast as the client sends it into a queue without end, the replica fetches from
there into another, and a batch of more than 100 KiB goes through Ray's object store, whose pages then count
in both processes (Ray 2.60, serve/_private: `proxy_asgi_receive` in proxy.py, `ASGIReceiveProxy` in
http_util.py). Here both queues wait when they are full, so that TCP holds the client back, and batches are
small.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator

from ray.serve._private.common import RequestMetadata
from ray.serve._private.http_util import ASGIReceiveProxy, MessageQueue
from starlette.middleware import Middleware
from starlette.types import Message, Scope

HELD_BYTES = 1 << 20
"""Of one request in the proxy, and about as much in the replica."""
BATCH_BYTES = 96 << 10  # Ray sends results of up to 100 KiB inline (max_direct_call_object_size)
HELD_MESSAGES = HELD_BYTES // BATCH_BYTES
_FRAME_BYTES = 128  # what a message costs beside its body, so that a crowd of tiny ones is bounded too


def bound_proxy() -> list[Middleware]:
    """Bound what this process, a proxy, holds.

    Every proxy calls it when it starts, by RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH, and would take
    middlewares from it.
    """
    from ray.serve._private import proxy  # each process has one of the two modules, and needs not the other

    proxy.MessageQueue = BoundedQueue  # type: ignore[attr-defined]
    return []


def bound_replica() -> None:
    """Bound what this process, a replica, holds."""
    from ray.serve._private import replica

    replica.ASGIReceiveProxy = BoundedReceive  # type: ignore[attr-defined]


class BoundedQueue(MessageQueue):
    """What the client has sent and the replica has not fetched: whoever adds to a full one waits."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._held_bytes = 0
        self._fetched = asyncio.Event()

    async def __call__(self, message: Message) -> None:
        for piece in _pieces(message):
            while self._held_bytes >= HELD_BYTES:
                self._fetched.clear()
                await self._fetched.wait()
            await super().__call__(piece)
            self._held_bytes += _size_bytes(piece)

    def get_messages_nowait(self) -> list[Message]:
        """The next messages, of at most BATCH_BYTES unless a single one (of a WebSocket) has more."""
        batch: list[Message] = []
        room_bytes = BATCH_BYTES
        while self._message_queue:
            size_bytes = _size_bytes(self._message_queue[0])
            if batch and size_bytes > room_bytes:
                break
            batch.append(self._message_queue.popleft())
            room_bytes -= size_bytes
            self._held_bytes -= size_bytes
        if not self._message_queue:
            self._new_message_event.clear()
        self._fetched.set()
        return batch


class BoundedReceive(ASGIReceiveProxy):
    """What the replica has fetched and the app has not read: no more is fetched while that is much."""

    def __init__(
        self,
        scope: Scope,
        request_metadata: RequestMetadata,
        receive_asgi_messages: Callable[[RequestMetadata], Awaitable[bytes]],
    ) -> None:
        super().__init__(scope, request_metadata, self._fetch)
        self._fetch_unbounded = receive_asgi_messages
        self._was_read = asyncio.Event()

    async def _fetch(self, request_metadata: RequestMetadata) -> bytes:
        while self.queue.qsize() >= HELD_MESSAGES:
            self._was_read.clear()
            await self._was_read.wait()
        return await self._fetch_unbounded(request_metadata)

    async def __call__(self) -> Message:
        message = await super().__call__()
        self._was_read.set()
        return message


def _pieces(message: Message) -> Iterator[Message]:
    """A part of a body in parts of at most BATCH_BYTES; any other message as it is."""
    body = message.get("body", b"")
    if message["type"] != "http.request" or len(body) <= BATCH_BYTES:
        yield message
        return
    for start in range(0, len(body), BATCH_BYTES):
        end = start + BATCH_BYTES
        more = end < len(body) or message.get("more_body", False)
        yield {**message, "body": body[start:end], "more_body": more}


def _size_bytes(message: Message) -> int:
    return _FRAME_BYTES + len(message.get("body") or message.get("bytes") or message.get("text") or b"")
