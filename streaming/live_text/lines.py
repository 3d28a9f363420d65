"""What a live transcription tells its listener."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias

from clearcast.errors import ClearCastError
from clearcast.speech.provenance import Provenance
from clearcast.speech.transcript import Word


@dataclass(frozen=True, slots=True)
class Speaker:
    """Attributes:
    id: the same for the same voice in one transcription, from 0 on.
    name: who it is, where that is known.
    score: how like that voice it was, −1 to 1; None where nothing was compared.
    """

    id: int
    name: str | None = None
    score: float | None = None


@dataclass(frozen=True, slots=True)
class Partial:
    """What was understood so far of what somebody is saying.

    Attributes:
        stable: how many characters of `text`, from the first, will not change until the line is final.
        start_s, end_s: seconds since the stream began.
    """

    text: str
    stable: int
    start_s: float
    end_s: float


@dataclass(frozen=True, slots=True)
class Line:
    """What somebody said, finally.

    Attributes:
        id: 1, 2, … in the order they are told.
        start_s, end_s: seconds since the stream began; so are the times of `words`.
        at: when it began, UTC.
        language: ISO 639-1 code.
        made_by: the engines that took part.
    """

    id: int
    text: str
    speaker: Speaker | None
    start_s: float
    end_s: float
    at: datetime
    language: str | None
    words: tuple[Word, ...]
    made_by: tuple[Provenance, ...]


@dataclass(frozen=True, slots=True)
class Lag:
    """The recogniser has fallen behind (previews are left out and longer stretches taken at a time), or has
    caught up again.

    Attributes:
        lag_s: seconds of sound that wait.
    """

    is_behind: bool
    lag_s: float


@dataclass(frozen=True, slots=True)
class Failed:
    """A stretch that could not be transcribed; the transcription goes on.

    Attributes:
        start_s, end_s: seconds since the stream began.
    """

    error: ClearCastError
    start_s: float
    end_s: float


LiveEvent: TypeAlias = Partial | Line | Lag | Failed
