"""Giving each word the speaker whose turn it falls into.

What lives here: joining a transcript with a diarization, and renaming speakers. What does not: finding
either (`engines`), or who a speaker is (`engines/identify`).
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import TypeVar

from clearcast.speech.line_breaks import may_break
from clearcast.speech.transcript import Segment, Transcript, Word, join_words
from clearcast.speech.turns import Diarization, Turn

TOLERANCE_S = 0.5  # diarizers cut turns this much too short; a word further off belongs to its neighbours
_TIE_SHARE = 0.05  # of a word: smaller differences between two speakers say nothing
_SHARED_SHARE = 0.3  # of a word: who covers as much may have said it
_SHORTEST_WORD_S = 0.02  # words without length are looked at as if they lasted this long


@dataclass(frozen=True, slots=True)
class _Speech:
    """One speaker's turns, merged and sorted."""

    starts_s: Sequence[float]
    ends_s: Sequence[float]

    def overlap_s(self, start_s: float, end_s: float) -> float:
        first = bisect_right(self.ends_s, start_s)
        last = bisect_left(self.starts_s, end_s)
        return sum(
            min(self.ends_s[index], end_s) - max(self.starts_s[index], start_s)
            for index in range(first, last)
        )

    def distance_s(self, start_s: float, end_s: float) -> float:
        """Seconds to the nearest turn when none overlaps."""
        after = bisect_left(self.starts_s, end_s)
        later_s = self.starts_s[after] - end_s if after < len(self.starts_s) else float("inf")
        earlier_s = start_s - self.ends_s[after - 1] if after else float("inf")
        return max(0.0, min(later_s, earlier_s))


@dataclass(frozen=True, slots=True)
class _Unit:
    """What gets one speaker: a word, or a segment without words.

    `shares` tells which part of its time, in [0, 1], each speaker's turns cover.
    """

    start_s: float
    end_s: float
    shares: Mapping[str, float]
    follows: bool  # a clitic or mark that belongs to the word before it


def assign_speakers(transcript: Transcript, turns: Iterable[Turn]) -> Transcript:
    """The transcript with a speaker for each word and segment, segments split where the speaker changes.

    - A word belongs to the speaker whose turns cover most of it; a word across the edge of two turns
      thereby goes by its middle.
    - Where speakers talk at once and cover it alike, it stays with the speaker of the word before.
    - A single word between two words of one other speaker goes to that speaker if they cover part of it.
    - A word in no turn belongs to the nearest one within 0.5 s, else to the speaker of the nearest word.
    - Marks and clitics written onto the word before go with it.

    A segment that is not split keeps its text as it is; the parts of a split one get theirs from their
    words, keep the word times, and have the mean confidence of their words. A segment without words gets
    the speaker of most of its time. Without turns nothing changes.
    """
    speeches = _speeches(turns)
    if not speeches:
        return transcript
    units = [unit for segment in transcript.segments for unit in _units(segment, speeches)]
    speakers = iter(_speakers_of(units, speeches))
    segments: list[Segment] = []
    for segment in transcript.segments:
        if segment.words:
            words = tuple(replace(word, speaker=next(speakers)) for word in segment.words)
            segments += _split(segment, words)
        else:
            segments.append(replace(segment, speaker=next(speakers)))
    segments.sort(key=lambda segment: segment.start_s)
    return replace(transcript, segments=tuple(segments))


ResultT = TypeVar("ResultT", Transcript, Diarization)


def rename_speakers(result: ResultT, names: Mapping[str, str]) -> ResultT:
    """The same transcript or diarization with the speakers' labels replaced; labels without a name stay."""
    if isinstance(result, Diarization):
        turns = (replace(turn, speaker=names.get(turn.speaker, turn.speaker)) for turn in result.turns)
        return replace(result, turns=tuple(turns))

    def named(label: str | None) -> str | None:
        return None if label is None else names.get(label, label)

    segments = (
        replace(
            segment,
            speaker=named(segment.speaker),
            words=tuple(replace(word, speaker=named(word.speaker)) for word in segment.words),
        )
        for segment in result.segments
    )
    return replace(result, segments=tuple(segments))


def _speeches(turns: Iterable[Turn]) -> dict[str, _Speech]:
    spans: dict[str, list[list[float]]] = {}
    for turn in sorted(turns):
        own = spans.setdefault(turn.speaker, [])
        if own and turn.start_s <= own[-1][1]:
            own[-1][1] = max(own[-1][1], turn.end_s)
        else:
            own.append([turn.start_s, turn.end_s])
    return {
        speaker: _Speech([start_s for start_s, _ in own], [end_s for _, end_s in own])
        for speaker, own in spans.items()
    }


def _units(segment: Segment, speeches: Mapping[str, _Speech]) -> list[_Unit]:
    units: list[_Unit] = []
    pieces: tuple[Word | Segment, ...] = segment.words or (segment,)
    for index, piece in enumerate(pieces):
        middle_s = (piece.start_s + piece.end_s) / 2
        start_s = min(piece.start_s, middle_s - _SHORTEST_WORD_S / 2)
        end_s = max(piece.end_s, middle_s + _SHORTEST_WORD_S / 2)
        shares = {
            speaker: overlap_s / (end_s - start_s)
            for speaker, speech in speeches.items()
            if (overlap_s := speech.overlap_s(start_s, end_s)) > 0
        }
        follows = index > 0 and isinstance(piece, Word) and _follows(segment.words[index - 1], piece)
        units.append(_Unit(start_s, end_s, shares, follows))
    return units


def _follows(before: Word, word: Word) -> bool:
    if not word.joins_previous:
        return False
    return not (before.text and word.text and may_break(before.text[-1], word.text[0]))


def _speakers_of(units: Sequence[_Unit], speeches: Mapping[str, _Speech]) -> list[str]:
    found: list[str | None] = []
    for unit in units:
        found.append(_speaker_of(unit, speeches, found[-1] if found else None))
    for index in range(1, len(units) - 1):
        before, own, after = found[index - 1 : index + 2]
        if before == after != own and before and units[index].shares.get(before, 0.0) >= _SHARED_SHARE:
            found[index] = before
    named = _with_neighbours(units, found, speeches)
    for index, unit in enumerate(units):
        if unit.follows:
            named[index] = named[index - 1]
    return named


def _speaker_of(unit: _Unit, speeches: Mapping[str, _Speech], before: str | None) -> str | None:
    """The speaker of one unit by its turns alone, or None where none is near."""
    if unit.shares:
        most = max(unit.shares.values())
        rivals = [speaker for speaker, share in unit.shares.items() if share >= most - _TIE_SHARE]
        if before in rivals:
            return before
        return max(rivals, key=lambda speaker: unit.shares[speaker])
    nearest = _nearest(unit, speeches, before)
    return nearest if speeches[nearest].distance_s(unit.start_s, unit.end_s) <= TOLERANCE_S else None


def _with_neighbours(
    units: Sequence[_Unit], found: Sequence[str | None], speeches: Mapping[str, _Speech]
) -> list[str]:
    """The same, where units without a speaker got that of the nearest unit, or else of the nearest turn."""
    known = [index for index, speaker in enumerate(found) if speaker is not None]
    named: list[str] = []
    for index, (unit, speaker) in enumerate(zip(units, found, strict=True)):
        place = bisect_left(known, index)
        candidates = [
            (max(0.0, units[other].start_s - unit.end_s, unit.start_s - units[other].end_s), other)
            for other in known[max(0, place - 1) : place + 1]
        ]
        neighbour = found[min(candidates)[1]] if candidates else None
        named.append(speaker or neighbour or _nearest(unit, speeches))
    return named


def _nearest(unit: _Unit, speeches: Mapping[str, _Speech], preferred: str | None = None) -> str:
    """The speaker of the nearest turn; of several as near, the preferred one."""
    return min(
        speeches,
        key=lambda speaker: (
            speeches[speaker].distance_s(unit.start_s, unit.end_s),
            speaker != preferred,
        ),
    )


def _split(segment: Segment, words: tuple[Word, ...]) -> list[Segment]:
    groups = [tuple(group) for _, group in groupby(words, key=lambda word: word.speaker)]
    if len(groups) == 1:
        return [replace(segment, words=words, speaker=words[0].speaker)]
    parts = []
    for index, group in enumerate(groups):
        known = [word.confidence for word in group if word.confidence is not None]
        parts.append(
            replace(
                segment,
                start_s=segment.start_s if index == 0 else group[0].start_s,
                end_s=segment.end_s if index == len(groups) - 1 else group[-1].end_s,
                text=join_words(group),
                words=group,
                speaker=group[0].speaker,
                confidence=sum(known) / len(known) if known else segment.confidence,
            )
        )
    return parts
