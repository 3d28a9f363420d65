"""The training loop: epochs over harder and harder words until the validation part gains no more.

What lives here: the loop, and measuring. What does not: the network, augmentation, and what is written.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from threadpoolctl import threadpool_limits
from torch.nn import functional

from clearcast.audio.recording import SAMPLE_RATE_HZ, FloatAudio
from clearcast.engines.classify._features import COEFFICIENTS, network_input
from clearcast.engines.classify.training.augment import (
    CLEAN,
    LONGEST_S,
    NOISY_ROOMS,
    Augmenter,
    Hardness,
    make_noises,
    make_rooms,
)
from clearcast.engines.classify.training.corpus import Corpus, Example
from clearcast.engines.classify.training.network import KeywordNetwork
from clearcast.engines.classify.training.outcome import Epoch, Measured, Trained
from clearcast.errors import OptionInvalid
from clearcast.speech.keywords import SILENCE, UNKNOWN

INPUT_FRAMES = round(LONGEST_S * 100)
_HIGHEST_RATE = 4e-3
_ACCEPTED_UNKNOWN = 0.07  # of the validation part's other words may pass for keywords
_FEWEST_PIECES = 60  # of unknown words and of silence, in each part

Inputs = npt.NDArray[np.float32]
Classes = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class TrainingOptions:
    """Attributes:
    epochs: at most so many passes over the training part.
    patience: passes without gain on the validation part after which training stops.
    batch: words in one step.
    threads: of PyTorch.
    seed: of everything that is drawn.

    Raises OptionInvalid for numbers that no training can have.
    """

    epochs: int = 30
    patience: int = 8
    batch: int = 64
    threads: int = 1
    seed: int = 0

    def __post_init__(self) -> None:
        if min(self.epochs, self.patience, self.threads) < 1 or self.batch < 2:
            raise OptionInvalid("epochs, patience and threads are at least 1, batch at least 2.")


def fit(
    corpus: Corpus, options: TrainingOptions = TrainingOptions(), report: Callable[[Epoch], None] = print
) -> Trained:
    """Train on a corpus and measure what came of it; `report` hears of each epoch and may raise to stop.

    Three worlds of noise and rooms are drawn, one for each part, so that no room is met twice.
    """
    torch.manual_seed(options.seed)
    torch.set_num_threads(options.threads)
    # The small products of augmentation get forty times slower when NumPy's threads wait for each other.
    with threadpool_limits(options.threads, user_api="blas"):
        return _fitted(corpus, options, report)


def _fitted(corpus: Corpus, options: TrainingOptions, report: Callable[[Epoch], None]) -> Trained:
    classes = (*corpus.labels, UNKNOWN, SILENCE)
    training = _Drawer(corpus.training, classes, options.seed)
    network = KeywordNetwork(len(classes))
    watched = _Drawer(corpus.validation, classes, options.seed + 1).fixed()
    history = _epochs(network, training, watched, options, report)
    min_probability = _least_probability(
        _probabilities(network, watched[0]), watched[1], len(corpus.labels)
    )
    drawer = _Drawer(corpus.evaluation, classes, options.seed + 2)
    measured = _measured(network, drawer, min_probability)
    parts = (corpus.training, corpus.validation, corpus.evaluation)
    # A recording may stand in a part more than once, to be drawn more often.
    counts = tuple(len({id(example.samples) for example in part}) for part in parts)
    return Trained(corpus.labels, network, INPUT_FRAMES, min_probability, tuple(history), measured, counts)


def _epochs(
    network: KeywordNetwork,
    training: _Drawer,
    watched: tuple[Inputs, Classes],
    options: TrainingOptions,
    report: Callable[[Epoch], None],
) -> list[Epoch]:
    """The history; leaves the network as it was after its best epoch."""
    optimiser = torch.optim.AdamW(network.parameters(), _HIGHEST_RATE, weight_decay=1e-2)
    steps = max(1, training.per_epoch // options.batch)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, _HIGHEST_RATE, total_steps=options.epochs * steps
    )
    history: list[Epoch] = []
    best, best_state = float("inf"), copy.deepcopy(network.state_dict())
    for number in range(1, options.epochs + 1):
        started_s, total = time.monotonic(), 0.0
        network.train()
        for _ in range(steps):
            inputs, wanted = training.batch(options.batch)
            loss = functional.cross_entropy(
                network(torch.from_numpy(inputs)), torch.from_numpy(wanted), label_smoothing=0.02
            )
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            schedule.step()
            total += loss.item()
        found = _probabilities(network, watched[0])
        right = found[np.arange(len(found)), watched[1]]
        validation_loss = float(-np.log(right + 1e-6).mean())
        accuracy = float((found.argmax(axis=1) == watched[1]).mean())
        seconds = time.monotonic() - started_s
        history.append(Epoch(number, options.epochs, total / steps, validation_loss, accuracy, seconds))
        report(history[-1])
        if validation_loss < best:
            best, best_state, best_number = validation_loss, copy.deepcopy(network.state_dict()), number
        elif number - best_number >= options.patience:
            break
    network.load_state_dict(best_state)
    return history


class _Drawer:
    """Draws network inputs from one part of a corpus, in a world of noises and rooms of its own."""

    def __init__(self, examples: Sequence[Example], classes: Sequence[str], seed: int) -> None:
        self._class_of = {label: index for index, label in enumerate(classes)}
        self._words = [example for example in examples if example.label not in {UNKNOWN, SILENCE}]
        self._unknown = [example.samples for example in examples if example.label == UNKNOWN]
        recorded = [example.samples for example in examples if example.label == SILENCE]
        # No babble of keywords: they would be heard in it, rightly.
        made = make_noises(seed, self._unknown)
        # What was recorded is heard as often as what is made here, however little of it there is.
        repeats = -(-len(made) // len(recorded)) if recorded else 0
        self.augmenter = Augmenter([*made, *recorded * repeats], make_rooms(seed, 25), seed)
        self._queue: list[Example] = []

    @property
    def per_epoch(self) -> int:
        """Inputs of one epoch: every word once, and others."""
        return round(len(self._words) * 1.4)

    def batch(self, size: int) -> tuple[Inputs, Classes]:
        """`size` inputs with holes of time and of coefficients (SpecAugment: Park et al., 2019)."""
        rng, drawn = self.augmenter.rng, []
        for _ in range(size):
            dice = rng.random()
            if dice < 0.66:
                drawn.append(self._next_word())
            elif dice < 0.94:
                drawn.append(self._stranger())
            else:
                drawn.append((self.augmenter.silence(), self._class_of[SILENCE]))
        inputs, wanted = _stacked(drawn)
        for one in inputs:
            for _ in range(2):
                start = rng.randrange(INPUT_FRAMES - 12)
                one[:, start : start + rng.randrange(12)] = 0.0
                start = rng.randrange(COEFFICIENTS - 4)
                one[start : start + rng.randrange(5)] = 0.0
        return inputs, wanted

    def fixed(self) -> tuple[Inputs, Classes]:
        """Every word clean and in noise, with other words and silence: to watch the training by."""
        drawn = [*self.words(CLEAN), *self.words(NOISY_ROOMS), *self.strangers(), *self.silences()]
        return _stacked(drawn)

    def words(self, hardness: Hardness) -> list[tuple[Inputs, int]]:
        return [
            (self.augmenter.word(word.samples, hardness), self._class_of[word.label])
            for word in self._words
        ]

    def strangers(self) -> list[tuple[Inputs, int]]:
        return [self._stranger(spliced=0.0) for _ in range(max(_FEWEST_PIECES, len(self._words) // 2))]

    def silences(self) -> list[tuple[Inputs, int]]:
        count = max(_FEWEST_PIECES, len(self._words) // 8)
        return [(self.augmenter.silence(), self._class_of[SILENCE]) for _ in range(count)]

    def _next_word(self) -> tuple[Inputs, int]:
        if not self._queue:
            self._queue = self.augmenter.rng.sample(self._words, len(self._words))
        word = self._queue.pop()
        return self.augmenter.word(word.samples), self._class_of[word.label]

    def _stranger(self, spliced: float = 0.05) -> tuple[Inputs, int]:
        """A word that is none of the keywords; spliced of two keywords where no others are at hand.

        Otherwise only that share is spliced: a splice may be a keyword by chance.
        """
        rng, label = self.augmenter.rng, self._class_of[UNKNOWN]
        if self._unknown and rng.random() >= spliced:
            samples = rng.choice(self._unknown)
            is_long = len(samples) > LONGEST_S * SAMPLE_RATE_HZ
            return (self.augmenter.stretch(samples) if is_long else self.augmenter.word(samples)), label
        first = rng.choice(self._words)
        others = [word for word in self._words if word.label != first.label]
        return self.augmenter.spliced(first.samples, rng.choice(others).samples), label


def _stacked(drawn: Sequence[tuple[Inputs, int]]) -> tuple[Inputs, Classes]:
    inputs = np.stack([network_input(frames, INPUT_FRAMES) for frames, _ in drawn])
    return inputs, np.array([label for _, label in drawn], np.int64)


def _probabilities(network: KeywordNetwork, inputs: Inputs) -> FloatAudio:
    network.eval()
    with torch.inference_mode():
        scores = [
            network(torch.from_numpy(part)) for part in np.array_split(inputs, -(-len(inputs) // 256))
        ]
        found: FloatAudio = torch.softmax(torch.cat(scores), dim=1).numpy()
    return found


def _least_probability(found: FloatAudio, wanted: Classes, keywords: int) -> float:
    """The lowest probability at which hardly any other word passes for a keyword."""
    unknown = found[wanted == keywords]
    accepted = unknown[unknown.argmax(axis=1) < keywords].max(axis=1, initial=0.0)
    for percent in range(50, 95, 5):
        if (accepted >= percent / 100).sum() <= _ACCEPTED_UNKNOWN * len(unknown):
            return percent / 100
    return 0.95


def _measured(network: KeywordNetwork, drawer: _Drawer, min_probability: float) -> Measured:
    keywords = len(drawer._class_of) - 2

    def outcome(drawn: Sequence[tuple[Inputs, int]]) -> tuple[Classes, Classes]:
        inputs, wanted = _stacked(drawn)
        found = _probabilities(network, inputs)
        best = found.argmax(axis=1)
        unsure = (best < keywords) & (found.max(axis=1) < min_probability)
        return wanted, np.where(unsure, keywords, best).astype(np.int64)

    clean, noisy = outcome(drawer.words(CLEAN)), outcome(drawer.words(NOISY_ROOMS))
    strangers, silences = outcome(drawer.strangers()), outcome(drawer.silences())
    confusion = np.zeros((keywords + 2, keywords + 2), np.int64)
    for wanted, found in (clean, strangers, silences):
        np.add.at(confusion, (wanted, found), 1)
    return Measured(
        clean_accuracy=float((clean[0] == clean[1]).mean()),
        noisy_accuracy=float((noisy[0] == noisy[1]).mean()),
        accepted_unknown=float((strangers[1] < keywords).mean()),
        accepted_silence=float((silences[1] < keywords).mean()),
        confusion=confusion,
    )
