"""Keywords that were spotted in a recording."""

from __future__ import annotations

from dataclasses import dataclass

from clearcast.speech.provenance import Provenance

UNKNOWN, SILENCE = "unknown", "silence"
"""What a sound is that is no keyword: another word, or no speech."""


@dataclass(frozen=True, slots=True)
class SpottedWord:
    """One word. `label` is a keyword or "unknown"; `probability` is the model's, in [0, 1]."""

    start_s: float
    end_s: float
    label: str
    probability: float


@dataclass(frozen=True, slots=True)
class Keywords:
    """The words of a recording in the order in which they are said.

    Attributes:
        duration_s: of the recording.
        labels: the keywords that the model knows.
    """

    words: tuple[SpottedWord, ...]
    duration_s: float
    labels: tuple[str, ...]
    provenance: Provenance
