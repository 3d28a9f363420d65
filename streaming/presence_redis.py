"""Presence for all nodes of a cluster, in one Redis (7 or newer).

What lives here: who is there as keys with an end, changes as a topic of the bus, and the sweeping that
tells of those who are gone without a word. What does not: the bus itself (`bus_redis`).

    of:<user>   hash: "c:<connection>" → "<until, ms> <state> <room>", "t" → what was told last
    due         sorted set: user → when their first connection ends, ms

Every node sweeps, so that any of them that lives tells of the connections of one that died. The clock is
Redis'. After a Redis that kept nothing came back, heartbeats fill it again within their own time.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Collection
from typing import cast

from redis.commands.core import AsyncScript

from clearcast.errors import ServiceUnavailable, SubscriberBehind
from streaming.bus import TOPIC_MESSAGES, Posted
from streaming.bus_redis import APPEND, KEEP_S, RedisBus, stream_key
from streaming.presence import EXPIRES_AFTER_S, MaySeeRoom, PersonState, PresenceWatch, State, Watches
from streaming.redis_calls import Client, RedisCalls, stop

logger = logging.getLogger(__name__)

TOPIC = "presence"
_PREFIX = f"clearcast:{{{TOPIC}}}"  # in one slot with the topic's stream, for the script
_DUE = f"{_PREFIX}:due"
SWEPT_AT_ONCE = 200  # people
READ_AT_ONCE = 500  # people
KEPT_TIMES = 10  # a person's key outlives their last heartbeat by so many times its usual end

# Notes one connection of a person (ARGV[2], if not empty), drops those that have ended, and appends to the
# changes when the person's state is another than was told last.
_SETTLE = f"""{APPEND}
local hash, due, changes = KEYS[1], KEYS[2], KEYS[3]
local user, connection, state, room, lasts_ms = ARGV[1], ARGV[2], ARGV[3], ARGV[4], tonumber(ARGV[5])
local rank = {{online = 1, listening = 2, streaming = 3}}
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
if connection ~= '' then
  if rank[state] then
    local value = string.format('%d %s %s', now + lasts_ms, state, room)
    redis.call('HSET', hash, 'c:' .. connection, value)
  else
    redis.call('HDEL', hash, 'c:' .. connection)
  end
end
local told, best, best_rank, best_field, first_end = 'offline ', 'offline ', 0, '', nil
local all = redis.call('HGETALL', hash)
for at = 1, #all, 2 do
  local field, value = all[at], all[at + 1]
  if field == 't' then
    told = value
  else
    local ends, is = string.match(value, '^(%d+) (%a+) ')
    if tonumber(ends) <= now then
      redis.call('HDEL', hash, field)
    else
      local r = rank[is]
      if r > best_rank or (r == best_rank and field < best_field) then
        best, best_rank, best_field = string.match(value, '^%d+ (.*)$'), r, field
      end
      if not first_end or tonumber(ends) < first_end then first_end = tonumber(ends) end
    end
  end
end
if first_end then
  redis.call('HSET', hash, 't', best)
  redis.call('PEXPIRE', hash, lasts_ms * {KEPT_TIMES})
  redis.call('ZADD', due, first_end, user)
else
  redis.call('DEL', hash)
  redis.call('ZREM', due, user)
end
if best ~= told then
  append(changes, cjson.encode({{user = user, told = best}}), ARGV[6], ARGV[7])
end
return best
"""


class RedisPresence:
    """`Presence` on one Redis, for one event loop."""

    def __init__(self, url: str, expires_after_s: float = EXPIRES_AFTER_S) -> None:
        self._expires_after_s = expires_after_s
        self._calls = RedisCalls(url)
        self._settle_script: AsyncScript = self._calls.client.register_script(_SETTLE)
        self._bus = RedisBus(url)
        self._watches = Watches()
        self._absent: frozenset[str] = frozenset()
        self._tasks = (
            asyncio.create_task(self._follow(), name="presence-changes"),
            asyncio.create_task(self._sweep(), name="presence-sweeper"),
        )

    async def tell(
        self, user_id: str, connection_id: str, state: State, room_id: str | None = None
    ) -> None:
        await self._settle(user_id, connection_id, state, room_id or "")

    async def leave(self, user_id: str, connection_id: str) -> None:
        await self._settle(user_id, connection_id, "offline", "")

    async def states(self, user_ids: Collection[str]) -> dict[str, PersonState]:
        found: dict[str, PersonState] = {}
        everybody = tuple(user_ids)
        for begin in range(0, len(everybody), READ_AT_ONCE):
            some = everybody[begin : begin + READ_AT_ONCE]

            async def read(client: Client, some: tuple[str, ...] = some) -> list[str | None]:
                async with client.pipeline(transaction=False) as pipeline:
                    for user_id in some:
                        pipeline.hget(_key(user_id), "t")
                    return cast("list[str | None]", await pipeline.execute())

            told = await self._calls.run(read)
            found |= {user_id: _person(user_id, one) for user_id, one in zip(some, told, strict=True)}
        return found

    async def watch(self, user_ids: Collection[str], may_see_room: MaySeeRoom) -> PresenceWatch:
        watch = self._watches.open(user_ids, may_see_room)
        try:
            watch.begin((await self.states(watch.user_ids)).values())
        except BaseException:
            watch.close()
            raise
        return watch

    async def close(self) -> None:
        for task in self._tasks:
            await stop(task)
        self._watches.close()
        await self._bus.close()
        await self._calls.close()

    async def _settle(self, user_id: str, connection_id: str = "", state: str = "", room: str = "") -> None:
        keys = [_key(user_id), _DUE, stream_key(TOPIC)]
        lasts_ms = round(1000 * self._expires_after_s)
        arguments: list[str | int] = [user_id, connection_id, state, room, lasts_ms, KEEP_S, TOPIC_MESSAGES]
        await self._calls.run(lambda _: self._settle_script(keys, arguments))

    async def _follow(self) -> None:
        """Hand changes to the watches. Who was missed meanwhile is found by reading everybody anew."""
        while True:
            try:
                with await self._bus.subscribe(TOPIC) as changes:
                    await self._read_anew()
                    async for posted in changes:
                        self._watches.offer(_change(posted))
            except (SubscriberBehind, ServiceUnavailable):
                await asyncio.sleep(1.0)
            except Exception:
                logger.exception("changes of presence could not be handed on")
                await asyncio.sleep(1.0)

    async def _sweep(self) -> None:
        read_at_s = time.monotonic()
        while True:
            await asyncio.sleep(min(1.0, self._expires_after_s / 10))
            try:
                for user_id in await self._calls.run(_due):
                    await self._settle(user_id)
                if time.monotonic() - read_at_s >= self._expires_after_s:
                    read_at_s = time.monotonic()
                    await self._read_anew()
            except ServiceUnavailable:
                continue  # the reader of the bus has logged it
            except Exception:
                logger.exception("those who are gone could not be told of")

    async def _read_anew(self) -> None:
        """What no change told, since Redis lost it or more changed than it keeps.

        Who is not known is told of as offline only the second time: after a Redis that kept nothing came
        back, those who are there have their heartbeats' time to be known again.
        """
        people = await self.states(tuple(self._watches.user_ids))
        absent = frozenset(user_id for user_id, person in people.items() if person.state == "offline")
        for user_id, person in people.items():
            if user_id not in absent or user_id in self._absent:
                self._watches.offer(person)
        self._absent = absent


async def _due(client: Client) -> list[str]:
    seconds, microseconds = await client.time()
    now_ms = seconds * 1000 + microseconds // 1000
    found = await client.zrange(_DUE, 0, now_ms, byscore=True, offset=0, num=SWEPT_AT_ONCE)
    return cast("list[str]", found)


def _key(user_id: str) -> str:
    return f"{_PREFIX}:of:{user_id}"


def _change(posted: Posted) -> PersonState:
    return _person(posted.message["user"], posted.message["told"])


def _person(user_id: str, told: str | None) -> PersonState:
    """`told` is "<state> <room or nothing>"."""
    state, _, room_id = (told or "offline ").partition(" ")
    return PersonState(user_id, cast(State, state), room_id or None)
