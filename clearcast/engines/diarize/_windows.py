"""Walking over speech in short overlapping windows, with a voiceprint of each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from clearcast.audio.recording import Recording
from clearcast.engines.embed.contract import Embedding
from clearcast.engines.embed.resemblyzer import FRAME_S, MelFrames, Resemblyzer, levelled
from clearcast.engines.engine import Progress
from clearcast.speech.turns import Span

WINDOW_FRAMES = 160  # 1.6 s: what the network was trained on
HOP_FRAMES = 20  # 0.2 s
SHORTEST_S = 0.15  # less speech than this has no voice to tell
LONGEST_S = 60.0  # of one stretch: bounds memory where somebody talks without a pause
FLUSH_WINDOWS = 512  # embedded together: 13 MB of mel frames


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

    def thinned(self, step: int) -> Windows:
        """Every `step`-th window of each stretch, its first one always."""
        first = np.searchsorted(self.stretch, self.stretch)  # index of the first window of its stretch
        keep = (np.arange(len(self)) - first) % step == 0
        return Windows(self.start_s[keep], self.end_s[keep], self.stretch[keep], self.embeddings[keep])


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
) -> Windows:
    """Windows over `speech` (as `stretches` gives it), memory bounded but for the embeddings."""
    starts: list[float] = []
    ends: list[float] = []
    owner: list[int] = []
    done: list[Embedding] = [np.zeros((0, engine.dimension), np.float32)]
    waiting: list[MelFrames] = []
    for index, span in enumerate(speech):
        sound = levelled(recording.read(span.start_s, span.end_s))
        for start_s, end_s, frames in _cut(span, engine.mel_frames(sound)):
            starts.append(start_s)
            ends.append(end_s)
            owner.append(index)
            waiting.append(frames)
        if len(waiting) >= FLUSH_WINDOWS or index + 1 == len(speech):
            done.append(engine.embed_windows(waiting))
            waiting = []
            progress(span.end_s / recording.duration_s)
    return Windows(
        np.asarray(starts, np.float64),
        np.asarray(ends, np.float64),
        np.asarray(owner, np.int64),
        np.concatenate(done),
    )


def _cut(span: Span, frames: MelFrames) -> Iterator[tuple[float, float, MelFrames]]:
    """(start_s, end_s, mel frames) of each window in one stretch; a short stretch is one window."""
    count = len(frames)
    if count <= WINDOW_FRAMES:
        yield span.start_s, span.end_s, frames
        return
    firsts = list(range(0, count - WINDOW_FRAMES + 1, HOP_FRAMES))
    if firsts[-1] + WINDOW_FRAMES < count - HOP_FRAMES // 2:
        firsts.append(count - WINDOW_FRAMES)
    for first in firsts:
        start_s = span.start_s + first * FRAME_S
        # A copy, so that the frames of the whole stretch are not held by a view of them.
        window = frames[first : first + WINDOW_FRAMES].copy()
        yield start_s, start_s + WINDOW_FRAMES * FRAME_S, window
