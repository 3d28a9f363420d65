"""Lock-outs of names that nobody has, so that a lock-out tells nobody which names there are.

What lives here: a bounded count in memory. What does not: the lock-out of real people, which is kept in
their record (`users.py`).
"""

from __future__ import annotations

import hashlib
import math
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable

from clearcast.errors import AccountLocked

_MAX_NAMES = 10_000  # the least recently tried are dropped first


def locked(left_s: float) -> AccountLocked:
    return AccountLocked(
        "Too many wrong passwords for this name.",
        hint="Try again after the time in Retry-After.",
        retry_after_s=max(1, math.ceil(left_s)),
    )


class Strangers:
    def __init__(
        self, max_failed: int, lock_out_s: float, clock_s: Callable[[], float] = time.monotonic
    ) -> None:
        self._max_failed = max_failed
        self._lock_out_s = lock_out_s
        self._clock_s = clock_s
        self._lock = threading.Lock()
        self._salt = secrets.token_bytes(16)
        self._names: OrderedDict[bytes, tuple[int, float]] = OrderedDict()

    def count(self, name_key: str) -> None:
        """Count one attempt. Raises AccountLocked just as a person's record would have it."""
        digest = hashlib.sha256(self._salt + name_key.encode("utf-8", "surrogatepass")).digest()
        with self._lock:
            failed, locked_until_s = self._names.pop(digest, (0, -math.inf))
            moment_s = self._clock_s()
            left_s = locked_until_s - moment_s
            if left_s <= 0:
                failed += 1
                if failed >= self._max_failed:
                    failed, locked_until_s = 0, moment_s + self._lock_out_s
            self._names[digest] = (failed, locked_until_s)
            if len(self._names) > _MAX_NAMES:
                self._names.popitem(last=False)
        if left_s > 0:
            raise locked(left_s)
