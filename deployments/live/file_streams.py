"""`/v1/stream`: a file over a WebSocket, transcribed while it is sent.

What lives here: the route, and one file from its first message to its transcript. What does not: decoding
(`clearcast/audio/growing.py`), what is transcribed when (`pipelines/growing.py`), who has a place
(`streaming/live_text/places.py`).
"""

from __future__ import annotations

import asyncio
import functools
import itertools
import logging
import shutil
import time

from fastapi import APIRouter, WebSocket

from clearcast.audio.growing import GrowingSound
from clearcast.audio.sound_check import warnings_on
from clearcast.engines.transcribe.contract import TranscribeOptions
from clearcast.errors import ClearCastError, MessageMalformed, OptionInvalid
from clearcast.ids import new_id
from clearcast.speech.transcript import Segment
from deployments.ingress import openai_format
from deployments.live.live_text import SoundSocket, introduce
from deployments.live.sockets import bearer_of
from deployments.live.state import FileStreams, live_state_of
from pipelines.growing import run_growing_transcription
from streaming.live_text import stream_messages as say
from streaming.live_text.talk import HELLO_WITHIN_S, Introduce, send_all
from streaming.outbox import Outbox
from streaming.wire import WireClosed, close_code, error_message, unexpected

logger = logging.getLogger(__name__)
router = APIRouter()

_PROGRESS_EVERY_S = 0.5
_WAITING_MESSAGES = 4096  # a client that is so far behind is dropped


@router.websocket("/v1/stream")
async def stream_socket(socket: WebSocket) -> None:
    state = live_state_of(socket)
    await socket.accept()
    ask = functools.partial(introduce, state.ingress)
    await FileStream(SoundSocket(socket), state.streams, ask, bearer_of(socket)).run()


class FileStream:
    """One file."""

    def __init__(
        self, wire: SoundSocket, streams: FileStreams, ask: Introduce, credential: str | None
    ) -> None:
        """`credential` stands for one in the first message."""
        self._wire, self._streams, self._ask, self._credential = wire, streams, ask, credential
        self._outbox = Outbox(_WAITING_MESSAGES)
        self._told_s = 0.0

    async def run(self) -> None:
        """Until the transcript is sent. Whatever goes wrong is told to the client, not raised."""
        writing = asyncio.create_task(send_all(self._outbox, self._wire))
        code = 1000
        try:
            await self._serve()
        except WireClosed:
            pass
        except ClearCastError as error:
            self._outbox.put(error_message(error))
            code = close_code(error)
        except Exception:
            logger.exception("a file could not be transcribed")
            self._outbox.put(error_message(unexpected()))
            code = 1011
        finally:
            self._outbox.close(code)
            await writing

    async def _serve(self) -> None:
        order = await self._order()
        await self._ask(order.credential or self._credential, False)
        options = TranscribeOptions(language=order.options.language)
        folder = self._streams.folder / new_id("live")
        await asyncio.to_thread(folder.mkdir)
        sound = GrowingSound(folder, self._streams.limits)
        receiving = asyncio.create_task(self._receive(sound))
        working = asyncio.create_task(self._work(sound, options))
        try:
            # Receiving ends by an error only: when the client goes, or sends what it must not.
            await asyncio.wait({receiving, working}, return_when=asyncio.FIRST_COMPLETED)
            await (working if working.done() else receiving)
        finally:
            for task in (receiving, working):
                task.cancel()
            await asyncio.gather(receiving, working, return_exceptions=True)
            sound.close()
            await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)

    async def _order(self) -> say.SendFile:
        """Raises MessageMalformed, OptionInvalid, WireClosed."""
        try:
            async with asyncio.timeout(HELLO_WITHIN_S):
                first = await self._wire.receive()
        except TimeoutError:
            raise MessageMalformed("Nothing came in time.", hint="Send the message file first.") from None
        message = None if isinstance(first, bytes) else say.read_stream_message(first)
        if not isinstance(message, say.SendFile):
            raise OptionInvalid("The first message is file.")
        return message

    async def _receive(self, sound: GrowingSound) -> None:
        """Everything the client sends goes to disk, also while its turn has not come: a socket that is not
        read does not answer pings either. Raises WireClosed at the end, and what `push` raises."""
        is_whole = False
        while True:
            received = await self._wire.receive()
            if is_whole:
                raise OptionInvalid("Nothing comes after end.")
            if isinstance(received, bytes):
                sound.push(received)
            elif isinstance(say.read_stream_message(received), say.End):
                sound.end()
                is_whole = True
            else:
                raise OptionInvalid("One connection carries one file.")

    async def _work(self, sound: GrowingSound, options: TranscribeOptions) -> None:
        numbers = itertools.count(1)

        def tell_line(segment: Segment) -> None:
            self._outbox.put(say.StreamLine.of(next(numbers), segment))

        async with self._streams.places.taken_by(lambda place: self._outbox.put(say.Queued(place=place))):
            is_early = await sound.is_decoded_early()
            self._outbox.put(say.Accepted(decoding="while_received" if is_early else "after_last_byte"))
            transcript = await run_growing_transcription(
                self._streams.transcriber,
                self._streams.follow(),
                sound.working_copy.resolve().as_uri(),
                sound.sound(),
                options,
                lambda heard_s: self._tell_progress(heard_s, sound.received_bytes),
                tell_line,
            )
        assert sound.prepared is not None
        warnings = warnings_on(sound.prepared)
        answer = openai_format.verbose(transcript, warnings, "transcribe", ["segment", "word"], 0.0)
        self._outbox.put(say.Done(transcript=openai_format.as_json(answer)))

    def _tell_progress(self, heard_s: float, received_bytes: int) -> None:
        now_s = time.monotonic()
        if now_s - self._told_s >= _PROGRESS_EVERY_S:
            self._told_s = now_s
            self._outbox.put(say.Progress(heard_s=round(heard_s, 1), received_bytes=received_bytes))
