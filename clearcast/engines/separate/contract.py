"""Separation: music taken apart into stems, or voice from accompaniment."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from clearcast.audio.chunk import FloatSamples
from clearcast.audio.sound import SoundReader, SoundWriter
from clearcast.engines.engine import Engine, Progress, ignore_progress
from clearcast.errors import OptionInvalid, SeparationNeedsStereo
from clearcast.speech.provenance import Provenance

VOCALS = "vocals"
ACCOMPANIMENT = "accompaniment"
"""Everything but the vocals: the sum of the other stems."""

_LOWEST_RESIDUAL_DB = -200.0


@dataclass(frozen=True, slots=True)
class SeparateOptions:
    """Attributes:
    stems: which to write, any of the engine's `stems()`.

    Raises OptionInvalid when none or one twice is named.
    """

    stems: tuple[str, ...] = (VOCALS, ACCOMPANIMENT)

    def __post_init__(self) -> None:
        if not self.stems or len(set(self.stems)) != len(self.stems):
            raise OptionInvalid("Name at least one stem, and each once.")


@dataclass(frozen=True, slots=True)
class Separation:
    """What was written.

    Attributes:
        stems: names, in the order asked for.
        residual_db: power of what is missing when all stems are added up, relative to the mix; −200 where
            nothing is missing. None when not all of them were computed, or the mix is silent.
    """

    stems: tuple[str, ...]
    residual_db: float | None
    provenance: Provenance


class SeparationEngine(Engine):
    """Takes a mix apart."""

    service = "separate"

    @abstractmethod
    def stems(self) -> tuple[str, ...]:
        """Names of what it can write, "accompaniment" among them. May load the model."""

    def separate(
        self,
        reader: SoundReader,
        writers: Mapping[str, SoundWriter],
        options: SeparateOptions = SeparateOptions(),
        progress: Progress = ignore_progress,
    ) -> Separation:
        """Write each stem with the rate, the channels and the length of `reader`.

        `writers` holds one for each of the options' stems. Raises OptionInvalid for a stem that the engine
        does not know, SeparationNeedsStereo for sound it cannot take apart.
        """
        self.load()
        known = self.stems()
        for stem in options.stems:
            if stem not in known:
                raise OptionInvalid(
                    f"The engine {self.engine_name()} with model {self.model_name!r} has no stem {stem!r}.",
                    hint=f"It has: {', '.join(known)}.",
                )
        if set(writers) != set(options.stems):
            raise ValueError(f"writers for {sorted(writers)}, but stems {sorted(options.stems)} are wanted")
        for writer in writers.values():
            if (writer.sample_rate_hz, writer.channels) != (reader.sample_rate_hz, reader.channels):
                raise ValueError("a stem has the rate and the channels of the mix")
        if reader.channels > 2:
            raise SeparationNeedsStereo(
                f"The sound has {reader.channels} channels.", hint="Mix it down to stereo first."
            )
        residual_db = self._run(reader, writers, progress)
        return Separation(options.stems, residual_db, self.provenance)

    @abstractmethod
    def _run(
        self, reader: SoundReader, writers: Mapping[str, SoundWriter], progress: Progress
    ) -> float | None:
        """Returns the residual in dB."""


class ResidualMeter:
    """Adds up the power of a mix and of what its stems leave out."""

    def __init__(self) -> None:
        self._mix = self._missing = 0.0

    def add(self, mix: FloatSamples, stems_sum: FloatSamples) -> None:
        """Two blocks of the same shape."""
        self._mix += float(np.sum(np.square(mix, dtype=np.float64)))
        self._missing += float(np.sum(np.square(mix.astype(np.float64) - stems_sum)))

    def residual_db(self) -> float | None:
        """None for a silent mix."""
        if self._mix == 0.0:
            return None
        share = self._missing / self._mix
        return max(_LOWEST_RESIDUAL_DB, 10.0 * math.log10(share)) if share > 0.0 else _LOWEST_RESIDUAL_DB
