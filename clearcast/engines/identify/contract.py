"""Identification: which enrolled voice a voiceprint belongs to, if any (an open set)."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

from clearcast.engines.embed.contract import Calibration, Embedding
from clearcast.engines.engine import Engine
from clearcast.speech.meeting import Verdict
from clearcast.storage.voices import Voice


@dataclass(frozen=True, slots=True)
class Candidate:
    """An enrolled voice and its score, a cosine in [-1, 1]."""

    name: str
    score: float


@dataclass(frozen=True, slots=True)
class Match:
    """Attributes:
    verdict: "identified" from the accept score on, "uncertain" between the two scores, "unknown" below,
        "not_compared" when no voice has a sample of this model.
    best: the nearest enrolled voice, whatever the verdict; None when nothing was compared.
    runner_up: the second nearest, or None.
    accept_score, uncertain_score: the scores the verdict was made with.
    """

    verdict: Verdict
    best: Candidate | None
    runner_up: Candidate | None
    accept_score: float
    uncertain_score: float

    @property
    def name(self) -> str | None:
        """The name to show as fact, or None."""
        return self.best.name if self.best is not None and self.verdict == "identified" else None


class IdentificationEngine(Engine):
    """Compares a voiceprint with enrolled voices."""

    service = "identify"

    def identify(
        self, embedding: Embedding, voices: Sequence[Voice], model: str, calibration: Calibration
    ) -> Match:
        """`embedding` has shape (dimension,) and was made by the embedding engine `model`; samples of other
        models are left out of the comparison."""
        self.load()
        return self._run(embedding, voices, model, calibration)

    @abstractmethod
    def _run(
        self, embedding: Embedding, voices: Sequence[Voice], model: str, calibration: Calibration
    ) -> Match: ...
