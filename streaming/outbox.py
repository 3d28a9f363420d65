"""What waits to be sent to one client.

What lives here: a bounded queue that never makes its writers wait, and how a connection ends. What does
not: sockets (`session`).
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass

from streaming.messages import Caption, Levels, Message

QUEUE_MESSAGES = 256
"""Who is further behind is dropped: he comes back with his `resume` and is told how things are."""
_PASSING_UP_TO = 8  # old levels and half-heard lines are of no use: who has so much waiting does without


@dataclass(frozen=True, slots=True)
class Goodbye:
    """The last thing of a connection: a close code of RFC 6455 §7.4."""

    code: int


class Outbox:
    """Attributes:
    is_closed: nothing more is taken.
    overflowed: it was closed because its reader did not keep up.
    """

    def __init__(self, limit: int = QUEUE_MESSAGES) -> None:
        self.is_closed = False
        self.overflowed = False
        self._limit = limit
        self._queue: deque[Message | Goodbye] = deque()
        self._filled = asyncio.Event()

    def put(self, message: Message) -> None:
        """Never waits, never raises. A message that finds the queue full closes it, and all that waits is
        dropped."""
        if self.is_closed or (_passes(message) and len(self._queue) > _PASSING_UP_TO):
            return
        if len(self._queue) >= self._limit:
            self.overflowed = True
            self._queue.clear()
            self.close(1013)
            return
        self._queue.append(message)
        self._filled.set()

    def close(self, code: int) -> None:
        """After what waits, the connection is closed with this code."""
        if not self.is_closed:
            self.is_closed = True
            self._queue.append(Goodbye(code))
            self._filled.set()

    async def next(self) -> Message | Goodbye:
        """One caller at a time. Not to be called after a `Goodbye`."""
        while not self._queue:
            self._filled.clear()
            await self._filled.wait()
        return self._queue.popleft()


def _passes(message: Message) -> bool:
    """Whether the next one of its kind takes its place."""
    return isinstance(message, Levels) or (isinstance(message, Caption) and not message.is_final)
