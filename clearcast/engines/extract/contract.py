"""Extraction: one person's voice out of a recording in which several people speak.

What lives here: the contract. What does not: finding out who speaks when and who of them is wanted
(`pipelines/recipes/extract.py`).
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from clearcast.audio.recording import FloatAudio
from clearcast.audio.sound import SoundReader, SoundWriter
from clearcast.engines.embed.contract import Embedding
from clearcast.engines.engine import Engine, Progress, ignore_progress
from clearcast.speech.extraction import Passage
from clearcast.speech.provenance import Provenance
from clearcast.speech.turns import Span

Embed = Callable[[Sequence[FloatAudio]], Embedding]
"""Voiceprints of utterances: float32, 16 kHz, mono, shape (n,) each → shape (utterances, dimension)."""


@dataclass(frozen=True, slots=True)
class ExtractOrder:
    """Whom to keep.

    Attributes:
        alone: where the wanted person speaks and nobody else; sorted, apart from each other.
        crowded: where they speak while others do; sorted, apart from each other and from `alone`.
        voiceprint: theirs, shape (dimension,), L2 norm 1.
    """

    alone: tuple[Span, ...]
    crowded: tuple[Span, ...]
    voiceprint: Embedding


@dataclass(frozen=True, slots=True)
class Extraction:
    """What was written: the passages in order of time, those that a model untangled with their scores."""

    passages: tuple[Passage, ...]
    provenance: Provenance


class ExtractionEngine(Engine):
    """Keeps one person's voice.

    Class attribute: `needs_voiceprints`, whether `embed` is called at all.
    """

    service = "extract"
    needs_voiceprints: ClassVar[bool] = False

    def extract(
        self,
        reader: SoundReader,
        writer: SoundWriter,
        order: ExtractOrder,
        embed: Embed,
        progress: Progress = ignore_progress,
    ) -> Extraction:
        """Write that person with the rate, the channels and the length of `reader`.

        `embed` makes voiceprints that may be compared with the order's. Samples at which the person speaks
        alone are those of the recording, but for fades of 20 ms at the edges.
        """
        if (writer.sample_rate_hz, writer.channels) != (reader.sample_rate_hz, reader.channels):
            raise ValueError("what is extracted has the rate and the channels of the recording")
        self.load()
        return Extraction(self._run(reader, writer, order, embed, progress), self.provenance)

    @abstractmethod
    def _run(
        self,
        reader: SoundReader,
        writer: SoundWriter,
        order: ExtractOrder,
        embed: Embed,
        progress: Progress,
    ) -> tuple[Passage, ...]: ...
