"""Admission: how many pipelines run, how many may wait, and who is sent away.

A request takes a place before its body is read, so that a full house costs the caller no upload; it takes
its turn, first come first served, before any work begins.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from clearcast.errors import Overloaded

_FIRST_GUESS_S = 10.0
_NEW_SHARE = 0.3  # weight of the newest duration in the running mean
_LONGEST_RETRY_S = 120


class Gate:
    """Lets `max_running` pipelines run and `max_waiting` more wait; further ones get Overloaded."""

    def __init__(self, max_running: int, max_waiting: int) -> None:
        self.max_running = max_running
        self.max_waiting = max_waiting
        self.inside = 0
        self._turns = asyncio.Semaphore(max_running)
        self._mean_s = _FIRST_GUESS_S

    @asynccontextmanager
    async def place(self) -> AsyncIterator[Place]:
        """Hold a place for as long as the context lasts. Raises Overloaded at once when all are taken."""
        if self.inside >= self.max_running + self.max_waiting:
            raise Overloaded(
                "All places are taken: too many recordings are being worked on.",
                retry_after_s=self._retry_after_s(),
                hint="Try again after the time in Retry-After.",
            )
        self.inside += 1
        try:
            yield Place(self)
        finally:
            self.inside -= 1

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        async with self._turns:
            started_s = time.monotonic()
            try:
                yield
            finally:
                self._mean_s += _NEW_SHARE * (time.monotonic() - started_s - self._mean_s)

    def _retry_after_s(self) -> int:
        """When a place should be free: the mean time of a pipeline, shared by those that run."""
        return min(_LONGEST_RETRY_S, max(1, math.ceil(self._mean_s / self.max_running)))


class Place:
    """A place inside the gate."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Wait until it is this request's turn to work, and work for as long as the context lasts."""
        async with self._gate._turn():
            yield
