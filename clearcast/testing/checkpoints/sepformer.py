"""A SepFormer model folder as SpeechBrain reads it, with random weights.

The files are those of the published sepformer-libri2mix model; widths and depths are free.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

_BLOCK = """\
    num_layers: {layers}
    d_model: !ref <out_channels>
    nhead: 8
    d_ffn: !ref <d_ffn>
    dropout: 0
    use_positional_encoding: True
    norm_before: True
"""

_HYPERPARAMS = """\
sample_rate: {sample_rate_hz}
num_spks: {voices}
N_encoder_out: {channels}
out_channels: {channels}
kernel_size: 16
kernel_stride: 8
d_ffn: {feed_forward}

Encoder: !new:speechbrain.lobes.models.dual_path.Encoder
    kernel_size: !ref <kernel_size>
    out_channels: !ref <N_encoder_out>

SBtfintra: !new:speechbrain.lobes.models.dual_path.SBTransformerBlock
{block}
SBtfinter: !new:speechbrain.lobes.models.dual_path.SBTransformerBlock
{block}
MaskNet: !new:speechbrain.lobes.models.dual_path.Dual_Path_Model
    num_spks: !ref <num_spks>
    in_channels: !ref <N_encoder_out>
    out_channels: !ref <out_channels>
    num_layers: {dual_layers}
    K: {chunk}
    intra_model: !ref <SBtfintra>
    inter_model: !ref <SBtfinter>
    norm: ln
    linear_layer_after_inter_intra: False
    skip_around_intra: True

Decoder: !new:speechbrain.lobes.models.dual_path.Decoder
    in_channels: !ref <N_encoder_out>
    out_channels: 1
    kernel_size: !ref <kernel_size>
    stride: !ref <kernel_stride>
    bias: False

modules:
    encoder: !ref <Encoder>
    decoder: !ref <Decoder>
    masknet: !ref <MaskNet>

pretrainer: !new:speechbrain.utils.parameter_transfer.Pretrainer
    loadables:
        encoder: !ref <Encoder>
        masknet: !ref <MaskNet>
        decoder: !ref <Decoder>
"""


@dataclass(frozen=True, slots=True)
class SepformerShape:
    """Sizes of a network; the defaults are small.

    Attributes:
        channels: of the encoder and the mask network; a multiple of its 8 heads.
        feed_forward: width of the transformers' inner layers.
        layers: of each transformer.
        dual_layers: pairs of transformers, within and across chunks.
        chunk: encoder frames (1 ms at 8 kHz) in a chunk.
        voices: streams that come out.
    """

    channels: int = 16
    feed_forward: int = 16
    layers: int = 1
    dual_layers: int = 1
    chunk: int = 250
    voices: int = 2
    sample_rate_hz: int = 8_000


PUBLISHED_SHAPE = SepformerShape(channels=256, feed_forward=1024, layers=8, dual_layers=2)


def write_sepformer(folder: Path, shape: SepformerShape = SepformerShape(), *, seed: int = 0) -> Path:
    """Write hyperparams.yaml and three .ckpt files; returns `folder`.

    The same seed writes the same weights.
    """
    import torch
    from hyperpyyaml import load_hyperpyyaml

    folder.mkdir(parents=True, exist_ok=True)
    text = _HYPERPARAMS.format(
        sample_rate_hz=shape.sample_rate_hz,
        voices=shape.voices,
        channels=shape.channels,
        feed_forward=shape.feed_forward,
        dual_layers=shape.dual_layers,
        chunk=shape.chunk,
        block=_BLOCK.format(layers=shape.layers),
    )
    (folder / "hyperparams.yaml").write_text(text, encoding="utf-8")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        parts = load_hyperpyyaml(text)
    for part in ("Encoder", "MaskNet", "Decoder"):
        torch.save(parts[part].state_dict(), folder / f"{part.lower()}.ckpt")
    return folder
