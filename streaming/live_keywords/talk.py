"""One connection to `/v1/keywords`: sound in, words out.

What lives here: the protocol of `docs/live.md` for one client. What does not: the work (`desk`), WebSockets
(`deployments/live`).

Nothing is kept of a connection that breaks: what a stream remembers is one word and the noise around it.
"""

from __future__ import annotations

import asyncio
import logging

from clearcast.engines.classify.contract import Heard
from clearcast.errors import ClearCastError, MessageMalformed, OptionInvalid
from streaming.live_keywords import messages as say
from streaming.live_keywords.desk import KeywordDesk, Spotting
from streaming.live_text.talk import HELLO_WITHIN_S, Introduce, SoundWire, send_all
from streaming.messages import Pong
from streaming.outbox import Outbox
from streaming.wire import TalkLimit, WireClosed, close_code, error_message, ref_of, unexpected

logger = logging.getLogger(__name__)


class KeywordTalk:
    """A client from his hello to the end of his connection."""

    def __init__(
        self, wire: SoundWire, desk: KeywordDesk, introduce: Introduce, credential: str | None = None
    ) -> None:
        """`credential` stands for one in `hello`."""
        self._wire, self._desk, self._introduce = wire, desk, introduce
        self._credential = credential
        self._limit = TalkLimit()
        self._outbox = Outbox()
        self._words = 0  # that are final

    async def run(self) -> None:
        """Until it is over. Whatever goes wrong is told to the client, not raised."""
        writing = asyncio.create_task(send_all(self._outbox, self._wire))
        serving = asyncio.create_task(self._serve())
        try:
            # Writing ends first when the client does not take what it is told.
            await asyncio.wait({serving, writing}, return_when=asyncio.FIRST_COMPLETED)
            if serving.done():
                await writing  # the last words and the goodbye
        finally:
            for task in (serving, writing):
                task.cancel()
            await asyncio.gather(serving, writing, return_exceptions=True)

    async def _serve(self) -> None:
        code = 1000
        try:
            await self._listen()
        except WireClosed:
            pass
        except ClearCastError as error:
            self._outbox.put(error_message(error, ref_of(error)))
            code = close_code(error)
        except Exception:
            logger.exception("a live keyword stream failed")
            self._outbox.put(error_message(unexpected()))
            code = 1011
        self._outbox.close(code)

    async def _listen(self) -> None:
        hello = await self._hello()
        await self._introduce(hello.credential or self._credential, False)
        options = hello.options.checked()
        async with self._desk.open(hello.model, hello.sample_rate_hz, options) as spotting:
            made_by = spotting.made_by
            self._outbox.put(
                say.ModelLoaded(
                    ref=hello.ref, engine=made_by.engine, model=made_by.model, labels=spotting.labels
                )
            )
            while True:
                received = await self._wire.receive()
                if isinstance(received, bytes):
                    self._tell(await spotting.push(received))
                elif await self._is_over(spotting, received):
                    return

    async def _hello(self) -> say.Hello:
        """Raises MessageMalformed, OptionInvalid, WireClosed."""
        try:
            async with asyncio.timeout(HELLO_WITHIN_S):
                first = await self._wire.receive()
        except TimeoutError:
            raise MessageMalformed("Nobody said hello in time.", hint="Send hello first.") from None
        message = None if isinstance(first, bytes) else say.read_keyword_message(first)
        if not isinstance(message, say.Hello):
            raise OptionInvalid("The first message is hello.")
        return message

    async def _is_over(self, spotting: Spotting, text: str) -> bool:
        """Do what a message wants; whether it was the last one. Raises MessageMalformed, OptionInvalid,
        RateLimited."""
        self._limit.take()
        message = say.read_keyword_message(text)
        if isinstance(message, say.Ping):
            self._outbox.put(Pong(ref=message.ref))
            return False
        if isinstance(message, say.Close):
            self._tell(await spotting.finish())
            self._outbox.put(say.Closed(ref=message.ref))
            return True
        raise OptionInvalid("You said hello already.")

    def _tell(self, heard: list[Heard]) -> None:
        for one in heard:
            self._outbox.put(say.Word.of(self._words + 1, one))
            self._words += one.is_final
