"""Where one person's voice was taken out of a recording, and how sure that is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from clearcast.speech.provenance import Provenance

How = Literal["alone", "crowded", "untangled"]


@dataclass(frozen=True, slots=True)
class Passage:
    """A stretch of time in which the person is heard; elsewhere what was extracted is silent.

    Attributes:
        how: "alone", as it was in the recording; "crowded", with the other voices still in it;
            "untangled", taken out of the other voices by a model.
        score: how like the person's voice the stretch is, in [−1, 1]; None where it is too short to say.
        bandwidth_hz: the highest frequency in it, where a model made it; None: as in the recording.
    """

    start_s: float
    end_s: float
    how: How
    score: float | None = None
    bandwidth_hz: int | None = None


@dataclass(frozen=True, slots=True)
class Timeline:
    """One person's passages, in order of time.

    Attributes:
        result: the name of the sound that was made of them.
        speaker: an enrolled voice's name where it is known, else a label.
        score: how like the voice looked for this speaker is, in [−1, 1]; None where nobody was looked for.
    """

    result: str
    speaker: str
    score: float | None
    passages: tuple[Passage, ...]


@dataclass(frozen=True, slots=True)
class Extracted:
    """What was extracted from a recording `duration_s` long. `provenance`: every engine that took part."""

    timelines: tuple[Timeline, ...]
    duration_s: float
    provenance: tuple[Provenance, ...]
