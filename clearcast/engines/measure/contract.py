"""Measuring: what a sound is like, in numbers: the score card of every job."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Protocol

from clearcast.audio.chunk import FloatSamples
from clearcast.audio.loudness import Loudness
from clearcast.engines.engine import Engine, Progress, ignore_progress
from clearcast.speech.provenance import Provenance


class Sound(Protocol):
    """What is measured: a `SoundReader`, or anything that reads like one."""

    @property
    def sample_rate_hz(self) -> int: ...

    @property
    def channels(self) -> int: ...

    @property
    def num_samples(self) -> int: ...

    def read(self, start: int, stop: int) -> FloatSamples:
        """Shape (stop − start, channels), less at the end; float32, full scale 1."""
        ...


@dataclass(frozen=True, slots=True)
class Opinion:
    """What listeners would say, as a model guesses it: 1 (bad) to 5 (excellent), ITU-T P.835.

    Attributes:
        speech, background, overall: mean opinion scores.
    """

    speech: float
    background: float
    overall: float


@dataclass(frozen=True, slots=True)
class SoundScore:
    """Attributes:
    loudness: by EBU R 128.
    snr_db: estimated power of speech over that of noise; None for silence.
    opinion: None where no model for it is present.
    """

    loudness: Loudness
    snr_db: float | None
    opinion: Opinion | None
    provenance: Provenance

    def card(self) -> Mapping[str, float | int | None]:
        """As flat names with their units, for results and tables."""
        card = {**asdict(self.loudness), "snr_db": self.snr_db}
        if self.opinion is not None:
            card |= {f"{name}_mos": value for name, value in asdict(self.opinion).items()}
        return card


class MeasureEngine(Engine):
    """Measures sounds of any rate and number of channels, by windows."""

    service = "measure"

    def measure(self, sound: Sound, progress: Progress = ignore_progress) -> SoundScore:
        """Hear the whole sound. Raises ModelCorrupt."""
        self.load()
        return self._run(sound, progress)

    @abstractmethod
    def _run(self, sound: Sound, progress: Progress) -> SoundScore: ...
