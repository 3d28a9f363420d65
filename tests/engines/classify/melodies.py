"""Words that need no speech: a horn's melodies, told apart by their course. A horn and not a whistle: like
speech it has power in most of the spectrum."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import soundfile

from clearcast.audio.recording import SAMPLE_RATE_HZ, FloatAudio
from clearcast.engines.classify.training.corpus import Corpus, Example, divided

COURSES = {"up": (200.0, 600.0), "down": (600.0, 200.0), "high": (800.0, 800.0)}


def melody(word: str, rng: random.Random) -> FloatAudio:
    """A third of a second or so, in harmonics up to 7 kHz."""
    length = round(rng.uniform(0.25, 0.45) * SAMPLE_RATE_HZ)
    start_hz, end_hz = (rng.uniform(0.9, 1.1) * edge_hz for edge_hz in COURSES[word])
    phase = 2 * np.pi * np.cumsum(np.linspace(start_hz, end_hz, length)) / SAMPLE_RATE_HZ
    shape = np.hanning(length) ** 0.3
    harmonics = sum(np.sin(n * phase + n) / n**0.5 for n in range(1, int(7000 // max(start_hz, end_hz))))
    return np.asarray(0.1 * shape * harmonics, np.float32)


def played(count: int, seed: int = 1) -> Corpus:
    """`count` takes of each word, by players of which nobody is in two parts."""
    rng = random.Random(seed)
    return divided(
        [Example(word, f"player {take}", melody(word, rng)) for word in COURSES for take in range(count)]
    )


def write_folder(folder: Path, count: int, seed: int = 1) -> Path:
    """The same as recordings, a folder for each word."""
    rng = random.Random(seed)
    for word in COURSES:
        (folder / word).mkdir(parents=True)
        for take in range(count):
            soundfile.write(folder / word / f"{take}.wav", melody(word, rng), SAMPLE_RATE_HZ)
    return folder


def sentence(words: str, pause_s: float = 0.4) -> FloatAudio:
    """Several words with pauses around them."""
    rng, pause = random.Random(7), np.zeros(round(pause_s * SAMPLE_RATE_HZ), np.float32)
    return np.concatenate([pause, *(part for word in words.split() for part in (melody(word, rng), pause))])
