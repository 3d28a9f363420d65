"""An ECAPA-TDNN model folder as SpeechBrain reads it, with random weights.

The files are those of the published spkrec-ecapa-voxceleb model; width and number of classes are free.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

EMBEDDING_SIZE = 192
PUBLISHED_CHANNELS = 1024
PUBLISHED_CLASSES = 7205

_HYPERPARAMS = """\
n_mels: 80
pretrained_path: speechbrain/spkrec-ecapa-voxceleb
out_n_neurons: {classes}

compute_features: !new:speechbrain.lobes.features.Fbank
    n_mels: !ref <n_mels>
mean_var_norm: !new:speechbrain.processing.features.InputNormalization
    norm_type: sentence
    std_norm: False
embedding_model: !new:speechbrain.lobes.models.ECAPA_TDNN.ECAPA_TDNN
    input_size: !ref <n_mels>
    channels: [{channels}, {channels}, {channels}, {channels}, {last_channels}]
    kernel_sizes: [5, 3, 3, 3, 1]
    dilations: [1, 2, 3, 4, 1]
    attention_channels: 128
    lin_neurons: {embedding}
classifier: !new:speechbrain.lobes.models.ECAPA_TDNN.Classifier
    input_size: {embedding}
    out_neurons: !ref <out_n_neurons>
mean_var_norm_emb: !new:speechbrain.processing.features.InputNormalization
    norm_type: global
    std_norm: False
label_encoder: !new:speechbrain.dataio.encoder.CategoricalEncoder

modules:
    compute_features: !ref <compute_features>
    mean_var_norm: !ref <mean_var_norm>
    embedding_model: !ref <embedding_model>
    mean_var_norm_emb: !ref <mean_var_norm_emb>
    classifier: !ref <classifier>

pretrainer: !new:speechbrain.utils.parameter_transfer.Pretrainer
    loadables:
        embedding_model: !ref <embedding_model>
        mean_var_norm_emb: !ref <mean_var_norm_emb>
        classifier: !ref <classifier>
        label_encoder: !ref <label_encoder>
    paths:
        embedding_model: !ref <pretrained_path>/embedding_model.ckpt
        mean_var_norm_emb: !ref <pretrained_path>/mean_var_norm_emb.ckpt
        classifier: !ref <pretrained_path>/classifier.ckpt
        label_encoder: !ref <pretrained_path>/label_encoder.txt
"""


def write_ecapa(folder: Path, *, channels: int = 16, classes: int = 8, seed: int = 0) -> Path:
    """Write hyperparams.yaml, three .ckpt files and label_encoder.txt; returns `folder`.

    The same seed writes the same weights.
    """
    import torch
    from hyperpyyaml import load_hyperpyyaml

    folder.mkdir(parents=True, exist_ok=True)
    text = _HYPERPARAMS.format(
        classes=classes, channels=channels, last_channels=3 * channels, embedding=EMBEDDING_SIZE
    )
    (folder / "hyperparams.yaml").write_text(text, encoding="utf-8")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        parts = load_hyperpyyaml(text)
        torch.save(parts["embedding_model"].state_dict(), folder / "embedding_model.ckpt")
        torch.save(parts["classifier"].state_dict(), folder / "classifier.ckpt")
        _save_statistics(parts["mean_var_norm_emb"], folder / "mean_var_norm_emb.ckpt")
    _write_labels(folder / "label_encoder.txt", classes)
    return folder


def _save_statistics(norm: Any, path: Path) -> None:
    import torch

    norm.train()
    for _ in range(3):
        norm(torch.randn(4, 1, EMBEDDING_SIZE), torch.ones(4))
    norm._save(str(path))


def _write_labels(path: Path, classes: int) -> None:
    lines = [f"'id{10_001 + index}' => {index}" for index in range(classes)]
    path.write_text("\n".join([*lines, "=" * 16, "'starting_index' => 0", ""]), encoding="utf-8")
