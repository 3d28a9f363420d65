"""Calls of Redis that outlive a restart of it.

What lives here: the bounded pool of connections, how long and how often a call is tried, what its failure
is called. What does not: what is asked (`bus_redis`, `presence_redis`).
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable
from typing import TypeAlias, TypeVar

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import OutOfMemoryError, ReadOnlyError, RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError

from clearcast.errors import ServiceUnavailable, SettingsInvalid

logger = logging.getLogger(__name__)

Answer = TypeVar("Answer")
Client: TypeAlias = Redis  # with text in and out

CONNECTIONS = 16  # of a pool; who finds none free waits
ANSWER_WITHIN_S = 3.0
# A restart, or a replica that takes over, within so long goes unnoticed.
TRIED_FOR_S = 10.0
RETRY_AFTER_S = 5
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.05, 1.0

# What may be well a moment later: gone, restarting (it says LOADING), a replica just now, out of memory.
_PASSING = (RedisConnectionError, RedisTimeoutError, ReadOnlyError, OutOfMemoryError, OSError)


class RedisCalls:
    """One pool of connections to one Redis, for one event loop.

    Whatever is run must be such that doing it twice does no harm: an answer may get lost on its way.
    """

    def __init__(self, url: str, *, blocks_s: float = 0.0, tried_for_s: float = TRIED_FOR_S) -> None:
        """`blocks_s`: how long calls may wait inside Redis. Raises SettingsInvalid for what is no URL."""
        self._tried_for_s = tried_for_s
        try:
            pool = BlockingConnectionPool.from_url(
                url,
                max_connections=CONNECTIONS,
                timeout=ANSWER_WITHIN_S,
                socket_timeout=blocks_s + ANSWER_WITHIN_S,
                socket_connect_timeout=ANSWER_WITHIN_S,
                retry=Retry(NoBackoff(), 0),  # the trying again is done here, where its bounds are
                decode_responses=True,
                protocol=2,
            )
        except ValueError as error:
            raise SettingsInvalid("This is not the URL of a Redis.") from error
        self.client: Client = Redis.from_pool(pool)

    async def run(self, action: Callable[[Client], Awaitable[Answer]]) -> Answer:
        """Raises ServiceUnavailable, with `retry_after_s`, when trying for `tried_for_s` has not helped."""
        give_up_s = time.monotonic() + self._tried_for_s
        pause_s = FIRST_PAUSE_S
        while True:
            try:
                return await action(self.client)
            except _PASSING as error:
                if time.monotonic() + pause_s > give_up_s:
                    raise _unavailable() from error
            except RedisError as error:
                raise _unavailable() from error
            await asyncio.sleep(pause_s * random.uniform(0.5, 1.0))  # noqa: S311 (not a secret)
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

    async def run_until_answered(self, action: Callable[[Client], Awaitable[Answer]]) -> Answer:
        """As `run`, without end, for tasks that have nobody to tell. The log says so, once an outage."""
        is_told = False
        while True:
            try:
                answer = await self.run(action)
            except ServiceUnavailable as error:
                if not is_told:
                    reason = type(error.__cause__).__name__
                    logger.warning("Redis does not answer; waiting for it", extra={"reason": reason})
                is_told = True
                await asyncio.sleep(LONGEST_PAUSE_S)
                continue
            if is_told:
                logger.info("Redis answers again")
            return answer

    async def close(self) -> None:
        await self.client.aclose(close_connection_pool=True)


async def stop(task: asyncio.Task[None]) -> None:
    """Cancel a task and wait for its end.

    Said again until it is heard: below Python 3.12 a call that is just being answered may swallow it
    (https://github.com/python/cpython/issues/86296).
    """
    while not task.done():
        task.cancel()
        await asyncio.wait([task], timeout=0.1)


def _unavailable() -> ServiceUnavailable:
    return ServiceUnavailable(
        "Redis cannot be reached.",
        hint="Its operator finds the reason in the log.",
        retry_after_s=RETRY_AFTER_S,
    )
