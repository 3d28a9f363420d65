"""Extraction by SepFormer, trained on Libri2Mix (SpeechBrain's sepformer-libri2mix, 8 kHz).

Where the wanted person speaks alone the recording stays as it is, at full band. Crowded stretches are
separated into two voices, those of `SepformerSeparation.separate_batch` for the same samples; the one
nearest to the wanted voiceprint is kept. It has nothing above 4 kHz, and the passages say so. See
`_untangle` for windows and levels.

Reference: Subakan et al., "Attention Is All You Need in Speech Separation", 2021.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np

from clearcast.audio.chunk import FloatSamples
from clearcast.audio.recording import FloatAudio
from clearcast.audio.sound import SoundReader, SoundWriter
from clearcast.engines.engine import EngineOptions, Progress
from clearcast.engines.extract._gate import Gate
from clearcast.engines.extract._untangle import SeparatingModel, Untangler
from clearcast.engines.extract.contract import Embed, ExtractionEngine, ExtractOrder
from clearcast.engines.model_choice import check_files, device_for, given_folder, is_path, published
from clearcast.engines.placeholders import forget_placeholders
from clearcast.errors import ModelCorrupt
from clearcast.models.spec import ModelSpec
from clearcast.models.store import locate
from clearcast.speech.extraction import Passage

_BLOCK_SAMPLES = 1 << 16
_COST = 100  # of separating a sample, where copying one costs 1

_FILES = ("hyperparams.yaml", "encoder.ckpt", "masknet.ckpt", "decoder.ckpt")
_PUBLISHED = ModelSpec(
    name="sepformer-libri2mix",
    repo="speechbrain/sepformer-libri2mix",
    files=_FILES,
    licence="Apache-2.0",
    size_bytes=113_000_000,
)


@dataclass(frozen=True)
class SepformerOptions(EngineOptions):
    """Attributes:
    model: "sepformer-libri2mix", or the path of a folder of the same layout, written with a slash.
    device: "auto" takes the GPU where there is one.
    """

    model: str = _PUBLISHED.name
    device: Literal["auto", "cpu", "cuda"] = "auto"


class SepformerEngine(ExtractionEngine):
    """Takes the person's voice out of the others'."""

    Options = SepformerOptions
    options: SepformerOptions
    needs_voiceprints: ClassVar[bool] = True

    _separator: Any

    @classmethod
    def models(cls, options: SepformerOptions) -> tuple[ModelSpec, ...]:
        if is_path(options.model):
            return ()
        return (published(options.model, {_PUBLISHED.name: _PUBLISHED}, "SepFormer model"),)

    @classmethod
    def catalogue(cls) -> tuple[ModelSpec, ...]:
        return (_PUBLISHED,)

    @property
    def model_name(self) -> str:
        return Path(self.options.model).name

    def _load(self) -> None:
        folder = self._folder()
        import torch
        from speechbrain.inference.separation import SepformerSeparation
        from speechbrain.utils.fetching import FetchConfig

        forget_placeholders()
        device = device_for(self.options.device, "SepFormer", has_gpu=torch.cuda.is_available())
        try:
            self._separator = SepformerSeparation.from_hparams(
                source=str(folder),
                fetch_config=FetchConfig(allow_network=False),
                # Without a savedir nothing is linked or copied, and no other model's copy is found there.
                savedir=None,
                run_opts={"device": device},
            )
            second = np.zeros(self._model().rate_hz, np.float32)
            shape = self._separate(second).shape
        except Exception as error:  # whatever torch, pickle and the YAML loader find wrong
            raise ModelCorrupt(f"The SepFormer model in {folder} cannot be read: {error}") from error
        if shape[1] < 2:
            raise ModelCorrupt(f"The model in {folder} makes {shape[1]} voice, not two.")

    def _folder(self) -> Path:
        if self.models(self.options):
            return locate(_PUBLISHED, self.context.models_dir)
        folder = given_folder(self.options.model, self.engine_name())
        check_files(folder, _FILES, "SpeechBrain SepFormer model")
        return folder

    def _run(
        self,
        reader: SoundReader,
        writer: SoundWriter,
        order: ExtractOrder,
        embed: Embed,
        progress: Progress,
    ) -> tuple[Passage, ...]:
        progress(0.0)
        alone = Gate(order.alone, reader.sample_rate_hz)
        untangler = Untangler(reader, order, embed, self._model())
        whole = reader.num_samples + _COST * untangler.total_samples
        for start in range(0, reader.num_samples, _BLOCK_SAMPLES):
            for _ in untangler.advance(start + _BLOCK_SAMPLES):
                progress((start + _COST * untangler.heard_samples) / whole)
            block = reader.read(start, start + _BLOCK_SAMPLES)
            result = block * alone.gains(start, start + len(block))[:, None]
            untangler.add_to(result, start)
            writer.write(result)
            progress((start + len(block) + _COST * untangler.heard_samples) / whole)
        progress(1.0)
        kept = [Passage(span.start_s, span.end_s, "alone") for span in order.alone]
        return tuple(sorted([*kept, *untangler.passages()], key=lambda passage: passage.start_s))

    def _model(self) -> SeparatingModel:
        return SeparatingModel(int(self._separator.hparams.sample_rate), self._separate)

    def _separate(self, mix: FloatAudio) -> FloatSamples:
        """The voices in a mix of shape (n,), shape (n, voices), in no fixed order and of any scale."""
        import torch

        with torch.inference_mode():
            found = self._separator.separate_batch(torch.from_numpy(np.array(mix, np.float32))[None])
        voices: FloatSamples = found[0].cpu().numpy()
        return voices
