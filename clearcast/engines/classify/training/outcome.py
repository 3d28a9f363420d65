"""What a training run tells while it goes on, and what comes of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from clearcast.engines.classify.training.network import KeywordNetwork


@dataclass(frozen=True, slots=True)
class Epoch:
    """One pass over the training part.

    Attributes:
        number, most: which it was, counted from 1, and how many there may be.
        training_loss: mean cross-entropy of the harder words, smoothed labels included.
        validation_loss, validation_accuracy: on the validation part, clean and noisy words, other words and
            silence together.
        seconds: how long it took.
    """

    number: int
    most: int
    training_loss: float
    validation_loss: float
    validation_accuracy: float
    seconds: float


@dataclass(frozen=True, slots=True)
class Measured:
    """How good the model is on recordings it never met.

    Attributes:
        clean_accuracy: share of the keywords that are recognised, and surely enough, as they were recorded.
        noisy_accuracy: the same with noise at 0 to 20 dB, six in ten in a room.
        accepted_unknown: share of other words that pass for a keyword.
        accepted_silence: share of noises that do.
        confusion: clean recordings, other words and noises, counted, shape (classes, classes): what it was,
            by what was found.
    """

    clean_accuracy: float
    noisy_accuracy: float
    accepted_unknown: float
    accepted_silence: float
    confusion: npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Trained:
    """A trained network and its story.

    Attributes:
        labels: the keywords; the network's classes are these, then "unknown" and "silence".
        network: in PyTorch.
        input_frames: of the network's input.
        min_probability: below it a keyword does not count as recognised.
        counts: recordings to learn from, to stop by, and to measure on.
    """

    labels: tuple[str, ...]
    network: KeywordNetwork
    input_frames: int
    min_probability: float
    history: tuple[Epoch, ...]
    measured: Measured
    counts: tuple[int, ...]
