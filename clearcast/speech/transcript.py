"""What was said: words, segments and the transcript they make up.

Times are seconds from the start of the recording. Text is Unicode in logical order, exactly as the
engine gave it: right-to-left scripts, joiners and native digits are never reordered or normalised here.
"""

from __future__ import annotations

from dataclasses import dataclass

from clearcast.speech.provenance import Provenance


@dataclass(frozen=True, slots=True)
class Word:
    """One written word with its time. `text` has no surrounding space.

    `confidence` is the engine's probability in [0, 1], None when it gives none. `joins_previous` is True
    where no space stands before the word (Chinese, Japanese, or a split-off clitic).
    """

    start_s: float
    end_s: float
    text: str
    confidence: float | None = None
    speaker: str | None = None
    joins_previous: bool = False


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of text by one speaker (None before speakers are known).

    Attributes:
        words: may be empty when the engine gave no word times.
        confidence: mean probability in [0, 1], or None.
        no_speech_probability: the engine's own doubt that anybody spoke, in [0, 1], or None.
    """

    start_s: float
    end_s: float
    text: str
    words: tuple[Word, ...] = ()
    speaker: str | None = None
    confidence: float | None = None
    no_speech_probability: float | None = None


@dataclass(frozen=True, slots=True)
class Transcript:
    """Attributes:
    segments: sorted by start.
    language: ISO 639-1 code (or Whisper's code), None when nothing was said.
    language_confidence: probability in [0, 1] when it was detected, None when it was given.
    duration_s: length of the recording.
    provenance: what made it: every engine that took part, in order.
    """

    segments: tuple[Segment, ...]
    language: str | None
    duration_s: float
    provenance: tuple[Provenance, ...]
    language_confidence: float | None = None

    @property
    def text(self) -> str:
        """All text, segments joined by a space."""
        return " ".join(segment.text for segment in self.segments if segment.text)


def join_words(words: tuple[Word, ...]) -> str:
    """The words as running text, with a space before each that does not join the one before it."""
    parts: list[str] = []
    for word in words:
        if parts and not word.joins_previous:
            parts.append(" ")
        parts.append(word.text)
    return "".join(parts)
