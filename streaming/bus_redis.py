"""A bus over Redis Streams (Redis 7 or newer), for a cluster: every node has one, all on the same Redis.

What lives here: streams, and one reader for all of a node's subscriptions. What does not: the connections
and how often a call is tried (`redis_calls`).

What is acknowledged is as safe as that Redis keeps it: with `appendonly yes` and `appendfsync always` no
kill loses a message. A message is tried again under its own key, so that it is there once even if only
the first answer was lost. A topic that nobody publishes to for `KEEP_S` is forgotten.
"""

from __future__ import annotations

import asyncio
import functools
import json
import logging
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from redis.commands.core import AsyncScript
from redis.exceptions import ResponseError

from streaming.bus import START, TOPIC_MESSAGES, Posted, Subscription, check_topic, encode, misses, order
from streaming.redis_calls import TRIED_FOR_S, Client, RedisCalls, stop

logger = logging.getLogger(__name__)

KEEP_S = 30 * 24 * 3600
BLOCK_S = 5.0  # how long a read of nothing takes; new topics do not wait for it
READ_MESSAGES = 200  # of one topic at a time
# A message that was tried is known by its key for so long: longer than any try lasts.
KNOWN_S = 120

# Lua: adds an entry to a stream and gives its id. Ids count without gaps from the millisecond of the first
# one, also when everything was removed meanwhile.
APPEND = """
local function append(stream, data, keep_s, length)
  local began = nil
  if redis.call('EXISTS', stream) == 1 then
    local facts = redis.call('XINFO', 'STREAM', stream)
    for at = 1, #facts, 2 do
      if facts[at] == 'last-generated-id' then began = string.match(facts[at + 1], '^(%d+)-') end
    end
  else
    local now = redis.call('TIME')
    began = string.format('%d', now[1] * 1000 + math.floor(now[2] / 1000))
  end
  local id = redis.call('XADD', stream, 'MAXLEN', '=', length, began .. '-*', 'm', data)
  redis.call('EXPIRE', stream, keep_s)
  return id
end
"""
# Appends ARGV[1] to the stream KEYS[1], once for each KEYS[2].
_PUBLISH = f"""{APPEND}
local known = redis.call('GET', KEYS[2])
if known then return known end
local id = append(KEYS[1], ARGV[1], ARGV[2], ARGV[3])
redis.call('SET', KEYS[2], id, 'EX', ARGV[4])
return id
"""


@dataclass(slots=True)
class _Topic:
    """What this node reads. `cursor`: the id that was read last; None until it is known where to begin."""

    cursor: str | None = None
    subscriptions: list[Subscription] = field(default_factory=list)


class RedisBus:
    """`Bus` on one Redis, for one event loop."""

    def __init__(self, url: str, *, tried_for_s: float = TRIED_FOR_S) -> None:
        self._calls = RedisCalls(url, tried_for_s=tried_for_s)
        self._reads = RedisCalls(url, blocks_s=BLOCK_S, tried_for_s=tried_for_s)
        self._publish: AsyncScript = self._calls.client.register_script(_PUBLISH)
        self._topics: dict[str, _Topic] = {}
        self._reading: asyncio.Task[None] | None = None
        # A stream of this node's own among those that its reader waits for: an entry ends the waiting.
        self._wake_key = f"clearcast:wake:{secrets.token_hex(8)}"
        self._woken = START

    async def publish(self, topic: str, message: Mapping[str, Any]) -> str:
        stream, data = stream_key(topic), encode(message).decode()
        keys = [stream, f"{stream}:known:{secrets.token_hex(12)}"]
        arguments: list[str | int] = [data, KEEP_S, TOPIC_MESSAGES, KNOWN_S]
        return str(await self._calls.run(lambda _: self._publish(keys, arguments)))

    async def subscribe(self, topic: str, after: str | None = None) -> Subscription:
        if after is not None:
            order(after)
        place = self._topics.setdefault(check_topic(topic), _Topic())

        def forget(subscription: Subscription) -> None:
            place.subscriptions.remove(subscription)
            if not place.subscriptions and self._topics.get(topic) is place:
                del self._topics[topic]

        subscription = Subscription(forget)
        place.subscriptions.append(subscription)
        try:
            await self._begin(topic, place, subscription, after)
        except BaseException:
            subscription.close()
            raise
        return subscription

    async def _begin(
        self, topic: str, place: _Topic, subscription: Subscription, after: str | None
    ) -> None:
        """What the reader gives meanwhile is held back in the subscription."""
        last_id, oldest_id = await self._calls.run(lambda client: _bounds(client, stream_key(topic)))
        replay: list[Posted] = []
        is_behind = after is not None and misses(after, last_id, oldest_id)
        if after is not None and not is_behind:
            replay = await self.history(topic, TOPIC_MESSAGES, after)
        if place.cursor is None:
            place.cursor = last_id
            await self._wake()
        if is_behind:
            subscription.fall_behind()
        else:
            subscription.begin(after or last_id, replay)

    async def history(self, topic: str, last: int = 100, after: str | None = None) -> list[Posted]:
        key, since = stream_key(topic), "-"
        if after is not None:
            order(after)
            since = f"({after}"
        if last <= 0:
            return []
        entries = await self._calls.run(lambda client: client.xrevrange(key, min=since, count=last))
        return [_posted(entry) for entry in reversed(entries or [])]

    async def find(self, topic: str, message_id: str) -> Posted | None:
        order(message_id)
        key = stream_key(topic)
        entries = await self._calls.run(lambda client: client.xrange(key, message_id, message_id))
        return _posted(entries[0]) if entries else None

    async def remove(self, topic: str, message_id: str) -> None:
        order(message_id)
        key = stream_key(topic)
        await self._calls.run(lambda client: client.xdel(key, message_id))

    async def erase(self, topic: str) -> None:
        key = stream_key(topic)
        # Not deleted: the ids go on, for those who subscribe.
        await self._calls.run(lambda client: client.xtrim(key, maxlen=0, approximate=False))

    async def close(self) -> None:
        if self._reading is not None:
            await stop(self._reading)
        for place in tuple(self._topics.values()):
            for subscription in tuple(place.subscriptions):
                subscription.close()
        await self._reads.close()
        await self._calls.close()

    async def _wake(self) -> None:
        """Have the reader wait for all topics there are now."""
        if self._reading is None:
            self._reading = asyncio.create_task(self._read(), name="bus-reader")

        async def add(client: Client) -> None:
            await client.xadd(self._wake_key, {"m": "{}"}, maxlen=1, approximate=False)
            await client.expire(self._wake_key, KNOWN_S)

        await self._calls.run(add)

    async def _read(self) -> None:
        """The only reader of this node: waits for all topics at once, for ever."""
        while True:
            cursors = {self._wake_key: self._woken}
            cursors |= {stream_key(topic): at.cursor for topic, at in self._topics.items() if at.cursor}
            answer = await self._reads.run_until_answered(functools.partial(_read_on, cursors))
            for key, entries in answer or ():
                try:
                    self._take(key, entries)
                except Exception:  # one topic, not all of them
                    logger.exception("messages of a topic could not be handed on")

    def _take(self, key: str, entries: list[Any]) -> None:
        posted = [_posted(entry) for entry in entries]
        if key == self._wake_key:
            self._woken = posted[-1].id
            return
        place = self._topics.get(_topic(key))
        if place is None or place.cursor is None:
            return
        # The topic may have been left and subscribed anew while the read was under way.
        cursor = order(place.cursor)
        news = [one for one in posted if order(one.id) > cursor]
        if not news:
            return
        # More came, while Redis could not be reached, than it keeps.
        has_gap = misses(place.cursor, news[-1].id, news[0].id)
        place.cursor = news[-1].id
        for subscription in tuple(place.subscriptions):
            if has_gap:
                subscription.fall_behind()
            for one in news:
                subscription.push(one)


async def _read_on(cursors: dict[str, str], client: Client) -> Any:
    streams: dict[Any, Any] = {**cursors}
    return await client.xread(streams, count=READ_MESSAGES, block=int(BLOCK_S * 1000))


async def _bounds(client: Client, key: str) -> tuple[str, str | None]:
    """The id that a stream gave out last, and the oldest that it keeps."""
    try:
        facts = await client.xinfo_stream(key)
    except ResponseError as error:
        if "no such key" not in str(error):
            raise
        return START, None
    oldest = facts["first-entry"]
    return facts["last-generated-id"], None if oldest is None else oldest[0]


def stream_key(topic: str) -> str:
    return f"clearcast:bus:{{{check_topic(topic)}}}"


def _topic(key: str) -> str:
    return key[len("clearcast:bus:{") : -1]


def _posted(entry: Any) -> Posted:
    """Of what redis-py calls an entry: its id and its fields."""
    entry_id, fields = entry
    return Posted(entry_id, json.loads(fields["m"]))
