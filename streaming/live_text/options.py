"""What the user of a live transcription, or of a room's captions, may choose, and how a client names it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from clearcast.errors import OptionInvalid

# Speech probability from which a frame counts, by how strict the listener is: 0 lets everything in.
SPEECH_THRESHOLDS = (0.1, 0.2, 0.3, 0.5)


@dataclass(frozen=True, slots=True)
class LiveOptions:
    """Attributes:
    language: ISO 639-1 code; None lets the engine detect it, utterance by utterance.
    min_segment_s: shorter sounds are no speech: a cough, a click.
    max_segment_s: longer speech is cut, at its quietest moment.
    silence_s: so much silence ends a segment; long ones end at less.
    level_dbfs: quieter sound is silence.
    voice_activity_mode: 0 to 3, how sure it must be that somebody speaks.
    speakers: most people to tell apart; 0 to tell nobody apart.
    similarity: from here on a voice is one that was heard before, −1 to 1. 0.45 finds 96 % of the windows
        of one voice of ours, and takes 2 % of strangers for it.
    partials: send what was understood so far while somebody speaks.

    Raises OptionInvalid.
    """

    language: str | None = None
    min_segment_s: float = 0.3
    max_segment_s: float = 7.0
    silence_s: float = 0.5
    level_dbfs: float = -50.0
    voice_activity_mode: int = 2
    speakers: int = 8
    similarity: float = 0.45
    partials: bool = True

    def __post_init__(self) -> None:
        for name, low, high in (
            ("min_segment_s", 0.1, 5.0),
            ("max_segment_s", 2.0, 30.0),
            ("silence_s", 0.2, 3.0),
            ("level_dbfs", -90.0, -10.0),
            ("voice_activity_mode", 0, len(SPEECH_THRESHOLDS) - 1),
            ("speakers", 0, 32),
            ("similarity", -1.0, 1.0),
        ):
            if not low <= getattr(self, name) <= high:  # False for NaN, too
                raise OptionInvalid(f"{name} must lie between {low} and {high}.", option=name)
        if self.min_segment_s >= self.max_segment_s:
            raise OptionInvalid("min_segment_s must be below max_segment_s.", option="min_segment_s")


_BY_DEFAULT = LiveOptions()


class Options(BaseModel):
    """`LiveOptions` as a client names them; what is left out is as it is by default."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    language: str | None = Field(default=None, max_length=16)
    min_segment_s: float = _BY_DEFAULT.min_segment_s
    max_segment_s: float = _BY_DEFAULT.max_segment_s
    silence_s: float = _BY_DEFAULT.silence_s
    level_dbfs: float = _BY_DEFAULT.level_dbfs
    voice_activity_mode: int = _BY_DEFAULT.voice_activity_mode
    speakers: int = _BY_DEFAULT.speakers
    similarity: float = _BY_DEFAULT.similarity
    partials: bool = _BY_DEFAULT.partials

    def checked(self) -> LiveOptions:
        """Raises OptionInvalid."""
        return LiveOptions(**self.model_dump())


EnrolledVoices = Literal["none", "account"]
"""Whose enrolled voices name people: nobody's, or those of an account."""


class CaptionOptions(Options):
    """Of a room, whose voices are mostly one person each: nobody is told apart unless it is asked for.

    `voices`: whether people are named by the enrolled voices of the room owner's account.
    """

    speakers: int = 0
    voices: EnrolledVoices = "none"

    def checked(self) -> LiveOptions:
        """Raises OptionInvalid."""
        if self.voices == "account" and not self.speakers:
            raise OptionInvalid(
                "Only who is told apart is named: speakers must be above 0.", option="speakers"
            )
        return LiveOptions(**self.model_dump(exclude={"voices"}))
