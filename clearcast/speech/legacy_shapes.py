"""The plain lists and dictionaries that the systems before ClearCast returned, kept for their users.

Times are seconds rounded to milliseconds. What does not live here: files (`json_file`); these shapes name
no engine and do not hold everything that is known.
"""

from __future__ import annotations

from typing import TypedDict

from clearcast.speech.meeting import Meeting
from clearcast.speech.turns import Diarization


class LegacySegment(TypedDict):
    start: float
    end: float
    speaker: str
    text: str


class LegacySpan(TypedDict):
    start: float
    end: float


class LegacyTurn(LegacySpan):
    speaker: str


class LegacyDiarization(TypedDict):
    segments: list[LegacyTurn]
    speakers: dict[str, list[LegacySpan]]


UNKNOWN_SPEAKER = "unknown"


def legacy_segments(meeting: Meeting) -> list[LegacySegment]:
    """What `process_meeting_audio` returns: who said what, sorted by start.

    One entry per segment of the transcript; without a transcript one per turn, with an empty text. The
    speaker of a segment is "unknown" where nobody's turn is near it.
    """
    if meeting.transcript is None:
        return [
            LegacySegment(start=_s(turn.start_s), end=_s(turn.end_s), speaker=turn.speaker, text="")
            for turn in sorted(meeting.diarization.turns)
        ]
    return [
        LegacySegment(
            start=_s(segment.start_s),
            end=_s(segment.end_s),
            speaker=segment.speaker or UNKNOWN_SPEAKER,
            text=segment.text,
        )
        for segment in sorted(meeting.transcript.segments, key=lambda segment: segment.start_s)
    ]


def legacy_diarization(diarization: Diarization) -> LegacyDiarization:
    """What the tokenless diarizer returned: all turns, and under each label that speaker's own."""
    turns = sorted(diarization.turns)
    speakers: dict[str, list[LegacySpan]] = {}
    for turn in turns:
        speakers.setdefault(turn.speaker, []).append(LegacySpan(start=_s(turn.start_s), end=_s(turn.end_s)))
    segments = [
        LegacyTurn(start=_s(turn.start_s), end=_s(turn.end_s), speaker=turn.speaker) for turn in turns
    ]
    return LegacyDiarization(segments=segments, speakers=speakers)


def _s(time_s: float) -> float:
    return round(float(time_s), 3)
