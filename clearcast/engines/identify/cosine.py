"""Identification by cosine: the nearest enrolled voice, believed from a calibrated score on.

What lives here: the arithmetic. What does not: making voiceprints, and the calibration, which belongs to
the embedding model.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from clearcast.engines.embed.contract import Calibration, Embedding
from clearcast.engines.identify.contract import Candidate, IdentificationEngine, Match
from clearcast.speech.meeting import Verdict
from clearcast.storage.voices import Voice


class Cosine(IdentificationEngine):
    """Scores a voice by the cosine to the mean direction of its samples.

    The mean of several samples of one person lies nearer to further samples than any one of them does, as
    long as they are of one person; with one sample it is that sample.
    """

    model_name = "cosine"

    def _load(self) -> None:
        """Nothing to load."""

    def _run(
        self, embedding: Embedding, voices: Sequence[Voice], model: str, calibration: Calibration
    ) -> Match:
        scored = [
            Candidate(voice.name, score)
            for voice in voices
            if (score := _score(embedding, voice, model)) is not None
        ]
        # Equal scores are ordered by name, so that the same question has the same answer.
        scored.sort(key=lambda candidate: (-candidate.score, candidate.name))
        return Match(
            verdict=_verdict(scored, calibration),
            best=scored[0] if scored else None,
            runner_up=scored[1] if len(scored) > 1 else None,
            accept_score=calibration.accept_score,
            uncertain_score=calibration.uncertain_score,
        )


def _score(embedding: Embedding, voice: Voice, model: str) -> float | None:
    """Cosine in [-1, 1], or None when the voice has no sample of this model."""
    samples = [sample.embedding for sample in voice.samples if sample.model == model]
    if not samples:
        return None
    mean = np.mean(samples, axis=0)
    return float(embedding @ mean / max(float(np.linalg.norm(mean)), 1e-9))


def _verdict(scored: Sequence[Candidate], calibration: Calibration) -> Verdict:
    if not scored:
        return "not_compared"
    if scored[0].score >= calibration.accept_score:
        return "identified"
    return "uncertain" if scored[0].score >= calibration.uncertain_score else "unknown"
