"""A meeting: who said what, by name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from clearcast.speech.transcript import Transcript
from clearcast.speech.turns import Diarization

Verdict = Literal["identified", "uncertain", "unknown", "too_short", "not_compared"]


@dataclass(frozen=True, slots=True)
class SpeakerIdentity:
    """What is known about one diarized speaker.

    Attributes:
        label: the diarizer's label, for example "SPEAKER_00".
        speech_s: seconds this speaker talks.
        verdict: "identified", "uncertain" (between the two scores), "unknown" (below both), "too_short"
            (not enough speech to compare) or "not_compared" (no voices are enrolled).
        best_name, best_score: nearest enrolled voice and its cosine score, whatever the verdict.
        runner_up_name, runner_up_score: the second nearest.
    """

    label: str
    speech_s: float
    verdict: Verdict
    best_name: str | None = None
    best_score: float | None = None
    runner_up_name: str | None = None
    runner_up_score: float | None = None

    @property
    def shown_as(self) -> str:
        """The name when identified, else the label."""
        return self.best_name if self.verdict == "identified" and self.best_name else self.label


@dataclass(frozen=True, slots=True)
class Meeting:
    """The result of the meeting pipeline.

    Attributes:
        diarization: turns whose speakers are shown names (label where unknown).
        speakers: one entry per diarized speaker, in order of first appearance.
        transcript: segments and words carry the shown names; None when no text was asked for.
        warnings: plain sentences on what the reader should know, for example a cut-off file.
    """

    diarization: Diarization
    speakers: tuple[SpeakerIdentity, ...]
    transcript: Transcript | None
    warnings: tuple[str, ...] = ()
