"""The text of one voice of a live room.

What lives here: from the frames of a voice to lines in the room's time. What does not: the lines themselves
(`session`), who is told of them (`streaming/captions.py`).

Nothing here may hold the room's sound up: frames are put down without waiting, and a task of its own hands
them on. A sender with DTX sends nothing while its user is silent, and a network may fail: what was being
said is ended after as long a silence as ends it elsewhere, and time jumps when sound comes again.
"""

from __future__ import annotations

import asyncio
import bisect
import shutil
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from clearcast.audio import recording
from clearcast.audio.chunk import FloatSamples
from clearcast.audio.sinc import Resampler
from clearcast.speech.transcript import Word
from streaming.frames import Frame
from streaming.live_text.lines import Failed, Line, LiveEvent, Partial
from streaming.live_text.options import LiveOptions
from streaming.live_text.session import LiveTranscription
from streaming.live_text.sitting import LiveParts
from streaming.live_text.sound import SoundTrail
from streaming.live_text.speakers import KnownVoice, VoicesHeard
from streaming.live_text.utterances import UtteranceWatch
from streaming.opus import SAMPLE_RATE_HZ

_PIECE_S = 0.1  # handed on at a time: 20 ms at a time would cost more than they are worth
_MOST_WAITING_SAMPLES = 10 * SAMPLE_RATE_HZ
_MORE_SILENCE_S = 0.5  # than what ends an utterance, so that it ends whatever the network hears
_MOST_STRETCHES = 256  # a stretch has a second and more, and no line comes two minutes late


@dataclass(frozen=True, slots=True)
class _Piece:
    frame: Frame
    ended_s: float  # on the room's clock: when it was there


class _RoomTime:
    """From seconds of what was handed on to seconds of the room."""

    def __init__(self) -> None:
        self._stretches: deque[tuple[float, float]] = deque(maxlen=_MOST_STRETCHES)

    def begin(self, stream_s: float, room_s: float) -> None:
        """From here on, this is when."""
        self._stretches.append((stream_s, room_s))

    def correct(self, stream_s: float, room_s: float) -> None:
        """That moment was no later than this. The first frame of a stretch may have come late, and all that
        is known of when it was spoken is the soonest that any frame came."""
        late_s = self.at(stream_s) - room_s
        if late_s > 0:
            began_s, known_s = self._stretches.pop()
            self._stretches.append((began_s, known_s - late_s))

    def at(self, stream_s: float) -> float:
        place = bisect.bisect_right(self._stretches, stream_s, key=lambda one: one[0])
        began_s, room_s = self._stretches[max(0, place - 1)]
        return room_s + stream_s - began_s

    def of_line(self, line: Line) -> Line:
        def moved(word: Word) -> Word:
            return replace(word, start_s=self.at(word.start_s), end_s=self.at(word.end_s))

        start_s, end_s = self.at(line.start_s), self.at(line.end_s)
        return replace(line, start_s=start_s, end_s=end_s, words=tuple(map(moved, line.words)))

    def of(self, event: LiveEvent) -> LiveEvent:
        match event:
            case Line():
                return self.of_line(event)
            case Partial() | Failed():
                return replace(event, start_s=self.at(event.start_s), end_s=self.at(event.end_s))
            case _:
                return event


class CaptionedVoice:
    """Made on an event loop. Attributes:
    left_out_s: seconds of sound that found more than ten seconds waiting: the recogniser was further behind
        than it is waited for.
    """

    def __init__(
        self,
        parts: LiveParts,
        options: LiveOptions,
        folder: Path,
        tell: Callable[[LiveEvent], None],
        clock_s: Callable[[], float],
        on_close: Callable[[CaptionedVoice], None] = lambda _: None,
        known: Sequence[KnownVoice] = (),
    ) -> None:
        """`folder` is made, and removed by `close`. `tell` must neither wait nor raise; what it is told has
        the times of `clock_s`, the room's. `known` are voices that are named. Raises OSError."""
        self.left_out_s = 0.0
        self._silence_s, self._folder = options.silence_s, folder
        self._clock_s, self._on_close = clock_s, on_close
        self._resampler = Resampler(SAMPLE_RATE_HZ, recording.SAMPLE_RATE_HZ)
        self._time = _RoomTime()
        self._pieces: deque[_Piece] = deque()
        self._waiting = 0  # samples in them
        self._filled = asyncio.Event()
        self._end: int | None = None  # on the voice's timeline, of what was handed on
        self._given = 0  # samples
        self._is_quiet = True  # silence was handed on after the last sound
        voices = VoicesHeard(parts.embedder, options.speakers, options.similarity)
        for voice in known:
            voices.register(voice)
        folder.mkdir(parents=True)
        self._transcription = LiveTranscription(
            parts.desk,
            UtteranceWatch(parts.new_scorer(), options),
            SoundTrail(folder),
            voices,
            options,
            lambda event: tell(self._time.of(event)),
        )
        self._task = asyncio.create_task(self._run())

    @property
    def lag_s(self) -> float:
        """Seconds of speech that ended and wait to be transcribed."""
        return self._transcription.lag_s

    @property
    def failure(self) -> BaseException | None:
        """What ended the work on it, if something did: no line comes any more."""
        return self._task.exception() if self._task.done() and not self._task.cancelled() else None

    def put(self, frame: Frame) -> None:
        """A raw sink of a `Broadcast`. Where ten seconds wait, the newest is left out."""
        if self._waiting + len(frame.samples) > _MOST_WAITING_SAMPLES:
            self.left_out_s += len(frame.samples) / SAMPLE_RATE_HZ
            return
        self._pieces.append(_Piece(frame, self._clock_s()))
        self._waiting += len(frame.samples)
        self._filled.set()

    async def flush(self) -> None:
        """The lines of what was said so far are told."""
        await self._hand_on()
        await self._transcription.flush()

    async def finish(self) -> None:
        """No more sound comes: the last lines are told. Raises what ended the work before."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        await self._hand_on()
        await self._transcription.finish()

    async def close(self) -> None:
        """At once; nothing of it stays on disk."""
        self._task.cancel()
        await asyncio.gather(self._task, self._transcription.close(), return_exceptions=True)
        shutil.rmtree(self._folder, ignore_errors=True)
        self._on_close(self)

    async def _run(self) -> None:
        while True:
            try:
                async with asyncio.timeout(self._silence_s):
                    await self._filled.wait()
            except TimeoutError:
                await self._be_quiet()
                continue
            await asyncio.sleep(_PIECE_S)
            await self._hand_on()

    async def _be_quiet(self) -> None:
        """Nothing has come for so long: whatever was being said is over."""
        if not self._is_quiet and self._end is not None:
            self._is_quiet = True
            silence = self._silence(self._most_silence)
            self._end += len(silence)
            await self._give([silence])

    async def _hand_on(self) -> None:
        """What waits, with the silence in between."""
        sound: list[FloatSamples] = []
        while self._pieces:
            piece = self._pieces.popleft()
            self._waiting -= len(piece.frame.samples)
            sound += self._placed(piece, sum(map(len, sound)))
        self._filled.clear()
        if sound:
            await self._give(sound)

    def _placed(self, piece: _Piece, before: int) -> list[FloatSamples]:
        """The piece's sound, mono, after the silence that belongs before it; `before` samples are about to
        be handed on, too."""
        samples = piece.frame.samples.mean(axis=1, keepdims=True, dtype=np.float32)
        position = piece.frame.position
        gap = 0 if self._end is None else position - self._end
        silence = self._silence(0 if self._is_quiet else min(max(0, gap), self._most_silence))
        stream_s = (self._given + before + len(silence)) / SAMPLE_RATE_HZ
        room_s = piece.ended_s - len(samples) / SAMPLE_RATE_HZ
        if self._end is None or gap != len(silence):
            self._time.begin(stream_s, room_s)
        self._time.correct(stream_s, room_s)
        self._end, self._is_quiet = position + len(samples), False
        return [silence, samples]

    @property
    def _most_silence(self) -> int:
        return round((self._silence_s + _MORE_SILENCE_S) * SAMPLE_RATE_HZ)

    @staticmethod
    def _silence(count: int) -> FloatSamples:
        return np.zeros((count, 1), np.float32)

    async def _give(self, sound: list[FloatSamples]) -> None:
        whole = np.concatenate(sound)
        self._given += len(whole)
        await self._transcription.push(self._resampler.push(whole)[:, 0])
