"""Diarization: who spoke when, as labels SPEAKER_00, SPEAKER_01 … in order of first appearance."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, replace

from clearcast.audio.recording import Recording
from clearcast.engines.engine import Engine, Progress, ignore_progress
from clearcast.errors import OptionInvalid
from clearcast.speech.turns import Diarization, Turn


@dataclass(frozen=True, slots=True)
class DiarizeOptions:
    """How many speakers to expect: exactly, or between bounds; all None finds the number itself.

    `exclusive` asks for one speaker per instant even where the engine can mark overlap.
    Raises OptionInvalid when the numbers contradict each other.
    """

    num_speakers: int | None = None
    min_speakers: int | None = None
    max_speakers: int | None = None
    exclusive: bool = False

    def __post_init__(self) -> None:
        counts = (self.num_speakers, self.min_speakers, self.max_speakers)
        if any(count is not None and count < 1 for count in counts):
            raise OptionInvalid("A number of speakers is at least 1.")
        if self.num_speakers is not None and (self.min_speakers or self.max_speakers):
            raise OptionInvalid("Give either the exact number of speakers or bounds, not both.")
        if self.min_speakers and self.max_speakers and self.min_speakers > self.max_speakers:
            raise OptionInvalid("The smallest number of speakers is above the largest.")


class DiarizationEngine(Engine):
    """Splits a recording into speaker turns."""

    service = "diarize"

    def diarize(
        self,
        recording: Recording,
        options: DiarizeOptions = DiarizeOptions(),
        progress: Progress = ignore_progress,
    ) -> Diarization:
        """Turns of the whole recording, sorted; empty when nobody speaks."""
        self.load()
        return relabelled(self._run(recording, options, progress))

    @abstractmethod
    def _run(self, recording: Recording, options: DiarizeOptions, progress: Progress) -> Diarization: ...


def relabelled(diarization: Diarization) -> Diarization:
    """The same turns, sorted, with labels SPEAKER_00 … given by first appearance."""
    turns = sorted(diarization.turns)
    labels: dict[str, str] = {}
    for turn in turns:
        labels.setdefault(turn.speaker, f"SPEAKER_{len(labels):02d}")
    named = tuple(Turn(turn.start_s, turn.end_s, labels[turn.speaker]) for turn in turns)
    return replace(diarization, turns=named)
