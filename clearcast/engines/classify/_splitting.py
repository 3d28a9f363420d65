"""Where words begin and end: stretches of sound between silences, as frames come.

What lives here: the rules, and the state machine that applies them to a file or a live stream alike. What
does not: what the words are (`_stream` asks the network).

By default silence is what does not rise above the noise. In each of 16 bands of the spectrum, the level
that three in ten of the last three seconds' frames stay under is the noise floor. A frame's score is by how
much the eight bands that stand out most stand above theirs, in dB on average, none counted beyond 20. A
word begins at 9 and ends below 7. Bands find "s" and "f" in noise that is louder than they are, and vowels
in hiss; a fixed level for the whole spectrum (the other way, `silence_db`) fails in both. Noise floors by
order statistics: Stahl, Fischer and Bippus, 2000. The figures were found on digit strings in noise.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from clearcast.audio.recording import SAMPLE_RATE_HZ
from clearcast.engines.classify._features import HOP_SAMPLES, MEL_BANDS, Frames

_BANDS = 16
_MOST_DB = 20.0
_LOUDEST_BANDS = 8
_BEGINS_DB, _ENDS_DB = 9.0, 7.0
_FLOOR_PERCENT = 30
_FLOOR_FRAMES = 300
_FLOOR_EVERY = 10  # frames between looks at the floor
_SMOOTHED = 3  # frames; the noise of one frame alone is no word
_FAINTEST_DBFS = -75.0  # under this nothing is a word: the flicker of the last bits of silence
_EARLY_FRAMES = 5  # 50 ms of silence: longer than most stops inside words

FRAMES_PER_S = SAMPLE_RATE_HZ // HOP_SAMPLES


@dataclass(frozen=True, slots=True)
class SplitRules:
    """Attributes:
    min_silence_s: a pause this long ends a word.
    silence_db: level of a frame (RMS, dBFS) below which it is silent; None finds it out.
    min_word_s: shorter sounds are dropped.
    window_s: longer stretches are cut, where they are quietest.
    settle_s: the first so many seconds are heard before anything in them is judged.
    """

    min_silence_s: float
    silence_db: float | None
    min_word_s: float
    window_s: float
    settle_s: float


@dataclass(frozen=True, slots=True)
class Boundary:
    """A word in frames, half-open. Not final: it seems to be over; it may go on, or be told again."""

    start: int
    end: int
    is_final: bool


class WordSplitter:
    """Takes frames in order and gives each word once its end is known, and once before when it seems so."""

    def __init__(self, rules: SplitRules) -> None:
        self.rules = rules
        self._min_silence = max(1, round(rules.min_silence_s * FRAMES_PER_S))
        self._min_word = max(1, round(rules.min_word_s * FRAMES_PER_S))
        self._window = round(rules.window_s * FRAMES_PER_S)
        self._settle = round(rules.settle_s * FRAMES_PER_S)
        self._position = 0
        self._bands: deque[npt.NDArray[np.float32]] = deque(maxlen=_FLOOR_FRAMES)
        self._floor = np.zeros(_BANDS, np.float32)
        self._is_settled = False
        self._waiting: list[tuple[npt.NDArray[np.float32], float]] = []  # until the floor is known
        self._recent: deque[npt.NDArray[np.float32]] = deque(maxlen=_SMOOTHED)
        self._start: int | None = None
        self._quiet = 0
        self._scores: list[float] = []  # since the start of the word

    @property
    def open_since(self) -> int:
        """The frame in which the word began that goes on; of frames not judged yet, the first."""
        return self._position if self._start is None else self._start

    def push(self, frames: Frames, levels_dbfs: npt.NDArray[np.float32]) -> list[Boundary]:
        """The boundaries found in the next frames, shape (n, MEL_BANDS), and their levels, shape (n,)."""
        grouped = frames.reshape(len(frames), _BANDS, MEL_BANDS // _BANDS).mean(axis=2)
        self._waiting.extend(zip(grouped, levels_dbfs.tolist(), strict=True))
        if not self._is_settled and len(self._waiting) < self._settle:
            return []
        return self._judge_waiting()

    def finish(self) -> list[Boundary]:
        """What is known now that nothing more will come."""
        found = self._judge_waiting()
        if self._start is not None:
            found += self._word(self._start, self._position - self._quiet)
            self._start = None
        return found

    def _judge_waiting(self) -> list[Boundary]:
        if not self._waiting:
            return []
        if not self._is_settled:
            self._is_settled = True
            self._bands.extend(bands for bands, _ in self._waiting)
            self._floor = self._measured_floor()
            self._bands.clear()
        found: list[Boundary] = []
        for bands, level_dbfs in self._waiting:
            self._bands.append(bands)
            if self._position % _FLOOR_EVERY == 0 and len(self._bands) > self._settle:
                self._floor = self._measured_floor()
            found += self._take(self._score(bands, level_dbfs))
            self._position += 1
        self._waiting.clear()
        return found

    def _measured_floor(self) -> npt.NDArray[np.float32]:
        return np.percentile(np.stack(self._bands), _FLOOR_PERCENT, axis=0).astype(np.float32)

    def _score(self, bands: npt.NDArray[np.float32], level_dbfs: float) -> float:
        """How far the frame is above silence, in dB; for a fixed level 20 or 0."""
        if self.rules.silence_db is not None:
            return _MOST_DB if level_dbfs >= self.rules.silence_db else 0.0
        self._recent.append(bands)
        if level_dbfs < _FAINTEST_DBFS:
            return 0.0
        above = np.clip(sum(self._recent) / len(self._recent) - self._floor, 0.0, _MOST_DB)
        return float(np.sort(above)[-_LOUDEST_BANDS:].mean())

    def _take(self, score: float) -> list[Boundary]:
        if self._start is None:
            if score >= _BEGINS_DB:
                self._start, self._quiet, self._scores = self._position, 0, [score]
            return []
        self._scores.append(score)
        if score >= _ENDS_DB:
            self._quiet = 0
            return self._cut() if self._position + 1 - self._start >= self._window else []
        self._quiet += 1
        end = self._position + 1 - self._quiet
        if self._quiet >= self._min_silence:
            found, self._start = self._word(self._start, end), None
            return found
        if self._quiet == _EARLY_FRAMES and end - self._start >= self._min_word:
            return [Boundary(self._start, end, is_final=False)]
        return []

    def _cut(self) -> list[Boundary]:
        """End a stretch that has grown too long at the quietest place of its second half."""
        assert self._start is not None
        half = len(self._scores) // 2
        place = half + int(np.argmin(self._scores[half:]))
        found = self._word(self._start, self._start + place)
        self._start, self._scores = self._start + place, self._scores[place:]
        return found

    def _word(self, start: int, end: int) -> list[Boundary]:
        return [Boundary(start, end, is_final=True)] if end - start >= self._min_word else []
