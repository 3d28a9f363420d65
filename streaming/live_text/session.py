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
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from clearcast.audio.recording import SAMPLE_RATE_HZ, FloatAudio
from clearcast.engines.transcribe.contract import TranscribeOptions
from clearcast.errors import ClearCastError
from clearcast.speech.transcript import Transcript, Word, join_words
from clearcast.speech.turns import Span
from streaming.live_text.agreement import Agreement, without_loops
from streaming.live_text.desk import RecognitionDesk
from streaming.live_text.lines import Failed, Lag, Line, LiveEvent, Partial, Speaker
from streaming.live_text.options import LiveOptions
from streaming.live_text.sound import SoundTrail
from streaming.live_text.speakers import Heard, SpokenBy, VoicesHeard
from streaming.live_text.utterances import OpenUtterance, Utterance, UtteranceWatch

logger = logging.getLogger(__name__)

_MARGIN = SAMPLE_RATE_HZ // 2  # of silence around speech: recognisers expect some
_FIRST_PREVIEW = round(0.7 * SAMPLE_RATE_HZ)
_PREVIEW_STEP = round(1.5 * SAMPLE_RATE_HZ)
_EMPTY_STEP = round(0.4 * SAMPLE_RATE_HZ)  # after a preview without a word
_GUESSED_PAUSE = round(0.12 * SAMPLE_RATE_HZ)  # a pause this long may be the end
BEHIND_S, CAUGHT_UP_S = 4.0, 1.0
_FAR_BEHIND_S = 60.0
_MOST_AT_A_TIME_S = 25.0
_ATTEMPTS, _WAIT_S = 4, 0.5  # where the recogniser is overloaded or being replaced


@dataclass(frozen=True, slots=True)
class _Guess:
    """What an utterance is that may have ended."""

    start: int
    end: int
    transcript: Transcript
    heard: Heard


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
        self._guessed_pause: int | None = None
        self._agreement = Agreement()
        self._preview_at = 0
        self._previewed: int | None = None  # start of the utterance that `_agreement` is about
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
        self._worker.cancel()
        await asyncio.gather(self._worker, return_exceptions=True)
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
        self._trail.forget(self._done_until - _MARGIN)
        if self._ended:
            await self._settle(self._next_ended())
            return True
        current = self._watch.current
        if current is None:
            self._trail.forget(self._trail.num_samples - _MARGIN)
            return False
        if self._is_behind or not self._desk.is_free:
            return False
        if self._may_have_ended(current):
            return await self._guess_end(current)
        return self._options.partials and await self._preview(current)

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
            known = self._guessed(utterances)
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

    def _guessed(self, utterances: list[Utterance]) -> tuple[Transcript, Heard] | None:
        guess, self._guess = self._guess, None
        if guess is None or len(utterances) != 1:
            return None
        same = (guess.start, guess.end) == (utterances[0].start, utterances[0].end)
        return (guess.transcript, guess.heard) if same else None

    def _may_have_ended(self, current: OpenUtterance) -> bool:
        if current.quiet_since is None or current.quiet_since == self._guessed_pause:
            return False
        return self._watch.position - current.quiet_since >= _GUESSED_PAUSE

    async def _guess_end(self, current: OpenUtterance) -> bool:
        assert current.quiet_since is not None
        self._guessed_pause = current.quiet_since
        utterance = Utterance(current.start, current.quiet_since)
        seen = await asyncio.gather(
            self._foresee(utterance),
            self._voices.listen(self._trail, utterance.start, utterance.end),
            return_exceptions=True,
        )
        transcript, heard = seen
        if isinstance(transcript, Transcript) and isinstance(heard, Heard):
            self._guess = _Guess(utterance.start, utterance.end, transcript, heard)
            self._show(utterance, transcript)
        return True

    async def _preview(self, current: OpenUtterance) -> bool:
        self._begin_previews(current.start)
        if self._watch.position < self._preview_at or current.quiet_since is not None:
            return False
        heard = Utterance(current.start, self._watch.position)
        transcript = await self._foresee(heard)
        if transcript is not None:
            self._show(heard, transcript)
        else:  # a recogniser that fails is not asked without a rest
            self._preview_at = self._watch.position + _EMPTY_STEP
        return True

    def _begin_previews(self, start: int) -> None:
        if self._previewed != start:
            self._agreement, self._previewed = Agreement(), start
            self._preview_at = start + _FIRST_PREVIEW

    def _show(self, heard: Utterance, transcript: Transcript) -> None:
        """A preview; not the next one before so much more was said that it is worth it, and the desk had a
        rest of three times as long as this one took."""
        took = self._watch.position - heard.end
        self._begin_previews(heard.start)
        step = _PREVIEW_STEP if transcript.text else _EMPTY_STEP
        self._preview_at = heard.end + max(step, 4 * took)
        if self._ended or not self._options.partials:
            return
        hearing = self._agreement.hear(transcript.text.split())
        stable = len(" ".join(hearing.words[: hearing.stable]))
        start_s, end_s = heard.start / SAMPLE_RATE_HZ, heard.end / SAMPLE_RATE_HZ
        if hearing.words:
            self._tell(Partial(" ".join(hearing.words), stable, start_s, end_s))

    async def _foresee(self, utterance: Utterance) -> Transcript | None:
        try:
            return await self._transcribe([utterance], must=False)
        except ClearCastError:  # it is told of when it must be done
            return None

    async def _transcribe_at_last(self, utterances: list[Utterance]) -> Transcript:
        for attempt in itertools.count(1):
            try:
                transcript = await self._transcribe(utterances, must=True)
                assert transcript is not None
                return transcript
            except ClearCastError as error:
                if not error.retryable or attempt == _ATTEMPTS:
                    raise
                await asyncio.sleep(_WAIT_S * attempt)
        raise AssertionError("unreachable")

    async def _transcribe(self, utterances: list[Utterance], *, must: bool) -> Transcript | None:
        start, end = utterances[0].start, utterances[-1].end
        first = start if self._done_until == start else max(self._done_until, start - _MARGIN)
        last = end if utterances[-1].goes_on else min(end + _MARGIN, self._trail.num_samples)
        clip, zero_s = self._trail.clip(first, last)
        options = TranscribeOptions(
            language=self._options.language,
            beam_size=1,  # soon rather than a little better
            voice_activity=False,
            speech=tuple(
                Span(one.start / SAMPLE_RATE_HZ - zero_s, one.end / SAMPLE_RATE_HZ - zero_s)
                for one in utterances
            ),
        )
        work = self._desk.must if must else self._desk.may
        transcript = await work(clip, options)
        return None if transcript is None else _moved(transcript, zero_s)

    def _lines_of(self, transcript: Transcript, parts: tuple[SpokenBy, ...]) -> list[Line]:
        assert self._started_at is not None
        lines = []
        for speaker, words, text in _by_speaker(transcript, parts):
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


def _by_speaker(
    transcript: Transcript, parts: tuple[SpokenBy, ...]
) -> list[tuple[Speaker | None, tuple[Word, ...], str]]:
    """The words in runs of one voice. A segment without word times is one word of its own."""
    runs: list[tuple[Speaker | None, list[Word]]] = []
    for segment in transcript.segments:
        for word in segment.words or (Word(segment.start_s, segment.end_s, segment.text),):
            speaker = _at((word.start_s + word.end_s) / 2, parts)
            if runs and _id_of(runs[-1][0]) == _id_of(speaker):
                runs[-1][1].append(word)
            else:
                runs.append((speaker, [word]))
    found = []
    for speaker, words in runs:
        text = join_words(tuple(words))
        kept = without_loops(text.split())
        found.append((speaker, tuple(words), text if len(kept) == len(text.split()) else " ".join(kept)))
    return found


def _id_of(speaker: Speaker | None) -> int | None:
    return None if speaker is None else speaker.id


def _at(moment_s: float, parts: tuple[SpokenBy, ...]) -> Speaker | None:
    for part in parts:
        if moment_s < part.span.end_s:
            return part.speaker
    return parts[-1].speaker
