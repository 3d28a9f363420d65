"""Boost: louder, or to a wanted loudness, without ever clipping."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Literal

from clearcast.audio.chunk import FloatSamples
from clearcast.audio.loudness import Loudness
from clearcast.audio.sound import SoundReader, SoundWriter
from clearcast.engines.engine import Engine, Progress, ignore_progress
from clearcast.errors import OptionInvalid
from clearcast.speech.provenance import Provenance

CEILING_DBTP = -1.0  # EBU R 128 §g
LOWEST_TARGET_LUFS, HIGHEST_TARGET_LUFS = -40.0, -5.0
DEFAULT_TARGET_LUFS = -16.0  # AES TD1008 for speech that is streamed

Mode = Literal["2x", "3x", "4x", "5x"]
FACTORS: dict[str, float] = {"2x": 2.0, "3x": 3.0, "4x": 4.0, "5x": 5.0}

Warning_ = Literal["silent", "target_not_reached"]


@dataclass(frozen=True, slots=True)
class BoostOptions:
    """Attributes:
    mode: so many times the amplitude, then limited; or
    target_lufs: the integrated loudness wanted, in [−40, −5]: −14 for music players, −16 for podcasts,
        −23 for broadcast. Neither means −16.

    Raises OptionInvalid when both are given or one is out of range.
    """

    mode: Mode | None = None
    target_lufs: float | None = None

    def __post_init__(self) -> None:
        if self.mode is not None and self.target_lufs is not None:
            raise OptionInvalid("Boost by a factor or to a loudness, not both.")
        if self.mode is not None and self.mode not in FACTORS:
            raise OptionInvalid(f"There is no boost {self.mode!r}.", hint=f"Known: {', '.join(FACTORS)}.")
        target = self.target_lufs
        if target is not None and not LOWEST_TARGET_LUFS <= target <= HIGHEST_TARGET_LUFS:
            raise OptionInvalid(
                f"A loudness of {target:g} LUFS cannot be asked for.",
                hint=f"From {LOWEST_TARGET_LUFS:g} to {HIGHEST_TARGET_LUFS:g}; usual are −14, −16, −23.",
            )

    @property
    def wanted_lufs(self) -> float | None:
        """The loudness to reach; None when a factor was given."""
        if self.mode is not None:
            return None
        return DEFAULT_TARGET_LUFS if self.target_lufs is None else self.target_lufs


@dataclass(frozen=True, slots=True)
class BoostReport:
    """Attributes:
    before, after: what was read and what was written.
    gain_db: the make-up gain before compressor and limiter.
    compression_ratio: of the compressor, 1 where it was not needed.
    deepest_reduction_db: the most that compressor and limiter took away at any time, ≥ 0.
    warnings: "silent" (left as it was), "target_not_reached" (it would have had to be crushed).
    """

    before: Loudness
    after: Loudness
    gain_db: float
    compression_ratio: float
    deepest_reduction_db: float
    warnings: tuple[Warning_, ...]
    provenance: Provenance


class BoostStream(ABC):
    """Sound in, the same amount of louder sound out, `delay_samples` later."""

    delay_samples: int

    @abstractmethod
    def push(self, samples: FloatSamples) -> FloatSamples:
        """Shape (n, channels), float32, in and out. The first `delay_samples` that come out are silence."""

    @abstractmethod
    def flush(self) -> FloatSamples:
        """The last `delay_samples` samples. The stream is spent then."""


class BoostEngine(Engine):
    """Makes sound louder."""

    service = "boost"

    def boost(
        self,
        reader: SoundReader,
        writer: SoundWriter,
        options: BoostOptions = BoostOptions(),
        progress: Progress = ignore_progress,
    ) -> BoostReport:
        """Write all of `reader`, as many samples as it holds, to `writer`; its peak stays below −1 dBTP."""
        self.load()
        return self._run(reader, writer, options, progress)

    def open_stream(
        self, sample_rate_hz: int, channels: int, options: BoostOptions = BoostOptions()
    ) -> BoostStream:
        """For live sound: the same as far as it can be had without knowing what comes."""
        self.load()
        return self._open_stream(sample_rate_hz, channels, options)

    @abstractmethod
    def _run(
        self, reader: SoundReader, writer: SoundWriter, options: BoostOptions, progress: Progress
    ) -> BoostReport: ...

    @abstractmethod
    def _open_stream(self, sample_rate_hz: int, channels: int, options: BoostOptions) -> BoostStream: ...
