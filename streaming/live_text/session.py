"""One live transcription: sound in, lines out.

What lives here: when the recogniser is asked for what. What does not: sockets and their messages.

Speech is transcribed as a preview while it goes on, in every pause that may be its end (so that the line is
there when it was one), and, where no such guess was right, at its end. Only guesses that were right and the
last one make lines, and every sample of speech is in exactly one of them. When the recogniser falls behind,
previews and guesses are left out and several utterances are taken at a time; when it is very far behind,
`push` waits, and with it the sender. Nothing is dropped.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from clearcast.audio.recording import SAMPLE_RATE_HZ, Clip, FloatAudio
from clearcast.engines.transcribe.contract import TranscribeOptions
from clearcast.errors import ClearCastError
from clearcast.speech.transcript import Transcript, Word
from clearcast.speech.turns import Span
from streaming.live_text.desk import RecognitionDesk
from streaming.live_text.growing_text import GrowingText, Settled
from streaming.live_text.lines import Failed, Lag, Line, LiveEvent, Partial
from streaming.live_text.options import LiveOptions
from streaming.live_text.sound import SoundTrail
from streaming.live_text.speakers import Heard, SpokenBy, VoicesHeard, by_speaker
from streaming.live_text.utterances import OpenUtterance, Utterance, UtteranceWatch

logger = logging.getLogger(__name__)

_MARGIN = SAMPLE_RATE_HZ // 2  # of silence around speech: recognisers expect some
_GUESSED_PAUSE = round(0.1 * SAMPLE_RATE_HZ)  # a pause this long may be the end
BEHIND_S, CAUGHT_UP_S = 4.0, 1.0
_FAR_BEHIND_S = 60.0
_MOST_AT_A_TIME_S = 25.0
_ATTEMPTS, _WAIT_S = 4, 0.5  # where the recogniser is overloaded or being replaced

_Work = Callable[[Clip, TranscribeOptions], Awaitable[Transcript | None]]  # of the desk


@dataclass(frozen=True, slots=True)
class _Guess:
    """That the utterance ends here. `work` gives what it is then, or None."""

    utterance: Utterance
    work: asyncio.Task[tuple[Transcript, Heard] | None]


class LiveTranscription:
    """Made on an event loop; `push`, `finish` and `close` are for one caller."""

    def __init__(
        self,
        desk: RecognitionDesk,
        watch: UtteranceWatch,
        trail: SoundTrail,
        voices: VoicesHeard,
        options: LiveOptions,
        tell: Callable[[LiveEvent], None],
        first_line: int = 1,
    ) -> None:
        """`tell` is called on the event loop and must neither wait nor raise. `first_line` is the id of the
        first one."""
        self._next_line = first_line
        self._desk, self._watch, self._trail, self._voices = desk, watch, trail, voices
        self._options, self._tell = options, tell
        self._started_at: datetime | None = None
        self._ended: deque[Utterance] = deque()
        self._done_until = trail.num_samples  # no sample before this one is needed any more
        self._guess: _Guess | None = None
        self._text: GrowingText | None = None
        self._previewing: asyncio.Task[None] | None = None
        self._is_behind = False
        self._is_finished = False
        self._changed = asyncio.Event()
        self._rested = asyncio.Event()
        self._worker = asyncio.create_task(self._run())

    @property
    def lag_s(self) -> float:
        """Seconds of speech that ended and wait to be transcribed."""
        if not self._ended:
            return 0.0
        return (self._watch.position - self._ended[0].end) / SAMPLE_RATE_HZ

    async def push(self, samples: FloatAudio) -> None:
        """The next samples, float32 mono at 16 kHz. Waits while the recogniser is far behind.

        Raises OSError when the disk is full; what the work on lines before ended with, if it did: none come
        any more.
        """
        if self._worker.done():
            await self._worker
        if self._started_at is None:
            length_s = len(samples) / SAMPLE_RATE_HZ
            before_s = self._trail.num_samples / SAMPLE_RATE_HZ
            self._started_at = datetime.now(UTC) - timedelta(seconds=before_s + length_s)
        self._trail.append(samples)
        self._ended += self._watch.push(samples)
        self._changed.set()
        while self.lag_s > _FAR_BEHIND_S and not self._worker.done():
            self._rested.clear()
            await self._rested.wait()

    async def finish(self) -> None:
        """No more sound comes: what was begun is ended, and all lines are told."""
        self._ended += self._watch.finish()
        self._is_finished = True
        self._changed.set()
        await self._worker

    async def flush(self) -> None:
        """End what is being said here and tell its line, and go on listening."""
        self._ended += self._watch.finish()
        self._changed.set()
        while self._ended and not self._worker.done():
            self._rested.clear()
            await self._rested.wait()

    async def close(self) -> None:
        """Stop at once; what was not told is lost, and the sound is removed."""
        guessing = None if self._guess is None else self._guess.work
        tasks = [one for one in (self._worker, self._previewing, guessing) if one is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._trail.close()

    async def _run(self) -> None:
        while True:
            await self._changed.wait()
            self._changed.clear()
            while await self._step():
                self._rested.set()
            self._rested.set()
            if self._is_finished and not self._ended:
                return

    async def _step(self) -> bool:
        """Do the most urgent thing; whether there was one."""
        self._note_lag()
        self._forget(self._done_until)
        if self._ended:
            await self._settle(self._next_ended())
            return True
        current = self._watch.current
        if current is None:
            self._drop_guess()
            self._forget(self._trail.num_samples)
            return False
        if self._desk.stops_soon and self._guessed_end != current.quiet_since:
            self._drop_guess()
        if self._is_behind:
            return False
        if (utterance := self._possible_end(current)) is not None:
            self._guess_end(utterance)
        elif self._options.partials and self._wants_preview(current):
            self._previewing = asyncio.create_task(
                self._preview(Utterance(current.start, self._watch.position))
            )
        return False

    def _forget(self, before: int) -> None:
        if self._previewing is None and self._guess is None:  # they may be about to read their clips
            self._trail.forget(before - _MARGIN)

    def _note_lag(self) -> None:
        lag_s = self.lag_s
        if lag_s > (CAUGHT_UP_S if self._is_behind else BEHIND_S):
            if not self._is_behind:
                self._tell(Lag(True, lag_s))
            self._is_behind = True
        elif self._is_behind:
            self._is_behind = False
            self._tell(Lag(False, lag_s))

    def _next_ended(self) -> list[Utterance]:
        """The oldest utterance that ended; with those after it while the recogniser is behind."""
        together = [self._ended[0]]
        if self._is_behind:
            for utterance in list(self._ended)[1:]:
                if utterance.end - together[0].start > _MOST_AT_A_TIME_S * SAMPLE_RATE_HZ:
                    break
                together.append(utterance)
        return together

    async def _settle(self, utterances: list[Utterance]) -> None:
        """Tell the lines of these utterances, which are then done with."""
        start, end = utterances[0].start, utterances[-1].end
        try:
            known = await self._guessed(utterances)
            if known is None:
                known = await asyncio.gather(
                    self._transcribe_at_last(utterances), self._voices.listen(self._trail, start, end)
                )
            transcript, heard = known
            for line in self._lines_of(transcript, await self._voices.who(heard)):
                self._tell(line)
        except ClearCastError as error:
            self._tell(Failed(error, start / SAMPLE_RATE_HZ, end / SAMPLE_RATE_HZ))
        except Exception:
            logger.exception("live speech could not be transcribed")
            raise
        for _ in utterances:
            self._ended.popleft()
        self._done_until = end

    async def _guessed(self, utterances: list[Utterance]) -> tuple[Transcript, Heard] | None:
        found = None
        if self._guess is not None and utterances == [self._guess.utterance]:
            found = await self._guess.work
        self._drop_guess()
        return found

    @property
    def _guessed_end(self) -> int | None:
        return None if self._guess is None else self._guess.utterance.end

    def _drop_guess(self) -> None:
        if self._guess is not None:
            self._guess.work.cancel()
            self._guess = None

    def _possible_end(self, current: OpenUtterance) -> Utterance | None:
        """The utterance if it ended with this pause; None if it is too soon to guess so, or was guessed."""
        if current.quiet_since is None or current.quiet_since == self._guessed_end:
            return None
        # A guess that can be stopped costs little where it is wrong.
        is_time = self._watch.position - current.quiet_since >= _GUESSED_PAUSE or self._desk.stops_soon
        return Utterance(current.start, current.quiet_since) if is_time else None

    def _guess_end(self, utterance: Utterance) -> None:
        if self._previewing is not None and self._desk.stops_soon:
            self._previewing.cancel()  # of what is over now; there is another step when it let go
        if self._desk.is_free:
            self._drop_guess()
            self._guess = _Guess(utterance, asyncio.create_task(self._hear_to_end(utterance)))

    async def _hear_to_end(self, utterance: Utterance) -> tuple[Transcript, Heard] | None:
        self._text_of(utterance.start)
        try:
            transcript, heard = await asyncio.gather(
                self._foresee(utterance, self._desk.may),
                self._voices.listen(self._trail, utterance.start, utterance.end),
                return_exceptions=True,
            )
            if not isinstance(transcript, Transcript) or not isinstance(heard, Heard):
                return None
            if self._is_news(utterance):
                self._show(utterance, transcript)
            return transcript, heard
        finally:
            self._changed.set()

    def _wants_preview(self, current: OpenUtterance) -> bool:
        if self._previewing is not None or not self._desk.has_room_for_previews:
            return False
        return current.quiet_since is None and self._text_of(current.start).is_due(self._watch.position)

    async def _preview(self, heard: Utterance) -> None:
        """Beside what is more urgent, which does not wait for it."""
        transcript = None
        try:
            transcript = await self._foresee(heard, self._desk.preview)
            if transcript is not None and self._is_news(heard):
                self._show(heard, transcript)
        except Exception:
            logger.exception("live speech could not be previewed")
        finally:
            if transcript is None and self._text is not None and self._text.start == heard.start:
                self._text.postpone(self._watch.position)
            self._previewing = None
            self._changed.set()

    def _is_news(self, heard: Utterance) -> bool:
        text = self._text
        if text is None or not text.start == heard.start >= self._done_until:
            return False
        return heard.end > text.heard_until

    def _text_of(self, start: int) -> GrowingText:
        if self._text is None or self._text.start != start:
            self._text = GrowingText(start, settles=self._desk.is_sooner_with_less)
        return self._text

    def _show(self, heard: Utterance, transcript: Transcript) -> None:
        hearing = self._text_of(heard.start).hear(transcript, heard.end, self._watch.position)
        if self._ended or not self._options.partials or not hearing.words:
            return
        stable = len(" ".join(hearing.words[: hearing.stable]))
        start_s, end_s = heard.start / SAMPLE_RATE_HZ, heard.end / SAMPLE_RATE_HZ
        self._tell(Partial(" ".join(hearing.words), stable, start_s, end_s))

    async def _foresee(self, utterance: Utterance, work: _Work) -> Transcript | None:
        try:
            return await self._transcribe([utterance], work)
        except ClearCastError:  # it is told of when it must be done
            return None

    async def _transcribe_at_last(self, utterances: list[Utterance]) -> Transcript:
        for attempt in itertools.count(1):
            try:
                transcript = await self._transcribe(utterances, self._desk.must)
                assert transcript is not None
                return transcript
            except ClearCastError as error:
                if not error.retryable or attempt == _ATTEMPTS:
                    raise
                await asyncio.sleep(_WAIT_S * attempt)
        raise AssertionError("unreachable")

    async def _transcribe(self, utterances: list[Utterance], work: _Work) -> Transcript | None:
        end = utterances[-1].end
        settled = self._settled_of(utterances[0])
        last = end if utterances[-1].goes_on else min(end + _MARGIN, self._trail.num_samples)
        clip, zero_s = self._trail.clip(settled.heard_from, last)
        options = TranscribeOptions(
            language=self._options.language,
            beam_size=1,  # soon rather than a little better
            is_live=True,
            voice_activity=False,
            speech=tuple(
                Span(
                    max(one.start, settled.heard_from) / SAMPLE_RATE_HZ - zero_s,
                    one.end / SAMPLE_RATE_HZ - zero_s,
                )
                for one in utterances
            ),
        )
        transcript = await work(clip, options)
        if transcript is None:
            return None
        return settled.followed_by(_moved(transcript, zero_s))

    def _settled_of(self, utterance: Utterance) -> Settled:
        """What is known of it already; for one that is new, the silence before it is heard as well."""
        text = self._text
        if text is not None and text.start == utterance.start:
            is_within = utterance.start < text.settled.until < utterance.end  # it may be cut before there
            if is_within:
                return text.settled
        is_new = self._done_until != utterance.start
        return Settled(max(self._done_until, utterance.start - _MARGIN) if is_new else utterance.start)

    def _lines_of(self, transcript: Transcript, parts: tuple[SpokenBy, ...]) -> list[Line]:
        assert self._started_at is not None
        lines = []
        for speaker, words, text in by_speaker(transcript, parts):
            number, self._next_line = self._next_line, self._next_line + 1
            start_s, end_s = words[0].start_s, words[-1].end_s
            lines.append(
                Line(
                    id=number,
                    text=text,
                    speaker=speaker,
                    start_s=start_s,
                    end_s=end_s,
                    at=self._started_at + timedelta(seconds=start_s),
                    language=transcript.language,
                    words=words,
                    made_by=transcript.provenance,
                )
            )
        return lines


def _moved(transcript: Transcript, zero_s: float) -> Transcript:
    """With all times later by `zero_s`."""

    def later(words: tuple[Word, ...]) -> tuple[Word, ...]:
        return tuple(
            replace(word, start_s=word.start_s + zero_s, end_s=word.end_s + zero_s) for word in words
        )

    segments = tuple(
        replace(one, start_s=one.start_s + zero_s, end_s=one.end_s + zero_s, words=later(one.words))
        for one in transcript.segments
    )
    return replace(transcript, segments=segments)
