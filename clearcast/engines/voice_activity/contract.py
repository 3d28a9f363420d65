"""Voice activity: where somebody speaks."""

from __future__ import annotations

from abc import abstractmethod

from clearcast.audio.recording import Recording
from clearcast.engines.engine import Engine, Progress, ignore_progress
from clearcast.speech.turns import Span


class VoiceActivityEngine(Engine):
    """Finds the stretches that hold speech."""

    service = "voice_activity"

    def detect(self, recording: Recording, progress: Progress = ignore_progress) -> tuple[Span, ...]:
        """Sorted spans that do not overlap; none when nobody speaks. Memory does not grow with length."""
        self.load()
        return self._run(recording, progress)

    @abstractmethod
    def _run(self, recording: Recording, progress: Progress) -> tuple[Span, ...]: ...
