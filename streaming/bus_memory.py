"""A bus inside one process: for one node, and for tests. What it keeps ends with the process."""

from __future__ import annotations

import json
import time
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from streaming.bus import TOPIC_MESSAGES, Posted, Subscription, check_topic, encode, misses, order

MAX_TOPICS = 10_000  # with messages and without subscribers; who was not used for longest goes first


@dataclass(slots=True)
class _Topic:
    began_ms: int
    number: int = 0
    kept: OrderedDict[str, Posted] = field(default_factory=OrderedDict)
    subscriptions: list[Subscription] = field(default_factory=list)

    @property
    def last_id(self) -> str:
        return f"{self.began_ms}-{self.number}"

    @property
    def oldest_id(self) -> str | None:
        return next(iter(self.kept), None)


class MemoryBus:
    """`Bus` in this process and event loop."""

    def __init__(self) -> None:
        self._topics: OrderedDict[str, _Topic] = OrderedDict()

    async def publish(self, topic: str, message: Mapping[str, Any]) -> str:
        data = encode(message)
        place = self._topic(topic)
        place.number += 1
        posted = Posted(place.last_id, json.loads(data))
        place.kept[posted.id] = posted
        if len(place.kept) > TOPIC_MESSAGES:
            place.kept.popitem(last=False)
        for subscription in tuple(place.subscriptions):
            subscription.push(posted)
        return posted.id

    async def subscribe(self, topic: str, after: str | None = None) -> Subscription:
        place = self._topic(topic)
        is_behind = after is not None and misses(after, place.last_id, place.oldest_id)
        subscription = Subscription(place.subscriptions.remove)
        place.subscriptions.append(subscription)
        if is_behind:
            subscription.fall_behind()
        else:
            subscription.begin(after or place.last_id, place.kept.values())
        return subscription

    async def history(self, topic: str, last: int = 100, after: str | None = None) -> list[Posted]:
        since = (0, 0) if after is None else order(after)
        later = [posted for posted in self._topic(topic).kept.values() if order(posted.id) > since]
        return later[-last:] if last > 0 else []

    async def find(self, topic: str, message_id: str) -> Posted | None:
        order(message_id)
        return self._topic(topic).kept.get(message_id)

    async def remove(self, topic: str, message_id: str) -> None:
        order(message_id)
        self._topic(topic).kept.pop(message_id, None)

    async def erase(self, topic: str) -> None:
        self._topic(topic).kept.clear()

    async def close(self) -> None:
        for place in self._topics.values():
            for subscription in tuple(place.subscriptions):
                subscription.close()
        self._topics.clear()

    def _topic(self, name: str) -> _Topic:
        place = self._topics.get(check_topic(name))
        if place is None:
            place = self._topics[name] = _Topic(time.time_ns() // 1_000_000)
            self._forget_oldest()
        self._topics.move_to_end(name)
        return place

    def _forget_oldest(self) -> None:
        if len(self._topics) <= MAX_TOPICS:
            return
        newest = next(reversed(self._topics))
        for name, place in self._topics.items():
            if not place.subscriptions and name != newest:
                del self._topics[name]
                return
