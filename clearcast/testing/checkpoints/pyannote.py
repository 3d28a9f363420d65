"""pyannote.audio pipelines on disk, with random weights: the community-1 layout and the 3.1 layout.

Networks have the real classes and file format; by default they are small and the windows few, so that ten
seconds of sound take about a second. `real_size` writes the published sizes instead.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import yaml

_EMBEDDING_SIZE = 256  # of WeSpeaker ResNet34
_PLDA_SIZE = 128
_LOUDER = 100.0
_ONE_AT_A_TIME = 2.0

COMMUNITY_PARAMS = {
    "clustering": {"threshold": 0.6, "Fa": 0.07, "Fb": 0.8},
    "segmentation": {"min_duration_off": 0.0},
}
VERSION_31_PARAMS = {
    "clustering": {"method": "centroid", "min_cluster_size": 12, "threshold": 0.7045654963945799},
    "segmentation": {"min_duration_off": 0.0},
}


def write_community(folder: Path, *, real_size: bool = False, seed: int = 0) -> Path:
    """Write config.yaml, segmentation/, embedding/ and plda/ as speaker-diarization-community-1 has them.

    Returns `folder`. The same seed writes the same weights.
    """
    _write_segmentation(folder / "segmentation", real_size, seed)
    _write_embedding(folder / "embedding", real_size, seed)
    _write_plda(folder / "plda", seed)
    params = {
        "clustering": "VBxClustering",
        "segmentation": "$model/segmentation",
        "embedding": "$model/embedding",
        "plda": "$model/plda",
    }
    config = {"dependencies": {"pyannote.audio": "4.0.0"}, **_config(params, COMMUNITY_PARAMS, real_size)}
    _write_yaml(folder / "config.yaml", config)
    return folder


def write_version_31(
    pipeline: Path, segmentation: Path, embedding: Path, *, real_size: bool = False, seed: int = 0
) -> Path:
    """Write the three repositories that speaker-diarization-3.1 consists of, each into its folder.

    `pipeline/config.yaml` names the other two by their hub names, as published. Returns `pipeline`.
    """
    _write_segmentation(segmentation, real_size, seed)
    _write_embedding(embedding, real_size, seed)
    params = {
        "clustering": "AgglomerativeClustering",
        "segmentation": "pyannote/segmentation-3.0",
        "embedding": "pyannote/wespeaker-voxceleb-resnet34-LM",
    }
    config = {"version": "3.1.0", **_config(params, VERSION_31_PARAMS, real_size)}
    _write_yaml(pipeline / "config.yaml", config)
    return pipeline


def _config(params: dict[str, str], tuned: dict[str, Any], real_size: bool) -> dict[str, Any]:
    shared = {"segmentation_batch_size": 32, "embedding_batch_size": 32, "embedding_exclude_overlap": True}
    fewer_windows = {} if real_size else {"segmentation_step": 0.25}
    pipeline = {
        "name": "pyannote.audio.pipelines.SpeakerDiarization",
        "params": {**params, **shared, **fewer_windows},
    }
    return {"pipeline": pipeline, "params": tuned}


def _write_yaml(path: Path, values: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(values, sort_keys=False), encoding="utf-8")


def _write_segmentation(folder: Path, real_size: bool, seed: int) -> None:
    # Read by the library at import: it sends usage figures to its makers unless told not to.
    os.environ["PYANNOTE_METRICS_ENABLED"] = "0"
    import torch
    from pyannote.audio.core.task import Problem, Resolution, Specifications
    from pyannote.audio.models.segmentation import PyanNet

    lstm = {"hidden_size": 128, "num_layers": 4, "bidirectional": True, "monolithic": True, "dropout": 0.5}
    linear = {"hidden_size": 128, "num_layers": 2}
    if not real_size:
        lstm |= {"hidden_size": 8, "num_layers": 1, "dropout": 0.0}
        linear = {"hidden_size": 8, "num_layers": 1}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = PyanNet(sincnet={"stride": 10}, lstm=lstm, linear=linear)
        model.specifications = Specifications(
            problem=Problem.MONO_LABEL_CLASSIFICATION,
            resolution=Resolution.FRAME,
            duration=10.0,
            warm_up=(0.0, 0.0),
            classes=["speaker#1", "speaker#2", "speaker#3"],
            powerset_max_classes=2,
            permutation_invariant=True,
        )
        model.build()  # type: ignore[no-untyped-call]
        _take_sides(model)
        _save(model, folder)


def _take_sides(model: Any) -> None:
    """Make the random classifier change its mind: centred on what it says about noise, then louder, with
    a preference for one speaker at a time over silence and overlap."""
    import torch

    model.eval()
    bursts = torch.randn(1, 1, 160_000) * torch.rand(1, 1, 100).repeat_interleave(1600, dim=-1)
    heard: list[Any] = []
    handle = model.classifier.register_forward_hook(lambda _module, _inputs, output: heard.append(output))
    with torch.no_grad():
        model.classifier.weight.mul_(_LOUDER)
        model(bursts)
        model.classifier.bias.sub_(heard[0].mean(dim=(0, 1)))
        model.classifier.bias[1:4] += _ONE_AT_A_TIME
    handle.remove()


def _write_embedding(folder: Path, real_size: bool, seed: int) -> None:
    os.environ["PYANNOTE_METRICS_ENABLED"] = "0"  # as above
    import torch
    from pyannote.audio.core.task import Problem, Resolution, Specifications
    from pyannote.audio.models.embedding import WeSpeakerResNet34, XVectorSincNet

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        # The checkpoint names its own class, so a cheaper network stands in for WeSpeaker's.
        model = WeSpeakerResNet34() if real_size else XVectorSincNet(dimension=_EMBEDDING_SIZE)
        model.specifications = Specifications(
            problem=Problem.REPRESENTATION, resolution=Resolution.CHUNK, duration=5.0
        )
        _save(model, folder)


def _save(model: Any, folder: Path) -> None:
    import lightning
    import torch

    model.eval()
    checkpoint = {
        "state_dict": model.state_dict(),
        "hyper_parameters": dict(model.hparams),
        "pytorch-lightning_version": lightning.__version__,
    }
    model.on_save_checkpoint(checkpoint)
    folder.mkdir(parents=True, exist_ok=True)
    torch.save(checkpoint, folder / "pytorch_model.bin")


def _write_plda(folder: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    np.savez(
        folder / "xvec_transform.npz",
        mean1=rng.normal(0, 0.01, _EMBEDDING_SIZE),
        mean2=rng.normal(0, 0.01, _PLDA_SIZE),
        lda=np.linalg.qr(rng.normal(size=(_EMBEDDING_SIZE, _EMBEDDING_SIZE)))[0][:, :_PLDA_SIZE],
    )
    np.savez(
        folder / "plda.npz",
        mu=rng.normal(0, 0.01, _PLDA_SIZE),
        tr=np.linalg.qr(rng.normal(size=(_PLDA_SIZE, _PLDA_SIZE)))[0],
        psi=np.sort(rng.uniform(0.1, 10, _PLDA_SIZE))[::-1],
    )
