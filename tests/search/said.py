"""Short transcripts for the tests of search."""

from __future__ import annotations

from clearcast.speech.transcript import Segment, Transcript


def said(*lines: str, speaker: str | None = None) -> Transcript:
    """One segment for each line, ten seconds apart."""
    segments = tuple(
        Segment(10.0 * place, 10.0 * place + 5, text, speaker=speaker) for place, text in enumerate(lines)
    )
    return Transcript(segments, "fa", 10.0 * len(lines), ())
