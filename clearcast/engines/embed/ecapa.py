"""Voice embedding by ECAPA-TDNN, trained on VoxCeleb (SpeechBrain's spkrec-ecapa-voxceleb).

Vectors are those of `EncoderClassifier.encode_batch` for the same samples, made unit length.

Reference: Desplanques et al., "ECAPA-TDNN: Emphasized Channel Attention, Propagation and Aggregation in
TDNN Based Speaker Verification", 2020.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np

from clearcast.audio.recording import SAMPLE_RATE_HZ, FloatAudio
from clearcast.engines.embed.contract import Calibration, Embedding, EmbeddingEngine
from clearcast.engines.engine import EngineOptions
from clearcast.engines.model_choice import check_files, device_for, given_folder, is_path, published
from clearcast.engines.placeholders import forget_placeholders
from clearcast.errors import ModelCorrupt
from clearcast.models.spec import ModelSpec
from clearcast.models.store import locate

_FILES = (
    "hyperparams.yaml",
    "embedding_model.ckpt",
    "mean_var_norm_emb.ckpt",
    "classifier.ckpt",
    "label_encoder.txt",
)
_PUBLISHED = ModelSpec(
    name="spkrec-ecapa-voxceleb",
    repo="speechbrain/spkrec-ecapa-voxceleb",
    files=_FILES,
    licence="Apache-2.0",
    size_bytes=89_000_000,
)


@dataclass(frozen=True)
class EcapaOptions(EngineOptions):
    """Attributes:
    model: "spkrec-ecapa-voxceleb", or the path of a folder of the same layout, written with a slash.
    device: "auto" takes the GPU where there is one.
    batch_s: seconds of sound, padding included, that go through the network at once; bounds memory.
    pad_batches: also batch utterances of unequal length, padded with silence (`wav_lens` upstream). Faster
        on a GPU, but a vector then depends on its neighbours in the batch: with random weights the cosine
        to the vector of the same utterance alone was 0.9999 at 3 s and 0.998 at half a second.
    """

    model: str = _PUBLISHED.name
    device: Literal["auto", "cpu", "cuda"] = "auto"
    batch_s: float = 300.0
    pad_batches: bool = False


class EcapaEngine(EmbeddingEngine):
    """192 numbers for a voice."""

    Options = EcapaOptions
    options: EcapaOptions
    dimension: ClassVar[int] = 192
    # Not calibrated by us: no weights were at hand. 0.25 is the threshold SpeechBrain's own
    # `SpeakerRecognition.verify_batch` takes for one pair, "same or not". An open set compares with every
    # enrolled voice, so chance hits add up and "identified" asks for more.
    calibration: ClassVar[Calibration] = Calibration(
        accept_score=0.40, uncertain_score=0.25, present_score=0.25
    )

    _encoder: Any

    @classmethod
    def models(cls, options: EcapaOptions) -> tuple[ModelSpec, ...]:
        if is_path(options.model):
            return ()
        return (published(options.model, {_PUBLISHED.name: _PUBLISHED}, "ECAPA model"),)

    @classmethod
    def catalogue(cls) -> tuple[ModelSpec, ...]:
        return (_PUBLISHED,)

    @property
    def model_name(self) -> str:
        return Path(self.options.model).name

    def _load(self) -> None:
        folder = self._folder()
        import torch
        from speechbrain.inference.classifiers import EncoderClassifier
        from speechbrain.utils.fetching import FetchConfig

        forget_placeholders()
        device = device_for(self.options.device, "ECAPA", has_gpu=torch.cuda.is_available())
        try:
            self._encoder = EncoderClassifier.from_hparams(
                source=str(folder),
                # The published file names the hub here, and the weights would be fetched from there.
                overrides={"pretrained_path": str(folder)},
                overrides_must_match=False,
                fetch_config=FetchConfig(allow_network=False),
                # Without a savedir nothing is linked or copied, and no other model's copy is found there.
                savedir=None,
                run_opts={"device": device},
            )
            second = np.zeros(SAMPLE_RATE_HZ, np.float32)
            size = self._encode([second]).shape[1]
        except Exception as error:  # whatever torch, pickle and the YAML loader find wrong
            raise ModelCorrupt(f"The ECAPA model in {folder} cannot be read: {error}") from error
        if size != self.dimension:
            raise ModelCorrupt(f"The model in {folder} makes {size} numbers, not {self.dimension}.")

    def _folder(self) -> Path:
        if self.models(self.options):
            return locate(_PUBLISHED, self.context.models_dir)
        folder = given_folder(self.options.model, self.engine_name())
        check_files(folder, _FILES, "SpeechBrain ECAPA model")
        return folder

    def _run(self, utterances: Sequence[FloatAudio]) -> Embedding:
        embeddings = np.empty((len(utterances), self.dimension), np.float32)
        for batch in _batches(utterances, self.options.batch_s, self.options.pad_batches):
            embeddings[batch] = self._encode([utterances[index] for index in batch])
        return embeddings

    def _encode(self, utterances: Sequence[FloatAudio]) -> Embedding:
        """Unit vectors of one padded batch, shape (len(utterances), 192)."""
        import torch

        longest = max(len(utterance) for utterance in utterances)
        padded = torch.zeros(len(utterances), longest)
        for row, utterance in zip(padded, utterances, strict=True):
            # A copy: torch warns about arrays it may not write to.
            row[: len(utterance)] = torch.from_numpy(np.array(utterance, np.float32))
        lengths = torch.tensor([len(utterance) / longest for utterance in utterances])
        with torch.inference_mode():
            vectors = self._encoder.encode_batch(padded, lengths)[:, 0]
            vectors = torch.nn.functional.normalize(vectors, dim=-1)
        result: Embedding = vectors.cpu().numpy()
        return result


def _batches(utterances: Sequence[FloatAudio], batch_s: float, pad: bool) -> Iterator[list[int]]:
    """Indices of the utterances in groups of equal (with `pad`, of like) length, whose sound with padding
    stays within `batch_s`."""
    limit = round(batch_s * SAMPLE_RATE_HZ)
    batch: list[int] = []
    for index in sorted(range(len(utterances)), key=lambda index: len(utterances[index])):
        length = len(utterances[index])
        fits = (len(batch) + 1) * length <= limit and (
            pad or not batch or len(utterances[batch[0]]) == length
        )
        if batch and not fits:
            yield batch
            batch = []
        batch.append(index)
    if batch:
        yield batch
