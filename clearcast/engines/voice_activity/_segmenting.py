"""From speech probabilities to stretches of speech: hysteresis, shortest lengths, padding.

What lives here: the rules Silero's authors use to cut speech out of a row of frame probabilities, as a
state machine that takes frames as they come (a file, or a live stream) and a function for the padding. What
does not: the network that makes the probabilities.

All positions are in samples at 16 kHz, counted from the start of the recording; spans are half-open.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

from clearcast.audio.recording import SAMPLE_RATE_HZ

FRAME_SAMPLES = 512  # 32 ms: what Silero's network scores at a time at 16 kHz
SampleSpan = tuple[int, int]

# A pause this long is a place where over-long speech may be cut (Silero's own figure).
_CUT_PAUSE_SAMPLES = 0.098 * SAMPLE_RATE_HZ


@dataclass(frozen=True, slots=True)
class SpeechRules:
    """How probabilities become spans.

    Attributes:
        threshold: speech begins at a frame of at least this probability.
        min_silence_s: a pause shorter than this does not end a span.
        min_speech_s: spans that are not longer than this are dropped.
        pad_s: spans grow by this on both sides, or meet half-way where the pause is too short for that.
        max_speech_s: longer spans are cut, at a short pause if there was one.
    """

    threshold: float
    min_silence_s: float
    min_speech_s: float
    pad_s: float
    max_speech_s: float = math.inf

    @property
    def release(self) -> float:
        """Speech goes on until a frame falls below this probability."""
        return max(self.threshold - 0.15, 0.01)


class SpeechSegmenter:
    """Takes frame probabilities in order and gives each span, unpadded, once its end is known."""

    def __init__(self, rules: SpeechRules) -> None:
        self.rules = rules
        self._min_silence = rules.min_silence_s * SAMPLE_RATE_HZ
        self._min_speech = rules.min_speech_s * SAMPLE_RATE_HZ
        self._max_speech = (
            rules.max_speech_s * SAMPLE_RATE_HZ - FRAME_SAMPLES - 2 * rules.pad_s * SAMPLE_RATE_HZ
        )
        self._position = 0
        self._closed: list[SampleSpan] = []
        self._forget()

    def _forget(self) -> None:
        """Nobody speaks."""
        self._start: int | None = None
        self._speak_from(None)

    def _speak_from(self, start: int | None) -> None:
        self._start = start
        self._quiet_since: int | None = None  # where the pause began that goes on at present
        self._last_pause: int | None = None  # start of the last pause long enough to cut at
        self._resumed: int | None = None  # where speech went on after it

    def push(self, probabilities: Iterable[float]) -> list[SampleSpan]:
        """Take the next frames and give the spans that ended in them."""
        self._closed = []
        for probability in probabilities:
            self._take(float(probability))
            self._position += FRAME_SAMPLES
        return self._closed

    def finish(self, num_samples: int) -> list[SampleSpan]:
        """The span still open at the end of a recording of `num_samples`, if there is one."""
        start = self._start
        self._forget()
        if start is None or num_samples - start <= self._min_speech:
            return []
        return [(start, num_samples)]

    def _take(self, probability: float) -> None:
        is_speech = probability >= self.rules.threshold
        if is_speech and self._quiet_since is not None:
            self._quiet_since = None
            if self._last_pause is not None and self._resumed is None:
                self._resumed = self._position
        if self._start is None:
            if is_speech:
                self._speak_from(self._position)
            return
        if self._position - self._start > self._max_speech:
            self._cut(self._start)
        if self._start is not None and probability < self.rules.release:
            self._hear_pause(self._start)

    def _cut(self, start: int) -> None:
        """End speech that has grown too long at its last pause, or here when it had none."""
        if self._last_pause is None:
            self._closed.append((start, self._position))
            self._forget()
        else:
            self._closed.append((start, self._last_pause))
            self._speak_from(self._resumed)

    def _hear_pause(self, start: int) -> None:
        if self._quiet_since is None:
            self._quiet_since = self._position
        quiet = self._position - self._quiet_since
        if quiet > _CUT_PAUSE_SAMPLES and self._last_pause != self._quiet_since:
            self._last_pause, self._resumed = self._quiet_since, None
        if quiet >= self._min_silence:
            if self._quiet_since - start > self._min_speech:
                self._closed.append((start, self._quiet_since))
            self._forget()


def padded(spans: list[SampleSpan], num_samples: int, pad_s: float) -> list[SampleSpan]:
    """Spans widened by `pad_s` on both sides; two neighbours share a pause that is too short for both."""
    pad = pad_s * SAMPLE_RATE_HZ
    wide: list[SampleSpan] = []
    start = max(0, int(spans[0][0] - pad)) if spans else 0
    for (_, end), (next_start, _) in pairwise(spans):
        pause = next_start - end
        if pause < 2 * pad:
            wide.append((start, end + pause // 2))
            start = max(0, next_start - pause // 2)
        else:
            wide.append((start, int(min(num_samples, end + pad))))
            start = int(max(0, next_start - pad))
    if spans:
        wide.append((start, int(min(num_samples, spans[-1][1] + pad))))
    return wide
