"""Crowded stretches taken apart by a model that separates voices, window by window.

What lives here: the windows, which of the model's streams is the wanted voice, how loud it is in each
channel and how the windows join. What does not: the model (`sepformer`).

A window is a stretch with a second of context on both sides; stretches of more than eight seconds are cut
into equal pieces, each with its own context, that blend over half a second. Memory holds the windows that
reach into one block of the recording, however long the stretches.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from clearcast.audio.chunk import FloatSamples
from clearcast.audio.recording import SAMPLE_RATE_HZ, FloatAudio
from clearcast.audio.sinc import resample
from clearcast.audio.sound import SoundReader
from clearcast.engines.embed.contract import EmbeddingEngine
from clearcast.engines.extract._gate import FADE_S, Gate
from clearcast.engines.extract.contract import Embed, ExtractOrder
from clearcast.speech.extraction import Passage
from clearcast.speech.turns import Span

CONTEXT_S = 1.0
WINDOW_S = 10.0  # the longest, context included: what a network holds in memory grows with it
JOIN_S = 0.5

Levels = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class SeparatingModel:
    """Attributes:
    rate_hz: at which it hears.
    separate: a mix, float32 of shape (n,), to its voices in no fixed order, float32 (n, voices), each of
        any scale.
    """

    rate_hz: int
    separate: Callable[[FloatAudio], FloatSamples]


@dataclass(frozen=True, slots=True)
class Window:
    """What goes through the model at once; all places are samples of the recording.

    Attributes:
        stretch: index of the crowded stretch it belongs to.
        start, stop: what the model hears, context included.
        first, last: the piece of the stretch it is for.
        joins_before, joins_after: whether another piece of the same stretch lies there.
    """

    stretch: int
    start: int
    stop: int
    first: int
    last: int
    joins_before: bool
    joins_after: bool


def plan_windows(stretches: Sequence[Span], sample_rate_hz: int, num_samples: int) -> list[Window]:
    """The windows of all stretches, as far as they lie in a recording of that length."""
    context = round(CONTEXT_S * sample_rate_hz)
    longest = (WINDOW_S - 2 * CONTEXT_S) * sample_rate_hz
    windows: list[Window] = []
    for index, stretch in enumerate(stretches):
        first = round(stretch.start_s * sample_rate_hz)
        last = min(round(stretch.end_s * sample_rate_hz), num_samples)
        if last <= first:
            continue
        pieces = math.ceil((last - first) / longest)
        edges = [first + (last - first) * piece // pieces for piece in range(pieces + 1)]
        windows += [
            Window(
                stretch=index,
                start=max(0, edges[piece] - context),
                stop=min(num_samples, edges[piece + 1] + context),
                first=edges[piece],
                last=edges[piece + 1],
                joins_before=piece > 0,
                joins_after=piece < pieces - 1,
            )
            for piece in range(pieces)
        ]
    return windows


def levels_of(streams: FloatSamples, sound: FloatSamples) -> Levels:
    """How loud each stream is in each channel: the coefficients ≥ 0 with which the streams, added up, come
    nearest to the channel (non-negative least squares; Lawson and Hanson, 1974).

    Streams of shape (n, voices), sound of shape (n, channels); returns shape (channels, voices).
    """
    from scipy.optimize import nnls

    basis, triangle = np.linalg.qr(streams.astype(np.float64))
    targets = basis.T @ sound
    return np.stack([nnls(triangle, targets[:, channel])[0] for channel in range(sound.shape[1])])


class Untangler:
    """The wanted voice in the crowded stretches of one recording.

    Attributes:
        total_samples: length of all windows.
        heard_samples: of those that went through the model so far.
    """

    def __init__(
        self, reader: SoundReader, order: ExtractOrder, embed: Embed, model: SeparatingModel
    ) -> None:
        self._reader, self._order, self._embed, self._model = reader, order, embed, model
        rate_hz = reader.sample_rate_hz
        self._gates = [Gate([stretch], rate_hz) for stretch in order.crowded]
        self._fade, self._half_join = round(FADE_S * rate_hz), max(1, round(JOIN_S * rate_hz / 2))
        windows = plan_windows(order.crowded, rate_hz, reader.num_samples)
        self._waiting = sorted(windows, key=self._opens, reverse=True)
        self._ready: list[tuple[int, FloatSamples]] = []  # first sample, and what is added there
        self._scores: dict[int, list[tuple[float | None, int]]] = {}  # of the pieces, with their lengths
        self.total_samples = sum(window.stop - window.start for window in windows)
        self.heard_samples = 0

    def advance(self, stop: int) -> Iterator[None]:
        """Separate the windows that are heard before sample `stop`; yields after each of them."""
        while self._waiting and self._opens(self._waiting[-1]) < stop:
            window = self._waiting.pop()
            voice, score = self._voice(window)
            low, high = self._opens(window), self._closes(window)
            gains = self._gains(window, low, high)[:, np.newaxis]
            self._ready.append((low, voice[low - window.start : high - window.start] * gains))
            self._scores.setdefault(window.stretch, []).append((score, window.last - window.first))
            self.heard_samples += window.stop - window.start
            yield

    def add_to(self, block: FloatSamples, start: int) -> None:
        """Add the voice to samples from `start` on, shape (n, channels), up to which it was advanced.

        What lies before `start` is forgotten.
        """
        stop = start + len(block)
        self._ready = [(low, voice) for low, voice in self._ready if low + len(voice) > start]
        for low, voice in self._ready:
            first, last = max(low, start), min(low + len(voice), stop)
            if first < last:
                block[first - start : last - start] += voice[first - low : last - low]

    def passages(self) -> list[Passage]:
        """What became of the stretches, once all was advanced. The score of a stretch of several pieces is
        their mean by length."""
        bandwidth_hz = min(self._reader.sample_rate_hz, self._model.rate_hz) // 2
        found: list[Passage] = []
        for index, pieces in sorted(self._scores.items()):
            span = self._order.crowded[index]
            known = [(score, length) for score, length in pieces if score is not None]
            if len(known) < len(pieces):
                found.append(Passage(span.start_s, span.end_s, "crowded"))
                continue
            total = sum(length for _, length in known)
            score = sum(score * length for score, length in known) / total
            found.append(Passage(span.start_s, span.end_s, "untangled", score, bandwidth_hz))
        return found

    def _voice(self, window: Window) -> tuple[FloatSamples, float | None]:
        """The wanted voice in a window, shape (stop - start, channels), and its cosine.

        A recording too short for a voiceprint is left as it is, and its score is None.
        """
        rate_hz, model = self._reader.sample_rate_hz, self._model
        sound = self._reader.read(window.start, window.stop)
        heard = resample(sound, rate_hz, model.rate_hz)
        if len(heard) * SAMPLE_RATE_HZ // model.rate_hz < EmbeddingEngine.min_speech_s * SAMPLE_RATE_HZ:
            return sound, None
        mix = heard.mean(axis=1, dtype=np.float32)
        streams = model.separate(mix)
        cosines = self._embed(self._utterances(streams, mix)) @ self._order.voiceprint
        best = int(np.argmax(cosines))
        gains = levels_of(streams, heard)[:, best].astype(np.float32)
        voice = resample(streams[:, best : best + 1], model.rate_hz, rate_hz, len(sound))
        return voice * gains, float(cosines[best])

    def _utterances(self, streams: FloatSamples, mix: FloatAudio) -> list[FloatAudio]:
        """The streams as voiceprints are made of them, and as loud as the mix."""
        wanted = float(np.sqrt(np.mean(np.square(mix, dtype=np.float64))))
        found = np.sqrt(np.mean(np.square(streams, dtype=np.float64), axis=0))
        levelled = streams * (wanted / np.maximum(found, 1e-9)).astype(np.float32)
        return list(resample(levelled, self._model.rate_hz, SAMPLE_RATE_HZ).T)

    def _opens(self, window: Window) -> int:
        """The first sample at which a window may be heard in the result."""
        return max(window.start, window.first - (self._half_join if window.joins_before else self._fade))

    def _closes(self, window: Window) -> int:
        return min(window.stop, window.last + (self._half_join if window.joins_after else self._fade))

    def _gains(self, window: Window, start: int, stop: int) -> FloatSamples:
        """Those of the stretch's gate, shared out between pieces that join."""
        gains = self._gates[window.stretch].gains(start, stop)
        places = np.arange(start, stop)
        if window.joins_before:
            gains *= self._ramp(places - window.first)
        if window.joins_after:
            gains *= 1.0 - self._ramp(places - window.last)
        return gains

    def _ramp(self, distances: npt.NDArray[np.int64]) -> FloatSamples:
        """From 0 to 1 around a join. Linear: both pieces hold the same sound there, made twice."""
        ramp = (distances + 0.5) / (2 * self._half_join) + 0.5
        return np.clip(ramp, 0.0, 1.0).astype(np.float32)
