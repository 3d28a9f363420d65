"""Who spoke when: spans, turns and the result of a diarization.

Times are seconds from the start of the recording, as floats; a span is half-open, [start_s, end_s).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from clearcast.speech.provenance import Provenance


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """A stretch of time. Raises ValueError when it ends before it starts."""

    start_s: float
    end_s: float

    def __post_init__(self) -> None:
        if not 0.0 <= self.start_s <= self.end_s:
            raise ValueError(f"a span cannot run from {self.start_s} to {self.end_s}")

    @property
    def duration_s(self) -> float:
        return self.end_s - self.start_s

    def overlap_s(self, other: Span | Turn) -> float:
        """Seconds that both share; 0.0 when they do not touch."""
        return max(0.0, min(self.end_s, other.end_s) - max(self.start_s, other.start_s))


@dataclass(frozen=True, slots=True, order=True)
class Turn:
    """A stretch of time in which one speaker talks. `speaker` is a label or, once identified, a name."""

    start_s: float
    end_s: float
    speaker: str

    def __post_init__(self) -> None:
        if not 0.0 <= self.start_s <= self.end_s:
            raise ValueError(f"a turn cannot run from {self.start_s} to {self.end_s}")

    @property
    def duration_s(self) -> float:
        return self.end_s - self.start_s

    @property
    def span(self) -> Span:
        return Span(self.start_s, self.end_s)


@dataclass(frozen=True, slots=True)
class Diarization:
    """The turns of a recording.

    Attributes:
        turns: sorted by start; turns of different speakers may overlap where the engine marks overlap.
        duration_s: length of the recording.
        provenance: the engine and model that made it.
        overlap_marked: False when the engine gives one speaker per instant and cannot tell overlap.
    """

    turns: tuple[Turn, ...]
    duration_s: float
    provenance: Provenance
    overlap_marked: bool = False

    @property
    def speakers(self) -> tuple[str, ...]:
        """Labels in order of first appearance."""
        return tuple(dict.fromkeys(turn.speaker for turn in self.turns))

    def overlaps(self) -> tuple[Span, ...]:
        """Stretches in which at least two speakers talk."""
        return overlapping_spans(self.turns)


def overlapping_spans(turns: Iterable[Turn]) -> tuple[Span, ...]:
    """Merged, sorted stretches covered by two or more turns of different speakers."""
    edges = sorted(
        [(turn.start_s, 1, turn.speaker) for turn in turns]
        + [(turn.end_s, -1, turn.speaker) for turn in turns],
        key=lambda edge: (edge[0], edge[1]),
    )
    active: dict[str, int] = {}
    spans: list[Span] = []
    since_s: float | None = None
    for time_s, step, speaker in edges:
        active[speaker] = active.get(speaker, 0) + step
        crowd = sum(1 for count in active.values() if count > 0)
        if crowd >= 2 and since_s is None:
            since_s = time_s
        elif crowd < 2 and since_s is not None:
            if time_s > since_s:
                spans.append(Span(since_s, time_s))
            since_s = None
    return tuple(spans)
