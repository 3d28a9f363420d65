"""How often somebody may ask: a moving window of a minute, by the `limits` package.

`memory://` counts in this process: several ingress replicas let through as many times more. `redis://`
counts for all of them. When Redis cannot be reached requests are let through, and the log says so once a
minute: a limit that is not kept for a while is better than a service that is down.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import logging
import math
import time
from collections import OrderedDict, deque
from collections.abc import Callable

from limits import RateLimitItemPerMinute
from limits.storage import RedisStorage
from limits.storage.base import MovingWindowSupport, Storage
from limits.strategies import MovingWindowRateLimiter
from redis.exceptions import RedisError

from clearcast.errors import RateLimited, SettingsInvalid

logger = logging.getLogger(__name__)

WINDOW_S = 60
LOG_EVERY_S = 60.0
REDIS_TIMEOUT_S = 0.5
REDIS_REST_S = 2.0  # after a failure Redis is not asked for so long: a dead one must not slow every request
MAX_CALLERS = 50_000  # counted at a time in memory; who has not asked for longest is forgotten first


class MemoryWindows(Storage, MovingWindowSupport):
    """Moving windows in memory. The package's own starts a thread for each request and forgets no key."""

    STORAGE_SCHEME = None

    def __init__(self, clock_s: Callable[[], float] = time.time) -> None:
        super().__init__()
        self._clock_s = clock_s
        self._hits: OrderedDict[str, deque[float]] = OrderedDict()

    @property
    def base_exceptions(self) -> type[Exception]:
        return ValueError

    def acquire_entry(self, key: str, limit: int, expiry: int, amount: int = 1) -> bool:
        hits = self._recent(key, expiry)
        if len(hits) + amount > limit:
            return False
        hits.extend([self._clock_s()] * amount)
        self._hits[key] = hits
        self._hits.move_to_end(key)
        while len(self._hits) > MAX_CALLERS:
            self._hits.popitem(last=False)
        return True

    def get_moving_window(self, key: str, limit: int, expiry: int) -> tuple[float, int]:
        hits = self._recent(key, expiry)
        return (hits[0] if hits else self._clock_s()), len(hits)

    def _recent(self, key: str, expiry: int) -> deque[float]:
        hits = self._hits.get(key) or deque()
        while hits and hits[0] <= self._clock_s() - expiry:
            hits.popleft()
        return hits

    # What follows belongs to other strategies than the moving window.
    def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        raise NotImplementedError

    def get(self, key: str) -> int:
        return len(self._hits.get(key, ()))

    def get_expiry(self, key: str) -> float:
        raise NotImplementedError

    def check(self) -> bool:
        return True

    def reset(self) -> int:
        count = len(self._hits)
        self._hits.clear()
        return count

    def clear(self, key: str) -> None:
        self._hits.pop(key, None)


class RateLimits:
    """Counts by kind ("user", "key", "address") and by who. Callers' names and addresses are not stored."""

    def __init__(self, url: str, secret: bytes, clock_s: Callable[[], float] = time.time) -> None:
        self._secret = secret
        self._clock_s = clock_s
        self._redis: RedisStorage | None = None
        self._rest_until_s = self._log_after_s = -math.inf
        if url.startswith("memory://"):
            self._windows = MovingWindowRateLimiter(MemoryWindows(clock_s))
        elif url.startswith(("redis://", "rediss://")):
            self._redis = RedisStorage(
                url, socket_timeout=REDIS_TIMEOUT_S, socket_connect_timeout=REDIS_TIMEOUT_S
            )
            self._windows = MovingWindowRateLimiter(self._redis)
        else:
            raise SettingsInvalid(
                "Limits are counted in memory:// or redis://….", hint="See accounts.limits_url."
            )

    async def hit(self, kind: str, who: str, per_minute: int) -> None:
        """Count one request. Raises RateLimited, with the seconds until there is room again."""
        caller = hmac.new(self._secret, who.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()[
            :32
        ]
        left_s = await self._wait_s(RateLimitItemPerMinute(per_minute, namespace="clearcast"), kind, caller)
        if left_s is not None:
            raise RateLimited(
                f"More than {per_minute} requests in a minute.",
                retry_after_s=max(1, math.ceil(left_s)),
                limit=per_minute,
                policy=kind,
                window_s=WINDOW_S,
            )

    def close(self) -> None:
        if self._redis is not None:
            self._redis.storage.close()

    async def _wait_s(self, item: RateLimitItemPerMinute, kind: str, caller: str) -> float | None:
        if self._redis is None:
            return self._count(item, kind, caller)
        if self._clock_s() < self._rest_until_s:
            return None
        try:
            return await asyncio.to_thread(self._count, item, kind, caller)
        except (RedisError, OSError) as error:
            moment_s = self._clock_s()
            self._rest_until_s = moment_s + REDIS_REST_S
            if moment_s >= self._log_after_s:
                self._log_after_s = moment_s + LOG_EVERY_S
                logger.warning(
                    "requests are not counted: Redis does not answer",
                    extra={"reason": type(error).__name__},
                )
            return None

    def _count(self, item: RateLimitItemPerMinute, kind: str, caller: str) -> float | None:
        """None when there was room, else the seconds until there is."""
        if self._windows.hit(item, kind, caller):
            return None
        return self._windows.get_window_stats(item, kind, caller).reset_time - self._clock_s()
