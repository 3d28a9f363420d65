"""One connection of a client that speaks as WhisperLiveKit's page does (its `docs/API.md`).

What lives here: sound in binary frames, PCM or a file as `MediaRecorder` makes it, to the state of the
transcription as one JSON object each time it changes. What does not: WebSockets (`deployments/live`).
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections import deque
from collections.abc import AsyncGenerator, Iterable
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from clearcast.audio.growing import GrowingSound
from clearcast.audio.recording import FloatAudio
from clearcast.errors import ClearCastError, MessageMalformed, OptionInvalid
from clearcast.settings import AudioSettings
from streaming.live_text import messages as say
from streaming.live_text.options import Options
from streaming.live_text.sitting import Sitting
from streaming.live_text.sittings import Sittings
from streaming.live_text.talk import HELLO_WITHIN_S, Introduce, SoundWire, send_all
from streaming.messages import ErrorMessage, Message, read_object
from streaming.outbox import Outbox
from streaming.wire import WireClosed, close_code, error_message

logger = logging.getLogger(__name__)

SHOWN_LINES = 100
"""The last ones; older lines are not repeated."""


class Config(BaseModel):
    """What the address or a first text message says."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    credential: str | None = Field(default=None, max_length=4096)
    pcm: bool = False
    language: str | None = Field(default=None, max_length=16)


def read_config(values: object) -> Config:
    """Raises OptionInvalid."""
    try:
        return Config.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        raise OptionInvalid(f"{first['loc'][0]}: {first['msg']}.") from None


class _Ready(Message):
    """All lines were told."""


class WhisperLiveKitTalk:
    """A client from the beginning to the end of its connection."""

    def __init__(
        self,
        wire: SoundWire,
        sittings: Sittings,
        introduce: Introduce,
        limits: AudioSettings,
        config: Config,
    ) -> None:
        self._wire, self._sittings, self._introduce = wire, sittings, introduce
        self._limits, self._config = limits, config
        self._outbox = Outbox()
        self._lines: deque[say.Transcription] = deque(maxlen=SHOWN_LINES)
        self._buffer = ""
        self._lag_s = 0.0

    async def run(self, folder: Path) -> None:
        """Until the client goes or all is told. `folder` is empty, for what the client records. Whatever
        goes wrong is told to the client, not raised."""
        writing = asyncio.create_task(send_all(self._outbox, self._wire, self._encode))
        code = 1000
        sitting = None
        try:
            first = await self._first()
            person = await self._introduce(self._config.credential, False)
            options = Options(language=self._config.language)
            sitting = self._sittings.enter(person, say.Hello(type="hello", options=options), self._outbox)
            await sitting.start()
            await (self._take_pcm if self._config.pcm else self._take_file)(sitting, first, folder)
            await sitting.stop()
            self._outbox.put(_Ready())
        except WireClosed:
            pass
        except ClearCastError as error:
            self._outbox.put(error_message(error))
            code = close_code(error)
        except Exception:
            logger.exception("a transcription of /asr failed")
            code = 1011
        finally:
            if sitting is not None:
                await self._sittings.end(sitting)
            self._outbox.close(code)
            await writing

    async def _first(self) -> bytes:
        """The first sound; a configuration may come before it. Raises MessageMalformed, WireClosed."""
        if self._config.credential is None:  # then it may come in the configuration
            try:
                async with asyncio.timeout(HELLO_WITHIN_S):
                    return await self._sound()
            except TimeoutError:
                raise MessageMalformed("Nothing came in time.") from None
        return await self._sound()

    async def _sound(self) -> bytes:
        while True:
            received = await self._wire.receive()
            if isinstance(received, bytes):
                return received
            given = self._config.model_dump(exclude_none=True) | read_object(received)
            self._config = read_config(given)

    async def _take_pcm(self, sitting: Sitting, first: bytes, _folder: Path) -> None:
        received = first
        while received:
            await sitting.push(received)
            received = await self._sound()

    async def _take_file(self, sitting: Sitting, first: bytes, folder: Path) -> None:
        sound = GrowingSound(folder, self._limits)
        receiving = asyncio.create_task(self._receive(sound, first))
        hearing = asyncio.create_task(_hear(sitting, sound.sound()))
        try:
            await asyncio.wait({receiving, hearing}, return_when=asyncio.FIRST_EXCEPTION)
            for task in (hearing, receiving):
                if task.done():
                    await task
        finally:
            for task in (receiving, hearing):
                task.cancel()
            await asyncio.gather(receiving, hearing, return_exceptions=True)
            sound.close()

    async def _receive(self, sound: GrowingSound, first: bytes) -> None:
        received = first
        while received:
            sound.push(received)
            received = await self._sound()
        sound.end()

    def _encode(self, item: Message) -> Iterable[str]:
        return (json.dumps(self._state(item), ensure_ascii=False),)

    def _state(self, item: Message) -> dict[str, Any]:
        match item:
            case _Ready():
                return {"type": "ready_to_stop"}
            case ErrorMessage():
                return {"status": "error", "error": item.detail or item.title, "code": item.code}
            case say.PartialText():
                self._buffer = item.text
            case say.Transcription():
                self._lines.append(item)
                self._buffer = ""
            case say.LagMessage():
                self._lag_s = item.lag_s if item.is_behind else 0.0
        return {
            "status": "active_transcription" if self._lines or self._buffer else "no_audio_detected",
            "lines": [_line(one) for one in self._lines],
            "buffer_transcription": self._buffer,
            "buffer_diarization": "",
            "remaining_time_transcription": self._lag_s,
            "remaining_time_diarization": 0,
        }


async def _hear(sitting: Sitting, sound: AsyncGenerator[FloatAudio, None]) -> None:
    try:
        async for samples in sound:
            # They come from 16 bits, so nothing is lost.
            await sitting.push(np.rint(samples * 32768.0).astype("<i2").tobytes())
    finally:
        await sound.aclose()


def _line(line: say.Transcription) -> dict[str, Any]:
    """Speakers count from 1 there."""
    return {
        "speaker": 1 if line.speaker_id is None else line.speaker_id + 1,
        "text": line.text,
        "start": str(timedelta(seconds=int(line.start_s))),
        "end": str(timedelta(seconds=int(line.end_s))),
        "detected_language": line.language,
    }
