"""What one client does on `/v1/live`, over one connection or several one after another.

What lives here: the state between messages (who is being registered, whether transcription runs, what was
told) and what each message does to it. What does not: connections (`talk`), which sittings there are
(`sittings`).
"""

from __future__ import annotations

import asyncio
import itertools
import shutil
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from clearcast.errors import ClearCastError, Conflict
from clearcast.services import Embedder, SpeechFinder
from clearcast.speech.provenance import Provenance
from clearcast.storage.voices import VoiceSample
from streaming.live_text import messages as say
from streaming.live_text.desk import RecognitionDesk
from streaming.live_text.lines import Failed, Lag, Line, LiveEvent, Partial
from streaming.live_text.options import LiveOptions
from streaming.live_text.registration import GOOD_SPEECH_S, MakeSample, Registration
from streaming.live_text.session import LiveTranscription
from streaming.live_text.sound import PcmReader, SoundTrail
from streaming.live_text.speakers import KnownVoice, VoicesHeard
from streaming.live_text.utterances import FrameScorer, UtteranceWatch
from streaming.messages import Message
from streaming.outbox import Outbox
from streaming.wire import error_message

REMEMBERED_LINES = 500
"""So many lines are told again to a client that comes back."""


@dataclass(frozen=True, slots=True)
class LiveParts:
    """What all sittings of a process share. Attributes:
    new_scorer: a voice activity network with a memory of its own.
    make_sample: a voiceprint for the account's voices.
    enrolled: the voices of the account of this user.
    recogniser: what makes the text.
    languages: those it knows; None where it finds out by itself.
    """

    desk: RecognitionDesk
    embedder: Embedder
    finder: SpeechFinder
    new_scorer: Callable[[], FrameScorer]
    make_sample: MakeSample
    enrolled: Callable[[str], Awaitable[tuple[KnownVoice, ...]]]
    recogniser: Provenance
    languages: tuple[str, ...] | None


@dataclass(frozen=True, slots=True)
class Person:
    """Whose sitting it is. Attributes:
    save: puts a voiceprint among the voices of the account under a name. Blocks.
    """

    id: str
    voices: tuple[KnownVoice, ...]
    save: Callable[[str, VoiceSample], None]


class Sitting:
    """Attributes:
    resume: the secret with which its client comes back.
    received_samples: how much sound came, at the client's rate.
    outbox: where messages go; None while nobody is connected.
    """

    def __init__(
        self,
        parts: LiveParts,
        person: Person,
        sample_rate_hz: int,
        options: LiveOptions,
        folder: Path,
        resume: str,
    ) -> None:
        """`folder` is made, and removed by `close`. Raises OptionInvalid."""
        self.resume = resume
        self.person = person
        self.received_samples = 0
        self.outbox: Outbox | None = None
        self._parts, self._options, self._folder = parts, options, folder
        self._reader = PcmReader(sample_rate_hz)
        self._voices = VoicesHeard(parts.embedder, options.speakers, options.similarity)
        for voice in person.voices:
            self._voices.register(voice)
        self._registration: Registration | None = None
        self._transcription: LiveTranscription | None = None
        self._stopping: asyncio.Task[None] | None = None
        self._lines: deque[say.Transcription] = deque(maxlen=REMEMBERED_LINES)
        self._told_lines = 0
        self._heard = 0  # samples at 16 kHz
        self._numbers = itertools.count(1)
        folder.mkdir(parents=True)

    def attach(self, outbox: Outbox, after: int) -> None:
        """Tell a new connection from now on, beginning with the lines after that one."""
        if self.outbox is not None:
            self.outbox.close(1000)
        self.outbox = outbox
        for line in self._lines:
            if line.id > after:
                outbox.put(line)

    def detach(self, outbox: Outbox) -> None:
        """That connection has gone. What came last may be half a sample, which is sent again."""
        if self.outbox is outbox:
            self.outbox = None
            self._reader.drop_half()

    async def push(self, pcm: bytes) -> None:
        """Sound. Waits while the recogniser is far behind. Raises OSError, AudioTooLong."""
        samples = self._reader.push(pcm)
        self.received_samples = self._reader.received_samples
        self._heard += len(samples)
        if self._registration is not None:
            self._registration.push(samples)
        elif self._transcription is not None:
            await self._transcription.push(samples)

    def start_registration(self, speaker_id: int, name: str | None) -> None:
        """Sound from here on is that voice. Raises Conflict while transcription runs."""
        if self._transcription is not None:
            raise Conflict("Transcription runs.", hint="Send stop_transcription first.")
        self._drop_registration()
        folder = self._folder / f"voice-{next(self._numbers)}"
        self._registration = Registration(folder, speaker_id, name)

    async def complete_registration(self, speaker_id: int, save_as: str | None) -> Message:
        """What is to be told. Raises Conflict when nobody of that id is being registered, and what saving
        raises."""
        registration, self._registration = self._registration, None
        if registration is None or registration.speaker_id != speaker_id:
            self._registration = registration
            raise Conflict("That voice is not being registered.", hint="Send start_speaker_registration.")
        parts = self._parts
        try:
            sample = await registration.complete(parts.embedder, parts.finder, parts.make_sample)
        except ClearCastError as error:
            if error.http_status >= 500 or error.retryable:
                raise
            return say.RegistrationFailed(
                speaker_id=speaker_id,
                code=error.code,
                message=str(error),
                speech_s=round(registration.speech_s, 1),
            )
        finally:
            registration.close()
        self._voices.register(KnownVoice(registration.name, sample.embedding), speaker_id)
        if save_as is not None:
            await self._save(save_as, sample)
        short = registration.speech_s < GOOD_SPEECH_S
        return say.RegistrationCompleted(
            speaker_id=speaker_id,
            speech_s=round(registration.speech_s, 1),
            advice=f"{GOOD_SPEECH_S:.0f} s of speech or more tell voices apart better." if short else None,
            saved_as=save_as,
        )

    async def _save(self, name: str, sample: VoiceSample) -> None:
        await asyncio.to_thread(self.person.save, name, sample)

    async def start(self) -> None:
        """Sound from here on is transcribed. Does nothing while it is."""
        if self._transcription is not None:
            return
        await self._stopped()
        self._drop_registration()
        folder = self._folder / f"sound-{next(self._numbers)}"
        folder.mkdir()
        watch = UtteranceWatch(self._parts.new_scorer(), self._options, self._heard)
        trail = SoundTrail(folder, self._heard)
        first_line = self._told_lines + 1
        self._transcription = LiveTranscription(
            self._parts.desk, watch, trail, self._voices, self._options, self._tell, first_line
        )

    async def flush(self) -> None:
        """The line of what is being said is told at once."""
        if self._transcription is not None:
            await self._transcription.flush()

    async def stop(self) -> None:
        """All lines are told; sound from here on is not transcribed. Goes on when the caller is cancelled,
        because his connection broke: who comes back is told the lines."""
        transcription, self._transcription = self._transcription, None
        if transcription is not None:
            self._stopping = asyncio.create_task(_finish(transcription))
        await self._stopped()

    async def _stopped(self) -> None:
        if self._stopping is not None:
            await asyncio.shield(self._stopping)
            self._stopping = None

    def _tell(self, event: LiveEvent) -> None:
        match event:
            case Line():
                line = say.Transcription.of(event)
                self._lines.append(line)
                self._told_lines = line.id
                message: Message = line
            case Partial():
                message = say.PartialText.of(event)
            case Lag():
                message = say.LagMessage.of(event)
            case Failed():
                message = error_message(event.error)
        if self.outbox is not None:
            self.outbox.put(message)

    def _drop_registration(self) -> None:
        if self._registration is not None:
            self._registration.close()
            self._registration = None

    async def close(self) -> None:
        """At once; nothing of it stays on disk."""
        if self._stopping is not None:
            self._stopping.cancel()
            await asyncio.gather(self._stopping, return_exceptions=True)
        transcription, self._transcription = self._transcription, None
        if transcription is not None:
            await transcription.close()
        self._drop_registration()
        shutil.rmtree(self._folder, ignore_errors=True)


async def _finish(transcription: LiveTranscription) -> None:
    try:
        await transcription.finish()
    finally:
        await transcription.close()
