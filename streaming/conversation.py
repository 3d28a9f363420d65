"""Somebody in a room for as long as one connection lasts, whatever dialect it speaks.

What lives here: reading and writing at the same time, and how it ends. What does not: what messages mean
(`session`, `legacy_session`).
"""

from __future__ import annotations

import abc
import asyncio
import logging

from clearcast.errors import ClearCastError, MessageMalformed, RateLimited
from streaming.live_room import LiveRoom
from streaming.messages import Message
from streaming.outbox import Goodbye, Outbox
from streaming.participant import Participant
from streaming.wire import SEND_WITHIN_S, TalkLimit, Wire, WireClosed, error_message, ref_of, unexpected

logger = logging.getLogger(__name__)


class Conversation(abc.ABC):
    """Attributes:
    room, who: the participant in his room.
    outbox: what waits to be sent to him; this connection's own.
    """

    def __init__(
        self, wire: Wire, room: LiveRoom, who: Participant, outbox: Outbox, talk: TalkLimit
    ) -> None:
        self.room = room
        self.who = who
        self.outbox = outbox
        self._wire = wire
        self._talk = talk

    @abc.abstractmethod
    async def handle(self, text: str) -> None:
        """What a message brings about. Raises MessageMalformed, which ends the connection; other errors are
        told to the client."""

    @abc.abstractmethod
    def encode(self, message: Message) -> list[str]:
        """What is sent of a message: nothing, it, or several."""

    async def run(self) -> None:
        """Until the client goes, falls behind or is sent away. Nothing is raised."""
        reading = asyncio.create_task(self._read())
        writing = asyncio.create_task(self._write())
        try:
            await asyncio.wait({reading, writing}, return_when=asyncio.FIRST_COMPLETED)
            if self.outbox.is_closed and not writing.done():
                await asyncio.wait({writing}, timeout=SEND_WITHIN_S)
        finally:
            for task in (reading, writing):
                task.cancel()
            await asyncio.gather(reading, writing, return_exceptions=True)
            self.outbox.close(1000)
            self.room.lose(self.who, self.outbox)
            await self._wire.close(1013 if self.outbox.overflowed else 1000)

    async def _write(self) -> None:
        while True:
            item = await self.outbox.next()
            try:
                async with asyncio.timeout(SEND_WITHIN_S):
                    if isinstance(item, Goodbye):
                        await self._wire.close(item.code)
                        return
                    for text in self.encode(item):
                        await self._wire.send(text)
            except (WireClosed, TimeoutError):
                return

    async def _read(self) -> None:
        while not self.outbox.is_closed:
            try:
                text = await self._wire.receive()
            except WireClosed:
                return
            except MessageMalformed as error:
                self._send_away(error)
                return
            try:
                self._talk.take()
            except RateLimited as error:
                self._send_away(error)
                return
            await self._handle(text)

    async def _handle(self, text: str) -> None:
        try:
            await self.handle(text)
        except MessageMalformed as error:
            self._send_away(error)
        except ClearCastError as error:
            self.outbox.put(error_message(error, ref_of(error)))
        except Exception:
            logger.exception("a message of a live room could not be handled")
            self.outbox.put(error_message(unexpected()))

    def _send_away(self, error: ClearCastError) -> None:
        self.outbox.put(error_message(error))
        self.outbox.close(1008)
