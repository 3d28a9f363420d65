"""Walking over speech in short overlapping windows, with a voiceprint of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from clearcast.audio.recording import Recording
from clearcast.engines.embed._voice_encoder import MelFrames
from clearcast.engines.embed.contract import Embedding
from clearcast.engines.embed.resemblyzer import FRAME_S, Resemblyzer, levelled
from clearcast.engines.engine import Progress
from clearcast.speech.turns import Span

NARROW_FRAMES = 100  # 1.0 s: fine enough for quick changes of speaker
WIDE_FRAMES = 160  # 1.6 s: what the network was trained on, surer of the voice
HOP_FRAMES = 20  # 0.2 s
THIN = 2  # speakers are counted on every second window, 0.4 s apart
COARSE_HOP_S = THIN * HOP_FRAMES * FRAME_S
SHORTEST_S = 0.15  # less speech than this has no voice to tell
LONGEST_S = 60.0  # of one stretch: bounds memory where somebody talks without a pause
FLUSH_WINDOWS = 512  # embedded together: about 15 MB of mel frames
# The network hears loudness as part of the voice. Bringing each window half-way (in decibels) to the common
# level tells speakers apart better than leaving it: 13.4 % DER against 15.5 on 48 hard mixed conversations
# of voices that the speaker space was not fitted on. All the way gave 13.6 %, no clear difference.
# (Measured with the clustering settings before the present ones.)
SPEECH_POWER = 0.0066  # mean mel power of speech at the level the network was trained on
LEVELLING = 0.5


@dataclass(frozen=True, slots=True)
class Windows:
    """Attributes:
    start_s, end_s: times, shape (n,), float64, sorted.
    stretch: index of the stretch of speech each lies in, shape (n,).
    embeddings: unit vectors, shape (n, 256), float32.
    """

    start_s: npt.NDArray[np.float64]
    end_s: npt.NDArray[np.float64]
    stretch: npt.NDArray[np.int64]
    embeddings: Embedding

    def __len__(self) -> int:
        return len(self.start_s)

    @property
    def middle_s(self) -> npt.NDArray[np.float64]:
        return np.asarray((self.start_s + self.end_s) / 2)


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a window lies: mel frames [first, last) of a stretch that begins at `origin_s`."""

    stretch: int
    origin_s: float
    first: int
    last: int


def stretches(speech: Sequence[Span]) -> tuple[Span, ...]:
    """The spans that are long enough to tell a voice, cut into pieces of bounded length."""
    pieces: list[Span] = []
    for span in speech:
        count = int(np.ceil(span.duration_s / LONGEST_S))
        edges = np.linspace(span.start_s, span.end_s, count + 1)
        pieces.extend(Span(float(a), float(b)) for a, b in pairwise(edges))
    return tuple(piece for piece in pieces if piece.duration_s >= SHORTEST_S)


def embed_windows(
    recording: Recording, speech: Sequence[Span], engine: Resemblyzer, progress: Progress
) -> tuple[Windows, Windows]:
    """(fine, coarse) windows over `speech`, as `stretches` gives it.

    Fine windows are narrow. Coarse ones are every second of them, and their embedding is the sum of the
    narrow window's and that of a wide one around it: sure of the voice and yet local. Memory is bounded but
    for the embeddings.
    """
    fine, coarse = _Collector(engine), _Collector(engine)
    for index, span in enumerate(speech):
        frames = engine.mel_frames(levelled(recording.read(span.start_s, span.end_s)))
        for number, first in enumerate(_firsts(len(frames))):
            place = _Place(index, span.start_s, first, min(first + NARROW_FRAMES, len(frames)))
            fine.add(place, frames[place.first : place.last])
            if number % THIN == 0:
                coarse.add(place, _around(frames, place))
        if fine.is_full or index + 1 == len(speech):
            fine.flush()
            coarse.flush()
            progress(span.end_s / recording.duration_s)
    narrow, wide = fine.windows(), coarse.windows()
    partner = np.flatnonzero(np.isin(narrow.start_s, wide.start_s))
    blended = wide.embeddings + narrow.embeddings[partner]
    blended /= np.linalg.norm(blended, axis=1, keepdims=True)
    return narrow, Windows(wide.start_s, wide.end_s, wide.stretch, blended)


def _firsts(count: int) -> list[int]:
    """First frames of the narrow windows in a stretch of `count` frames; a short stretch is one window."""
    if count <= NARROW_FRAMES:
        return [0]
    firsts = list(range(0, count - NARROW_FRAMES + 1, HOP_FRAMES))
    if firsts[-1] + NARROW_FRAMES < count - HOP_FRAMES // 2:
        firsts.append(count - NARROW_FRAMES)
    return firsts


def _around(frames: MelFrames, place: _Place) -> MelFrames:
    """The wide window centred on a narrow one, moved to stay within the stretch."""
    first = (place.first + place.last - WIDE_FRAMES) // 2
    first = max(0, min(first, len(frames) - WIDE_FRAMES))
    return frames[first : first + WIDE_FRAMES]


class _Collector:
    """Windows that wait to be embedded together, and those that were."""

    def __init__(self, engine: Resemblyzer) -> None:
        self._engine = engine
        self._places: list[_Place] = []
        self._waiting: list[MelFrames] = []
        self._done: list[Embedding] = [np.zeros((0, engine.dimension), np.float32)]

    @property
    def is_full(self) -> bool:
        return len(self._waiting) >= FLUSH_WINDOWS

    def add(self, place: _Place, frames: MelFrames) -> None:
        self._places.append(place)
        gain = (SPEECH_POWER / max(float(frames.mean()), 1e-9)) ** LEVELLING
        self._waiting.append(np.asarray(frames * gain, np.float32))

    def flush(self) -> None:
        self._done.append(self._engine.embed_windows(self._waiting))
        self._waiting = []

    def windows(self) -> Windows:
        """What was collected; the collector is spent then."""
        places = self._places
        return Windows(
            np.asarray([place.origin_s + place.first * FRAME_S for place in places], np.float64),
            np.asarray([place.origin_s + place.last * FRAME_S for place in places], np.float64),
            np.asarray([place.stretch for place in places], np.int64),
            self._joined(),
        )

    def _joined(self) -> Embedding:
        """All embeddings; the parts are let go one by one, so that hours of them are in memory once."""
        joined = np.empty((sum(map(len, self._done)), self._engine.dimension), np.float32)
        place = len(joined)
        while self._done:
            part = self._done.pop()
            joined[place - len(part) : place] = part
            place -= len(part)
        return joined
