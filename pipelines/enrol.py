"""Enrolment: recordings of one person become one voiceprint."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from clearcast.audio.recording import Clip
from clearcast.errors import SpeechTooShort
from clearcast.services import Services
from clearcast.storage.voices import VoiceSample

# Twice this is better; below it Resemblyzer's voiceprints are not telling (measured, see bench).
RECOMMENDED_SPEECH_S = 8.0


@dataclass(frozen=True, slots=True)
class Enrolment:
    """A new voiceprint and the seconds of speech it was made from."""

    sample: VoiceSample
    speech_s: float

    @property
    def advice(self) -> str | None:
        """What would make the voiceprint better, or None when it is good as it is."""
        if self.speech_s >= RECOMMENDED_SPEECH_S:
            return None
        return f"{self.speech_s:.1f} s of speech is enough; {RECOMMENDED_SPEECH_S:g} s or more is better."


async def run_enrolment(services: Services, clips: Sequence[Clip]) -> Enrolment:
    """One voiceprint of all speech in `clips`, which one person alone should speak.

    Raises SpeechTooShort when there is less speech than the model's scores are calibrated for.
    """
    made_by, calibration = await services.embedder.describe()
    spoken: list[Clip] = []
    speech_s = 0.0
    for clip in clips:
        for span in await services.speech_finder.find_speech(clip):
            spoken.append(replace(clip, start_s=span.start_s, end_s=span.end_s))
            speech_s += span.duration_s
    if speech_s < calibration.min_speech_s:
        raise SpeechTooShort(
            f"Only {speech_s:.1f} s of speech was found; a voice needs at least"
            f" {calibration.min_speech_s:g} s.",
            hint="Record a few sentences more, close to the microphone.",
            speech_s=round(speech_s, 2),
            min_speech_s=calibration.min_speech_s,
        )
    (embedding,) = await services.embedder.embed([spoken])
    assert embedding is not None
    return Enrolment(VoiceSample(embedding, made_by.model, speech_s), speech_s)
