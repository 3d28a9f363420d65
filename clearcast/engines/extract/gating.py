"""Extraction without a model: the recording, silent where the wanted person does not speak.

Where others speak at the same time they stay audible; the passages say where that is.
"""

from __future__ import annotations

from clearcast.audio.sound import SoundReader, SoundWriter
from clearcast.engines.engine import Progress
from clearcast.engines.extract._gate import Gate
from clearcast.engines.extract.contract import Embed, ExtractionEngine, ExtractOrder
from clearcast.speech.extraction import Passage

BLOCK_SAMPLES = 1 << 16


class GatingEngine(ExtractionEngine):
    """Opens for the person's turns."""

    @property
    def model_name(self) -> str:
        return "gate"

    def _load(self) -> None:
        """Nothing to load."""

    def _run(
        self,
        reader: SoundReader,
        writer: SoundWriter,
        order: ExtractOrder,
        embed: Embed,
        progress: Progress,
    ) -> tuple[Passage, ...]:
        gate = Gate(sorted((*order.alone, *order.crowded)), reader.sample_rate_hz)
        for start in range(0, reader.num_samples, BLOCK_SAMPLES):
            block = reader.read(start, start + BLOCK_SAMPLES)
            writer.write(block * gate.gains(start, start + len(block))[:, None])
            progress((start + len(block)) / reader.num_samples)
        progress(1.0)
        return tuple(
            sorted(
                [
                    *(Passage(span.start_s, span.end_s, "alone") for span in order.alone),
                    *(Passage(span.start_s, span.end_s, "crowded") for span in order.crowded),
                ],
                key=lambda passage: passage.start_s,
            )
        )
