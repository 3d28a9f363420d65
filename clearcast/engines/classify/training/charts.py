"""The charts of a training run as PNG files: its curves, and what was taken for what.

What lives here: drawing. What does not: the figures themselves (`outcome`).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure  # not pyplot, which looks for a display

from clearcast.engines.classify.training.outcome import Epoch, Trained
from clearcast.speech.keywords import SILENCE, UNKNOWN

_DPI = 120
_FEW_LABELS = 24  # more are told by their order alone


def draw_curves(history: Sequence[Epoch], path: Path) -> None:
    """Losses and accuracy by epoch."""
    figure = Figure(figsize=(7.0, 4.0), dpi=_DPI, layout="constrained")
    axes = figure.subplots()
    numbers = [epoch.number for epoch in history]
    axes.plot(numbers, [epoch.training_loss for epoch in history], label="loss, training")
    axes.plot(numbers, [epoch.validation_loss for epoch in history], label="loss, validation")
    axes.set_xlabel("epoch")
    axes.set_ylabel("cross-entropy")
    axes.set_ylim(bottom=0.0)
    shares = axes.twinx()
    accuracies = [100.0 * epoch.validation_accuracy for epoch in history]
    shares.plot(numbers, accuracies, color="tab:green", label="accuracy, validation")
    shares.set_ylabel("right (%)")
    shares.set_ylim(0.0, 100.0)
    figure.legend(loc="outside upper center", ncols=3, frameon=False)
    figure.savefig(path, format="png")


def draw_confusion(trained: Trained, path: Path) -> None:
    """What each class of the evaluation part was taken for, in hundredths of the class."""
    counts = trained.measured.confusion
    shares = 100.0 * counts / np.maximum(1, counts.sum(axis=1, keepdims=True))
    names = (*trained.labels, UNKNOWN, SILENCE)
    size = max(5.0, 0.5 * min(len(names), _FEW_LABELS) + 2.0)
    figure = Figure(figsize=(size, size), dpi=_DPI, layout="constrained")
    axes = figure.subplots()
    axes.imshow(shares, cmap="Blues", vmin=0.0, vmax=100.0)
    axes.set_xlabel("taken for")
    axes.set_ylabel("was")
    if len(names) <= _FEW_LABELS:
        axes.set_xticks(range(len(names)), names, rotation=60)
        axes.set_yticks(range(len(names)), names)
        for row, column in np.argwhere(shares >= 0.5):
            dark = shares[row, column] > 50.0
            text = f"{shares[row, column]:.0f}"
            axes.text(column, row, text, ha="center", va="center", color="white" if dark else "black")
    figure.savefig(path, format="png")
