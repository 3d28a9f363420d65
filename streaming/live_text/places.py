"""So many at a time, so many wait, the next is sent away at once.

What lives here: the places and their order. What does not: what is done in them.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from clearcast.errors import Overloaded

RETRY_S = 15


class Places:
    """For one event loop. Attributes:
    taken: how many are at work.
    refused: how many were sent away.
    """

    def __init__(self, most: int, most_waiting: int) -> None:
        self.taken = 0
        self.refused = 0
        self._most, self._most_waiting = most, most_waiting
        self._queue: deque[_Waiting] = deque()

    @property
    def waiting(self) -> int:
        return len(self._queue)

    @asynccontextmanager
    async def taken_by(self, on_place: Callable[[int], None]) -> AsyncIterator[None]:
        """A place, from its turn to the end of the block. Who waits is told the place in the queue, from 1
        on, whenever it changes. Raises Overloaded, at once."""
        if self.taken < self._most:
            self.taken += 1
        else:
            await self._wait(on_place)
        try:
            yield
        finally:
            self._hand_over()

    async def _wait(self, on_place: Callable[[int], None]) -> None:
        if len(self._queue) >= self._most_waiting:
            self.refused += 1
            raise Overloaded("As many files are transcribed and wait as can.", retry_after_s=RETRY_S)
        waiting = _Waiting(on_place)
        self._queue.append(waiting)
        on_place(len(self._queue))
        try:
            await waiting.turn
        except asyncio.CancelledError:
            if waiting in self._queue:
                self._queue.remove(waiting)
                self._tell_places()
            else:  # its turn had come just now
                self._hand_over()
            raise

    def _hand_over(self) -> None:
        if self._queue:
            self._queue.popleft().turn.set_result(None)  # the place stays taken
            self._tell_places()
        else:
            self.taken -= 1

    def _tell_places(self) -> None:
        for place, waiting in enumerate(self._queue, 1):
            waiting.on_place(place)


class _Waiting:
    def __init__(self, on_place: Callable[[int], None]) -> None:
        self.on_place = on_place
        self.turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
