"""Keywords in a stream of sound: from samples to words with labels, in files and live alike.

What lives here: `KeywordStream`. What does not: splitting (`_splitting`), the network (the engine), and
where samples come from.

What is kept is at most the word that goes on and the silence around it, so that memory does not grow.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from clearcast.audio.recording import SAMPLE_RATE_HZ, FloatAudio
from clearcast.engines.classify._features import FRAME_SAMPLES, HOP_SAMPLES, MEL_BANDS, Frames, mel_frames
from clearcast.engines.classify._splitting import FRAMES_PER_S, Boundary, SplitRules, WordSplitter
from clearcast.speech.keywords import SILENCE, UNKNOWN, SpottedWord

# On both sides of a word, as far as the pause goes: in noise the beginning of "h" and the end of "f" are
# under the floor. In pink noise at 10 dB SNR, 100 ms left twice as many errors.
PAD_S = 0.2

Recognise = Callable[[Frames, int, int], tuple[str, float]]
"""The label of a word, "unknown" and "silence" among them, and its probability. It is given the word's
frames with what surrounds them, and how many frames are before the word and how many behind it."""


@dataclass(frozen=True, slots=True)
class Heard:
    """A word of a live stream.

    Attributes:
        is_final: False 50 ms after the word seems to be over. The final one follows, the same or another,
            when the pause has become long enough, or when the word went on.
        is_taken_back: the final one after all is none that is told: "unknown", or "silence".
    """

    word: SpottedWord
    is_final: bool
    is_taken_back: bool = False


class KeywordStream:
    """Takes float32 mono at 16 kHz in pieces of any length. Not safe for several threads.

    Args:
        recognise: what a word is.
        rules: where words begin and end.
        keep_unknown: whether other words than keywords are told too, as "unknown".
    """

    def __init__(self, recognise: Recognise, rules: SplitRules, *, keep_unknown: bool = False) -> None:
        self._recognise = recognise
        self._splitter = WordSplitter(rules)
        self._keep_unknown = keep_unknown
        self._pad = round(min(PAD_S, rules.min_silence_s) * FRAMES_PER_S)
        self._samples = np.zeros(0, np.float32)  # less than a frame
        self._frames = np.zeros((0, MEL_BANDS), np.float32)
        self._first = 0  # which frame of the stream the first one kept is
        self._last_end = 0
        self._is_told = False  # the word that goes on, though its end is not certain

    def push(self, samples: FloatAudio) -> list[Heard]:
        """The words that ended, or seem to have ended, in the next samples, shape (n,)."""
        self._samples = np.concatenate([self._samples, samples])
        frames = mel_frames(self._samples)
        if len(frames) == 0:
            return []
        levels = levels_dbfs(self._samples, len(frames))
        self._samples = self._samples[len(frames) * HOP_SAMPLES :]
        self._frames = np.concatenate([self._frames, frames])
        heard = self._recognised(self._splitter.push(frames, levels))
        needed = max(self._first, self._splitter.open_since - self._pad)
        self._frames, self._first = self._frames[needed - self._first :], needed
        return heard

    def finish(self) -> list[Heard]:
        """The words that the end of the stream ends."""
        return self._recognised(self._splitter.finish())

    def _recognised(self, boundaries: list[Boundary]) -> list[Heard]:
        heard = []
        for boundary in boundaries:
            first = max(self._last_end, boundary.start - self._pad, self._first)
            frames = self._frames[first - self._first : boundary.end + self._pad - self._first]
            before = boundary.start - first
            behind = len(frames) - before - (boundary.end - boundary.start)
            label, probability = self._recognise(frames, before, behind)
            is_told = label != SILENCE and (label != UNKNOWN or self._keep_unknown)
            if is_told or (boundary.is_final and self._is_told):
                word = _word(boundary, label, probability)
                heard.append(Heard(word, boundary.is_final, is_taken_back=not is_told))
            if boundary.is_final:
                self._last_end = boundary.end
            self._is_told = not boundary.is_final and (is_told or self._is_told)
        return heard


def _word(boundary: Boundary, label: str, probability: float) -> SpottedWord:
    start = boundary.start * HOP_SAMPLES
    end = (boundary.end - 1) * HOP_SAMPLES + FRAME_SAMPLES
    return SpottedWord(start / SAMPLE_RATE_HZ, end / SAMPLE_RATE_HZ, label, probability)


def levels_dbfs(samples: FloatAudio, count: int) -> npt.NDArray[np.float32]:
    """RMS of each frame, shape (count,)."""
    if count == 0:
        return np.zeros(0, np.float32)
    windows = np.lib.stride_tricks.sliding_window_view(samples, FRAME_SAMPLES)[::HOP_SAMPLES][:count]
    power = np.einsum("fs,fs->f", windows, windows) / FRAME_SAMPLES
    return np.asarray(10.0 * np.log10(power + 1e-12), np.float32)
