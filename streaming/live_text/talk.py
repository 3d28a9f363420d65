"""One connection to `/v1/live`: messages and sound in, messages out.

What lives here: the protocol of `docs/live.md` for one client. What does not: what is kept when it breaks
(`sitting`), WebSockets (`deployments/live`).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Protocol

from clearcast.errors import ClearCastError, MessageMalformed, OptionInvalid
from streaming.live_text import messages as say
from streaming.live_text.sitting import Person, Sitting
from streaming.live_text.sittings import Sittings
from streaming.messages import Message, Pong, write_message
from streaming.outbox import Goodbye, Outbox
from streaming.wire import (
    SEND_WITHIN_S,
    TalkLimit,
    WireClosed,
    close_code,
    error_message,
    ref_of,
    unexpected,
)

logger = logging.getLogger(__name__)

HELLO_WITHIN_S = 5.0

Introduce = Callable[[str | None, bool], Awaitable[Person]]
"""Whose credential this is, with the voices of the account where they are wanted. Raises Unauthenticated,
Forbidden, RateLimited."""


class SoundWire(Protocol):
    """A connection that carries text and sound; see `streaming.wire.Wire`."""

    async def receive(self) -> str | bytes: ...

    async def send(self, text: str) -> None: ...

    async def close(self, code: int) -> None: ...


def as_it_is(message: Message) -> Iterable[str]:
    """A message of ours on the wire."""
    return (write_message(message),)


async def send_all(
    outbox: Outbox, wire: SoundWire, encode: Callable[[Message], Iterable[str]] = as_it_is
) -> None:
    """Everything that is put into the outbox, up to its goodbye, or until the other side is gone."""
    while True:
        item = await outbox.next()
        if isinstance(item, Goodbye):
            await wire.close(item.code)
            return
        try:
            async with asyncio.timeout(SEND_WITHIN_S):
                for text in encode(item):
                    await wire.send(text)
        except (WireClosed, TimeoutError):
            return


class LiveTalk:
    """A client from his hello to the end of his connection."""

    def __init__(
        self, wire: SoundWire, sittings: Sittings, introduce: Introduce, credential: str | None = None
    ) -> None:
        """`credential` stands for one in `hello`."""
        self._wire, self._sittings, self._introduce = wire, sittings, introduce
        self._credential = credential
        self._limit = TalkLimit()
        self._outbox = Outbox()
        self._is_over = False
        self._actions: dict[type[Message], Callable[[Sitting, Any], Awaitable[Message | None]]] = {
            say.StartRegistration: self._start_registration,
            say.CompleteRegistration: self._complete_registration,
            say.StartTranscription: self._start,
            say.Flush: self._flush,
            say.StopTranscription: self._stop,
            say.Ping: self._ping,
            say.Close: self._close,
        }

    async def run(self) -> None:
        """Until it is over. Whatever goes wrong is told to the client, not raised."""
        try:
            hello, first = await self._hello()
            credential = hello.credential or self._credential
            person = await self._introduce(credential, hello.voices == "account")
            sitting = self._sittings.enter(person, hello, self._outbox)
        except WireClosed:
            return
        except ClearCastError as error:
            await self._refuse(error)
            return
        except Exception:
            logger.exception("a live transcription could not begin")
            await self._refuse(unexpected())
            return
        self._outbox.put(self._welcome(sitting, hello.ref))
        if first is not None:
            await self._act(sitting, first)
        await self._stay(sitting)

    async def _hello(self) -> tuple[say.Hello, say.ClientMessage | None]:
        """The hello, and a first message that came without one, as the first two-speaker clients send it.

        Raises MessageMalformed, OptionInvalid, WireClosed.
        """
        try:
            async with asyncio.timeout(HELLO_WITHIN_S):
                first = await self._wire.receive()
        except TimeoutError:
            raise MessageMalformed("Nobody said hello in time.", hint="Send hello first.") from None
        if isinstance(first, bytes):
            raise OptionInvalid("The first message is hello.")
        message = say.read_live_message(first)
        if isinstance(message, say.Hello):
            return message, None
        return say.Hello(type="hello"), message

    def _welcome(self, sitting: Sitting, ref: str | None) -> say.ModelLoaded:
        parts = self._sittings.parts
        return say.ModelLoaded(
            ref=ref,
            engine=parts.recogniser.engine,
            model=parts.recogniser.model,
            languages=parts.languages,
            resume=sitting.resume,
            received_samples=sitting.received_samples,
        )

    async def _refuse(self, error: ClearCastError) -> None:
        with contextlib.suppress(WireClosed, TimeoutError):
            async with asyncio.timeout(SEND_WITHIN_S):
                await self._wire.send(write_message(error_message(error, ref_of(error))))
        await self._wire.close(close_code(error))

    async def _stay(self, sitting: Sitting) -> None:
        writing = asyncio.create_task(send_all(self._outbox, self._wire))
        reading = asyncio.create_task(self._read(sitting))
        try:
            await asyncio.wait({reading, writing}, return_when=asyncio.FIRST_COMPLETED)
            if self._is_over:
                await writing  # the last lines and the goodbye
        finally:
            for task in (reading, writing):
                task.cancel()
            await asyncio.gather(reading, writing, return_exceptions=True)
            if self._is_over:
                await self._sittings.end(sitting)
            else:
                self._sittings.leave(sitting, self._outbox)

    async def _read(self, sitting: Sitting) -> None:
        try:
            while not self._is_over:
                received = await self._wire.receive()
                if isinstance(received, bytes):
                    await sitting.push(received)
                else:
                    self._limit.take()
                    await self._act(sitting, say.read_live_message(received))
        except WireClosed:
            return
        except ClearCastError as error:  # what is no message, or too many of them
            self._outbox.put(error_message(error, ref_of(error)))
            self._outbox.close(close_code(error))
            self._is_over = True
        except Exception:
            logger.exception("a live transcription failed")
            self._outbox.put(error_message(unexpected()))
            self._outbox.close(1011)
            self._is_over = True

    async def _act(self, sitting: Sitting, message: say.ClientMessage) -> None:
        action = self._actions.get(type(message))
        try:
            if action is None:
                raise OptionInvalid("You said hello already.")
            answer = await action(sitting, message)
        except ClearCastError as error:
            self._outbox.put(error_message(error, message.ref))
            return
        if answer is not None:
            self._outbox.put(answer)
        if isinstance(message, say.Close):
            self._outbox.close(1000)
            self._is_over = True

    async def _start_registration(self, sitting: Sitting, message: say.StartRegistration) -> Message:
        sitting.start_registration(message.speaker_id, message.name)
        return say.RegistrationStarted(ref=message.ref, speaker_id=message.speaker_id)

    async def _complete_registration(self, sitting: Sitting, message: say.CompleteRegistration) -> Message:
        told = await sitting.complete_registration(message.speaker_id, message.save_as)
        return told.model_copy(update={"ref": message.ref})

    async def _start(self, sitting: Sitting, message: say.StartTranscription) -> Message:
        await sitting.start()
        return say.TranscriptionStarted(ref=message.ref)

    async def _flush(self, sitting: Sitting, message: say.Flush) -> Message:
        await sitting.flush()
        return say.Flushed(ref=message.ref)

    async def _stop(self, sitting: Sitting, message: say.StopTranscription) -> Message:
        await sitting.stop()
        return say.TranscriptionStopped(ref=message.ref)

    async def _ping(self, sitting: Sitting, message: say.Ping) -> Message:
        return Pong(ref=message.ref)

    async def _close(self, sitting: Sitting, message: say.Close) -> Message:
        await sitting.stop()
        return say.Closed(ref=message.ref)
