"""Voice embedding: a stretch of speech as a unit vector that tells who speaks.

What lives here: the contract, with the minimum-speech gate and true batching. What does not: comparing
vectors (see `identify`).
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from clearcast.audio.recording import SAMPLE_RATE_HZ, FloatAudio
from clearcast.engines.engine import Engine
from clearcast.errors import SpeechTooShort

Embedding = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Calibration:
    """How this model's cosine scores are to be read.

    Attributes:
        accept_score: from here on a voice counts as identified.
        uncertain_score: from here on, below `accept_score`, it is "uncertain".
        min_speech_s: seconds of speech below which the scores above do not hold.
        present_score: from here on `likeness` says that a speaker of a recording is the voice looked for.
    """

    accept_score: float
    uncertain_score: float
    min_speech_s: float = 3.0
    present_score: float = 0.6


class EmbeddingEngine(Engine):
    """Turns speech into unit vectors of a fixed size.

    Class attributes: `dimension` (length of a vector), `calibration`, and `min_speech_s`, below which a
    vector says nothing about the speaker and is refused.
    """

    service = "embed"
    dimension: ClassVar[int]
    calibration: ClassVar[Calibration]
    min_speech_s: ClassVar[float] = 0.4

    def is_enough(self, utterance: FloatAudio) -> bool:
        """Whether `embed` takes an utterance of this length."""
        return len(utterance) >= self.min_speech_s * SAMPLE_RATE_HZ

    def embed(self, utterances: Sequence[FloatAudio]) -> Embedding:
        """One vector each, shape (len(utterances), dimension), float32, L2 norm 1; one batch for all.

        `utterances` hold speech only (silence cut out): float32, 16 kHz, mono, shape (n,).
        Raises SpeechTooShort, naming the first utterance that is shorter than `min_speech_s`.
        """
        for index, utterance in enumerate(utterances):
            if not self.is_enough(utterance):
                raise SpeechTooShort(
                    f"Only {len(utterance) / SAMPLE_RATE_HZ:.2f} s of speech;"
                    f" a voiceprint needs at least {self.min_speech_s:g} s.",
                    index=index,
                    min_speech_s=self.min_speech_s,
                )
        if not utterances:
            return np.zeros((0, self.dimension), np.float32)
        self.load()
        return self._run(utterances)

    def likeness(self, voiceprint: Embedding, others: Embedding) -> Embedding:
        """How like one voiceprint, shape (dimension,), others, shape (n, dimension), are.

        Shape (n,), in [−1, 1]; the cosine, where an engine knows nothing better.
        """
        scores: Embedding = others @ voiceprint
        return scores

    @abstractmethod
    def _run(self, utterances: Sequence[FloatAudio]) -> Embedding: ...
