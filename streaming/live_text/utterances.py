"""Where somebody begins and ends to speak, told while it happens.

What lives here: the rules that make utterances of a stream. What does not: the network that hears speech
(Silero, `clearcast.engines.voice_activity`), and what is done with utterances.

All positions are samples at 16 kHz since the stream began.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from clearcast.audio.recording import SAMPLE_RATE_HZ, FloatAudio
from clearcast.engines.voice_activity._segmenting import FRAME_SAMPLES
from streaming.live_text.options import SPEECH_THRESHOLDS, LiveOptions

# Speech goes on until it is this much less likely than it had to be to begin (Silero's own figure).
_HYSTERESIS = 0.15
# From this length on a segment ends at a pause between phrases, so that its text does not come late.
_LONG_S, _PHRASE_PAUSE_S = 3.5, 0.2
# The part of over-long speech, at its end, in which the quietest moment is looked for.
_SEARCHED_SHARE = 0.4


class FrameScorer(Protocol):
    """`clearcast.engines.voice_activity.silero.FrameScorer`, or what stands in for it."""

    def score(self, samples: FloatAudio) -> FloatAudio:
        """Speech probability of each frame of `FRAME_SAMPLES`, shape (n,)."""


@dataclass(frozen=True, slots=True)
class Utterance:
    """Speech in [start, end). `goes_on` where it was cut because it was long."""

    start: int
    end: int
    goes_on: bool = False


@dataclass(slots=True)
class OpenUtterance:
    """Speech that has begun.

    Attributes:
        start: where.
        quiet_since: where the pause began that lasts at present, or None.
    """

    start: int
    quiet_since: int | None = None
    levels: list[float] = field(default_factory=list)  # power of each frame since `start`


class UtteranceWatch:
    """Attributes:
    current: the utterance that goes on, or None.
    position: how far the stream was heard.
    """

    def __init__(self, scorer: FrameScorer, options: LiveOptions, first: int = 0) -> None:
        """The stream is heard from sample `first` on."""
        self.current: OpenUtterance | None = None
        self.position = first
        self._scorer = scorer
        self._begin = SPEECH_THRESHOLDS[options.voice_activity_mode]
        self._go_on = max(self._begin - _HYSTERESIS, 0.01)
        self._power = 10 ** (options.level_dbfs / 10)
        self._shortest = options.min_segment_s * SAMPLE_RATE_HZ
        self._longest = options.max_segment_s * SAMPLE_RATE_HZ
        self._silence = options.silence_s * SAMPLE_RATE_HZ
        self._waiting = np.zeros(0, np.float32)

    def push(self, samples: FloatAudio) -> list[Utterance]:
        """The utterances that ended in these samples, which follow those before."""
        waiting = np.concatenate((self._waiting, samples))
        whole = len(waiting) // FRAME_SAMPLES * FRAME_SAMPLES
        self._waiting = waiting[whole:]
        if not whole:
            return []
        frames = waiting[:whole].reshape(-1, FRAME_SAMPLES)
        powers = np.square(frames).mean(axis=1)
        closed = []
        for probability, power in zip(self._scorer.score(waiting[:whole]), powers, strict=True):
            ended = self._hear(float(probability), float(power))
            if ended is not None and ended.end - ended.start >= self._shortest:
                closed.append(ended)
        return closed

    def finish(self) -> list[Utterance]:
        """The utterance that goes on, ended here."""
        current, self.current = self.current, None
        if current is None:
            return []
        end = self.position + len(self._waiting) if current.quiet_since is None else current.quiet_since
        return [Utterance(current.start, end)] if end - current.start >= self._shortest else []

    def _hear(self, probability: float, power: float) -> Utterance | None:
        start, self.position = self.position, self.position + FRAME_SAMPLES
        is_open = self.current is not None
        is_speech = probability >= (self._go_on if is_open else self._begin) and power >= self._power
        if self.current is None:
            if is_speech:
                self.current = OpenUtterance(start, levels=[power])
            return None
        self.current.levels.append(power)
        if is_speech:
            self.current.quiet_since = None
            return self._cut_if_long(self.current)
        if self.current.quiet_since is None:
            self.current.quiet_since = start
        return self._close_if_quiet(self.current, self.current.quiet_since)

    def _close_if_quiet(self, current: OpenUtterance, quiet_since: int) -> Utterance | None:
        is_long = quiet_since - current.start > _LONG_S * SAMPLE_RATE_HZ
        needed = min(self._silence, _PHRASE_PAUSE_S * SAMPLE_RATE_HZ) if is_long else self._silence
        if self.position - quiet_since < needed:
            return None
        self.current = None
        return Utterance(current.start, quiet_since)

    def _cut_if_long(self, current: OpenUtterance) -> Utterance | None:
        if self.position - current.start < self._longest:
            return None
        first = round(len(current.levels) * (1 - _SEARCHED_SHARE))
        smooth = np.convolve(current.levels[first:], np.ones(3), mode="same")
        frame = first + int(np.argmin(smooth))
        cut = current.start + frame * FRAME_SAMPLES + FRAME_SAMPLES // 2
        self.current = OpenUtterance(cut, levels=current.levels[frame:])
        return Utterance(current.start, cut, goes_on=True)
