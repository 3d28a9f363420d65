"""What a model is trained on: examples by label, in parts that share no speaker.

What lives here: the parts, and how a set of examples is divided. What does not: reading them from files
(`folder`).
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from clearcast.audio.recording import FloatAudio
from clearcast.errors import TrainingSetUnusable
from clearcast.speech.keywords import SILENCE, UNKNOWN


@dataclass(frozen=True, slots=True)
class Example:
    """One recording: float32 mono at 16 kHz, shape (n,).

    Attributes:
        label: the word it holds, or "unknown" or "silence"; these two may be long, pieces of them are used.
        speaker: who speaks; None where that is not known.
    """

    label: str
    speaker: str | None
    samples: FloatAudio


@dataclass(frozen=True, slots=True)
class Corpus:
    """Parts with different speakers: to learn from, to decide when to stop, and to measure the end on."""

    training: Sequence[Example]
    validation: Sequence[Example]
    evaluation: Sequence[Example]

    @property
    def labels(self) -> tuple[str, ...]:
        """The keywords in order: numbers by their value, then words."""
        found = {example.label for example in self.training} - {UNKNOWN, SILENCE}
        numbers = sorted((label for label in found if label.isdecimal()), key=int)
        return (*numbers, *sorted(found.difference(numbers)))


def divided(examples: Sequence[Example]) -> Corpus:
    """About a seventh each for validation and for evaluation, the same every time.

    Speakers that are known are kept apart; recordings of unknown speakers are divided one by one. Raises
    TrainingSetUnusable when a keyword is then missing from a part.
    """
    speakers = sorted({one.speaker for one in examples if one.speaker is not None}, key=_draw)
    part_of = {speaker: _part(place, len(speakers)) for place, speaker in enumerate(speakers)}
    parts: tuple[list[Example], ...] = ([], [], [])
    strangers: dict[str, list[Example]] = defaultdict(list)
    for example in examples:
        if example.speaker is None:
            strangers[example.label].append(example)
        else:
            parts[part_of[example.speaker]].append(example)
    for alike in strangers.values():
        # Drawn by content, so that neighbours in a folder, often one session, go to all parts alike.
        for place, example in enumerate(sorted(alike, key=lambda one: _draw(one.samples.tobytes()))):
            parts[_part(place, len(alike))].append(example)
    corpus = Corpus(*parts)
    _check(corpus, {example.label for example in examples} - {UNKNOWN, SILENCE})
    return corpus


def _part(place: int, count: int) -> int:
    share = max(1, count // 7)
    return 1 if place < share else 2 if place < 2 * share else 0


def _check(corpus: Corpus, labels: set[str]) -> None:
    if len(labels) < 2:
        raise TrainingSetUnusable("A model needs at least two keywords, a folder of recordings for each.")
    for part in (corpus.training, corpus.validation, corpus.evaluation):
        missing = labels - {example.label for example in part}
        if missing:
            raise TrainingSetUnusable(
                f"There are too few recordings of {min(missing)!r} to learn from some and test on others.",
                hint="At least three of each keyword; with folders for speakers, by at least three people.",
            )


def _draw(name: str | bytes) -> str:
    return hashlib.sha256(name if isinstance(name, bytes) else name.encode()).hexdigest()
