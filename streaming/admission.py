"""How many come in, and how fast.

What lives here: the pace of joins and the limits on what one node carries. What does not: who may come in
(`entry.Doorkeeper`).

Joins are let in one after another at a steady pace, so that a thousand who come back after a crash do not
make the sound of those who speak stutter. Who would have to wait for longer than `MAX_WAIT_S` is sent away
with the time after which there is a place.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable
from dataclasses import dataclass

from clearcast.errors import Overloaded

MAX_WAIT_S = 2.0
_BURST_S = 0.5  # so much of the pace may come at once
_FULL_RETRY_S = 30


@dataclass(frozen=True, slots=True)
class LiveLimits:
    """Of one node. Attributes:
    rooms: at a time.
    participants_per_room: connected or about to come back.
    listeners_per_room: connections that hear one room.
    joins_per_s: steady pace of joins and of new connections of sound.
    """

    rooms: int = 20
    participants_per_room: int = 250
    listeners_per_room: int = 200
    joins_per_s: float = 20.0


class Admission:
    """The pace of one node."""

    def __init__(self, limits: LiveLimits, clock_s: Callable[[], float] = time.monotonic) -> None:
        self.limits = limits
        self.refused = 0
        self._clock_s = clock_s
        self._next_s = 0.0

    async def turn(self) -> None:
        """Wait for one's turn. Raises Overloaded at once when that would be too long."""
        now_s = self._clock_s()
        start_s = max(self._next_s, now_s - _BURST_S)
        wait_s = start_s - now_s
        if wait_s > MAX_WAIT_S:
            raise self.refusal("Too many come in at once.", math.ceil(wait_s))
        self._next_s = start_s + 1 / self.limits.joins_per_s
        if wait_s > 0:
            await asyncio.sleep(wait_s)

    def check_rooms(self, count: int) -> None:
        """Whether one more room fits beside so many. Raises Overloaded."""
        if count >= self.limits.rooms:
            raise self.refusal("This server carries as many rooms as it can.", _FULL_RETRY_S)

    def check_participants(self, count: int) -> None:
        """Whether one more fits in a room beside so many. Raises Overloaded."""
        if count >= self.limits.participants_per_room:
            raise self.refusal("The room is full.", _FULL_RETRY_S)

    def check_listeners(self, count: int) -> None:
        """Whether one more can hear a room beside so many. Raises Overloaded."""
        if count >= self.limits.listeners_per_room:
            raise self.refusal("As many listen to this room as can.", _FULL_RETRY_S)

    def refusal(self, message: str, retry_after_s: int) -> Overloaded:
        self.refused += 1
        return Overloaded(message, retry_after_s=retry_after_s, hint="Come again after that time.")
