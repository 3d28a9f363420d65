"""The model card: what a model knows, what it was trained on, and how good it is, without flattery.

What lives here: the text. After Mitchell et al., "Model cards for model reporting", 2019.
"""

from __future__ import annotations

from dataclasses import dataclass

from clearcast.engines.classify.training.outcome import Trained


@dataclass(frozen=True, slots=True)
class Story:
    """What only the one who trains knows.

    Attributes:
        trained_on: a paragraph or more: where the recordings come from, and how they were divided.
        limits: what the figures do not show.
    """

    trained_on: str
    limits: str


def write_card(trained: Trained, name: str, story: Story) -> str:
    """The card in Markdown."""
    measured, last = trained.measured, trained.history[-1]
    best = min(trained.history, key=lambda epoch: epoch.validation_loss)
    learn, stop, test = trained.counts
    rows = (
        ("keywords recognised, as they were recorded", measured.clean_accuracy),
        ("keywords recognised, noise at 0 to 20 dB, six in ten in a room", measured.noisy_accuracy),
        ("other words taken for a keyword", measured.accepted_unknown),
        ("noises taken for a keyword", measured.accepted_silence),
    )
    table = "\n".join(f"| {what} | {100 * share:.1f} % |" for what, share in rows)
    worst = "\n".join(f"| {label} | {100 * share:.1f} % |" for label, share in _weakest(trained))
    return f"""# {name}

Keywords: {", ".join(trained.labels)}. What is less likely than {trained.min_probability:g} counts as
unknown.

The network is a residual CNN over mel-frequency cepstral coefficients, 16 kHz mono, {
        trained.input_frames * 10
    } ms at most; `model.onnx` holds it with half-precision weights.

## Trained on

{story.trained_on}

{learn} recordings to learn from, {stop} to decide when to stop, {test} to measure on. Words were made
faster and slower, filtered, put into rooms that were made up, and mixed with noise at 0 to 30 dB. Training
ran for {last.number} epochs; the network is that of epoch {best.number}. `curves.png` shows its course.

## How good it is

On the {test} recordings that had no part in training:

| | share |
|---|---|
{table}

The least recognised keywords, as they were recorded:

| keyword | recognised |
|---|---|
{worst}

`confusion.png` shows what was taken for what.

## What these figures do not show

{story.limits}
"""


def _weakest(trained: Trained) -> list[tuple[str, float]]:
    counts = trained.measured.confusion
    shares = [
        (label, float(counts[index, index] / max(1, counts[index].sum())))
        for index, label in enumerate(trained.labels)
    ]
    return sorted(shares, key=lambda pair: pair[1])[:3]
