"""Turns at hashing passwords: few at a time, and the others wait without a thread.

What lives here: the waiting, which in a thread would hold up every other request. What does not: the
hashing, whose memory `clearcast/accounts/passwords.py` bounds by itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

from clearcast.accounts.passwords import AT_A_TIME
from clearcast.errors import Overloaded
from clearcast.offload import run_in_thread

T = TypeVar("T")

MOST_INSIDE = 100  # at some 20 ms each, nobody waits much longer than a second
RETRY_AFTER_S = 2


class PasswordTurns:
    """Runs blocking work that hashes a password; more than `MOST_INSIDE` at once get Overloaded."""

    def __init__(self) -> None:
        self._turns = asyncio.Semaphore(AT_A_TIME)
        self._inside = 0

    async def run(self, work: Callable[..., T], *arguments: Any) -> T:
        """What `work` gives, in a thread. Whoever leaves keeps the turn until the thread is free again."""
        if self._inside >= MOST_INSIDE:
            raise Overloaded(
                "Too many passwords are being checked.",
                retry_after_s=RETRY_AFTER_S,
                hint="Try again after the time in Retry-After.",
            )
        self._inside += 1
        try:
            async with self._turns:
                return await run_in_thread(lambda _report: work(*arguments))
        finally:
            self._inside -= 1
