"""Resemblyzer: 256-d voiceprints by a network whose trained weights are inside its package.

What lives here: voiceprints of utterances, and of the fixed windows in which the diarizer walks over a
recording. What does not: finding speech, and comparing voiceprints.

Source: Resemblyzer (resemble-ai), after Wan et al., "Generalized End-to-End Loss for Speaker Verification",
2018.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from clearcast.audio.recording import FloatAudio
from clearcast.engines.embed._speaker_space import SpeakerSpace
from clearcast.engines.embed._voice_encoder import (
    FRAME_SAMPLES,
    MelFrames,
    load_encoder,
    mel_frames,
    partial_frames,
)
from clearcast.engines.embed.contract import Calibration, Embedding, EmbeddingEngine
from clearcast.engines.engine import EngineOptions

FRAME_S = 0.01  # one mel frame
LEVEL_DBFS = -30.0  # the level its training data was brought to
BATCH = 64  # windows that go through the network at once: faster than singles, 30 MB at most
PARTIALS_PER_S = 1.3  # the package's own rate of windows within an utterance
MIN_COVERAGE = 0.75  # and the part of the last window that sound must fill


@dataclass(frozen=True)
class ResemblyzerOptions(EngineOptions):
    """Attributes:
    device: "cpu" or "cuda".
    threads: CPU threads.
    """

    device: str = "cpu"
    threads: int = 1


class Resemblyzer(EmbeddingEngine):
    """Voiceprints good from 3 s of speech on.

    Calibrated on clean read speech with five people enrolled and 3 s to tell them by: at 0.80 all are
    identified and 2 % of strangers taken for somebody; at 0.75 it would be 12 % (`make bench ONLY=ident`).
    """

    Options = ResemblyzerOptions
    options: ResemblyzerOptions
    model_name = "resemblyzer"
    dimension = 256
    calibration = Calibration(accept_score=0.80, uncertain_score=0.65, present_score=0.60)

    def _load(self) -> None:
        import torch

        torch.set_num_threads(self.options.threads)
        self._torch: Any = torch
        self._encoder = load_encoder(self.options.device)

    def likeness(self, voiceprint: Embedding, others: Embedding) -> Embedding:
        """Cosine in the speaker space of the diarizer, in which a room changes less than a voice does.

        Between recordings of different rooms it tells far more than the plain cosine (`bench/extract.py`).
        """
        space = _speaker_space()
        wanted, found = space.project(voiceprint[np.newaxis])[0], space.project(others)
        norms = np.linalg.norm(found, axis=1) * np.linalg.norm(wanted)
        return np.asarray(found @ wanted / np.maximum(norms, 1e-9), np.float32)

    def _run(self, utterances: Sequence[FloatAudio]) -> Embedding:
        """As the package's `embed_utterance` does it for one, in one batch for all."""
        windows: list[MelFrames] = []
        owners: list[int] = []
        for index, utterance in enumerate(utterances):
            partials = self._partials(levelled(utterance))
            windows.extend(partials)
            owners.extend([index] * len(partials))
        embeddings = self.embed_windows(windows)
        owner = np.asarray(owners)
        means = np.stack([embeddings[owner == index].mean(axis=0) for index in range(len(utterances))])
        return np.asarray(means / np.linalg.norm(means, axis=1, keepdims=True), np.float32)

    def _partials(self, sound: FloatAudio) -> list[MelFrames]:
        parts = partial_frames(len(sound), PARTIALS_PER_S, MIN_COVERAGE)
        missing = max(0, parts[-1].stop * FRAME_SAMPLES - len(sound))
        frames = mel_frames(np.pad(sound, (0, missing)))
        return [frames[part] for part in parts]

    def mel_frames(self, sound: FloatAudio) -> MelFrames:
        """Mel power spectrum, shape (frames, 40), a frame each 10 ms, of sound at `LEVEL_DBFS`."""
        return mel_frames(sound)

    def embed_windows(self, windows: Sequence[MelFrames]) -> Embedding:
        """One unit vector per window, shape (len(windows), 256); windows of one length share batches."""
        self.load()
        embeddings = np.zeros((len(windows), self.dimension), np.float32)
        by_length: dict[int, list[int]] = {}
        for index, window in enumerate(windows):
            by_length.setdefault(len(window), []).append(index)
        for indexes in by_length.values():
            for start in range(0, len(indexes), BATCH):
                chosen = indexes[start : start + BATCH]
                embeddings[chosen] = self._forward(np.stack([windows[index] for index in chosen]))
        return embeddings

    def _forward(self, batch: MelFrames) -> Embedding:
        with self._torch.inference_mode():
            vectors: Embedding = (
                self._encoder(self._torch.from_numpy(batch).to(self.options.device)).cpu().numpy()
            )
        return vectors


@functools.cache
def _speaker_space() -> SpeakerSpace:
    return SpeakerSpace.load()


def levelled(sound: FloatAudio) -> FloatAudio:
    """The sound brought to `LEVEL_DBFS` (root mean square), quiet and loud alike."""
    rms = float(np.sqrt(np.mean(np.square(sound, dtype=np.float64)) + 1e-12))
    return np.asarray(sound * np.float32(10 ** (LEVEL_DBFS / 20) / rms), np.float32)
