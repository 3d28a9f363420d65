"""Messages between whoever takes part in live rooms, on one node or on many.

What lives here: the contract, what every subscription has in common, and the choice by URL scheme.
`memory://` keeps messages in this process (`bus_memory`), `redis://` and `rediss://` in Redis Streams
(`bus_redis`). What does not: what messages mean (`chat`, `presence`).

A message is a small JSON object. A topic keeps its latest messages under ids that grow without gaps
("1763740800000-17": the millisecond in which the topic began, a number from 1), so that whoever comes back
with the last id it saw gets what it missed, or is told that something is gone.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from clearcast.errors import OptionInvalid, SettingsInvalid, SubscriberBehind
from streaming.feed import Feed

TOPIC_MESSAGES = 1000  # what a topic keeps; the oldest go first
MESSAGE_BYTES = 32 << 10
START = "0-0"  # an id before every other: "from the oldest message that is kept"

_TOPIC = re.compile(r"[A-Za-z0-9][A-Za-z0-9:_-]{0,199}")
_ID = re.compile(r"(\d{1,15})-(\d{1,15})")


@dataclass(frozen=True, slots=True)
class Posted:
    """A message with its id. Others are given the same `message`: read it, do not change it."""

    id: str
    message: Mapping[str, Any]


class Bus(Protocol):
    """Promises of every bus:

    - Once `publish` returns, the message is in the topic's history, once, however often it was tried.
    - Subscribers get every message of a topic in the order of ids, each once. Who falls behind by more than
      `TOPIC_MESSAGES` is told by SubscriberBehind; memory does not grow.
    - While the bus cannot be reached, subscriptions wait, and go on where they were.

    Topics are made by being used: letters, digits, `:`, `_` and `-`.
    Raises ServiceUnavailable, with `retry_after_s`, when the bus cannot be reached for some seconds.
    """

    async def publish(self, topic: str, message: Mapping[str, Any]) -> str:
        """The new message's id. Raises ValueError for more than `MESSAGE_BYTES` of JSON."""
        ...

    async def subscribe(self, topic: str, after: str | None = None) -> Subscription:
        """What is published from now on; with an id, first what came after that one.

        Raises OptionInvalid for what is no id. When what came after it is not all kept any more, the
        subscription raises SubscriberBehind at once; never for an id out of `history`, nor for `START`.
        """
        ...

    async def history(self, topic: str, last: int = 100, after: str | None = None) -> list[Posted]:
        """The latest messages, or the latest of those after an id; oldest first. Raises OptionInvalid."""
        ...

    async def find(self, topic: str, message_id: str) -> Posted | None:
        """One message; None when it is not kept (any more). Raises OptionInvalid."""
        ...

    async def remove(self, topic: str, message_id: str) -> None:
        """Forget one message, if it is there. Subscribers are not told. Raises OptionInvalid."""
        ...

    async def erase(self, topic: str) -> None:
        """Forget all messages of a topic. Subscriptions stay, and get what is published afterwards."""
        ...

    async def close(self) -> None:
        """Subscriptions end. Nothing may be asked of the bus afterwards."""
        ...


class Subscription(Feed[Posted]):
    """An async iterator over a topic's messages, and a context manager that ends it.

        with await bus.subscribe("room:1:chat", after=last_id) as messages:
            async for posted in messages:
                ...

    Iterating raises SubscriberBehind, once and for all, when messages were missed: then read `history` and
    subscribe after its last id (`START` when it is empty). It ends when the subscription or the bus is
    closed.
    """

    def __init__(self, on_close: Callable[[Subscription], None], last_id: str | None = None) -> None:
        """`last_id`: only later ones are given; None holds all back until `begin`."""
        self._on_close = on_close
        self._last_id = last_id
        self._waiting: deque[Posted] = deque()
        self._filled = asyncio.Event()
        self._is_behind = False
        self._is_closed = False

    def begin(self, last_id: str, replay: Iterable[Posted] = ()) -> None:
        """What a bus calls once it knows what comes first: of `replay`, and then of what was held back, all
        that is later than `last_id`.
        """
        live, self._waiting = self._waiting, deque()
        self._last_id = last_id
        for posted in (*replay, *live):
            self.push(posted)

    def push(self, posted: Posted) -> None:
        """What a bus calls for every message, in order. Never waits."""
        if self._is_behind or self._is_closed:
            return
        if self._last_id is not None:
            if order(posted.id) <= order(self._last_id):
                return
            self._last_id = posted.id
        if len(self._waiting) == TOPIC_MESSAGES:
            self.fall_behind()
            return
        self._waiting.append(posted)
        self._filled.set()

    def fall_behind(self) -> None:
        """Something was missed: what waits is dropped too, since the history has it."""
        self._is_behind = True
        self._waiting.clear()
        self._filled.set()

    def close(self) -> None:
        """No more messages. May be called again."""
        if not self._is_closed:
            self._is_closed = True
            self._waiting.clear()
            self._filled.set()
            self._on_close(self)

    async def __anext__(self) -> Posted:
        while not self._waiting:
            if self._is_closed:
                raise StopAsyncIteration
            if self._is_behind:
                raise SubscriberBehind(
                    "Messages were missed.", hint="Read the history, then subscribe after its last id."
                )
            self._filled.clear()
            await self._filled.wait()
        return self._waiting.popleft()


def order(message_id: str) -> tuple[int, int]:
    """What ids are compared by. Raises OptionInvalid for what is none."""
    found = _ID.fullmatch(message_id)
    if found is None:
        raise OptionInvalid("This is not the id of a message.")
    return int(found[1]), int(found[2])


def misses(after: str, last_id: str, oldest_id: str | None) -> bool:
    """Whether a topic lacks any message that came after `after`.

    It gave out `last_id` last, and keeps messages from `oldest_id` on; None when it keeps none.
    """
    if after == START or order(after) == order(last_id):
        return False
    if order(after) > order(last_id) or oldest_id is None:
        return True
    began, number = order(oldest_id)
    return order(after) < (began, number - 1)


def check_topic(topic: str) -> str:
    if _TOPIC.fullmatch(topic) is None:
        raise ValueError(f"not a topic: {topic!r}")
    return topic


def encode(message: Mapping[str, Any]) -> bytes:
    """As JSON in UTF-8. Raises ValueError when it is longer than `MESSAGE_BYTES`."""
    data = json.dumps(message, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()
    if len(data) > MESSAGE_BYTES:
        raise ValueError(f"a message of {len(data)} bytes")
    return data


def open_bus(url: str) -> Bus:
    """The bus of a URL: `memory://`, `redis://HOST:PORT/DB` or `rediss://…`. Raises SettingsInvalid."""
    scheme = url.partition("://")[0]
    if scheme == "memory":
        from streaming.bus_memory import MemoryBus

        return MemoryBus()
    if scheme in {"redis", "rediss"}:
        from streaming.bus_redis import RedisBus

        return RedisBus(url)
    raise SettingsInvalid("The bus of live rooms must be memory://, redis://… or rediss://….")
