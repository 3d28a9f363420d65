"""The captions of a recording as WebVTT, from the events beside it.

What lives here: finding them. What does not: the format (`clearcast/speech/vtt.py`).
"""

from __future__ import annotations

from pathlib import Path

from clearcast.speech.transcript import Segment, Transcript
from clearcast.speech.vtt import write_vtt
from streaming.events import read_events


def captions_of(events_path: Path, duration_s: float) -> str | None:
    """None where no line was noted. A voice that several people share has a name for each of them that is
    told apart: theirs where it is known, else the voice's with a number from 1 on."""
    segments: list[Segment] = []
    made_by: dict[str, None] = {}
    for event in read_events(events_path):
        match event:
            case {
                "event": "caption",
                "start_s": float(start_s),
                "end_s": float(end_s),
                "text": str(text),
                "name": str(name),
                "made_by": str(engines),
            }:
                segments.append(Segment(start_s, end_s, text, speaker=_speaker(event, name)))
                made_by[engines] = None
    if not segments:
        return None
    segments.sort(key=lambda segment: segment.start_s)
    notes = [f"Live captions, made by ClearCast. {engines}" for engines in made_by]
    return write_vtt(Transcript(tuple(segments), None, duration_s, ()), notes)


def _speaker(event: dict[str, object], name: str) -> str:
    match event:
        case {"speaker": str(speaker)}:
            return speaker
        case {"speaker_id": int(number)}:
            return f"{name} ({number + 1})"
    return name
