"""The pyannote pipelines as published: which repositories they consist of, and where they lie here."""

from __future__ import annotations

from pathlib import Path

from clearcast.errors import ModelMissing
from clearcast.models.spec import ModelSpec
from clearcast.models.store import locate

COMMUNITY = ModelSpec(
    name="pyannote-community-1",
    repo="pyannote/speaker-diarization-community-1",
    files=(
        "config.yaml",
        "segmentation/pytorch_model.bin",
        "embedding/pytorch_model.bin",
        "plda/xvec_transform.npz",
        "plda/plda.npz",
    ),
    licence="CC-BY-4.0",
    size_bytes=33_000_000,
    gated=True,
)
_VERSION_31 = ModelSpec(
    name="pyannote-3.1",
    repo="pyannote/speaker-diarization-3.1",
    files=("config.yaml",),
    licence="MIT",
    size_bytes=469,
    gated=True,
)
_SEGMENTATION = ModelSpec(
    name="pyannote-segmentation-3.0",
    repo="pyannote/segmentation-3.0",
    files=("pytorch_model.bin",),
    licence="MIT",
    size_bytes=5_910_000,
    gated=True,
)
_WESPEAKER = ModelSpec(
    name="pyannote-wespeaker-resnet34",
    repo="pyannote/wespeaker-voxceleb-resnet34-LM",
    files=("pytorch_model.bin",),
    licence="CC-BY-4.0",
    size_bytes=26_600_000,
)

MODELS = {"community-1": (COMMUNITY,), "3.1": (_VERSION_31, _SEGMENTATION, _WESPEAKER)}
"""What each pipeline needs; the first holds its config.yaml."""

HUB_MODELS = {spec.repo: spec for spec in (COMMUNITY, _VERSION_31, _SEGMENTATION, _WESPEAKER)}
"""By the names that a config.yaml refers to them with."""


def located(spec: ModelSpec, models_dir: Path) -> Path:
    """The folder of a model. Raises ModelMissing with what its owner asks for, ModelCorrupt."""
    try:
        return locate(spec, models_dir)
    except ModelMissing as error:
        if not spec.gated:
            raise
        raise ModelMissing(
            error.message,
            hint=f"Its owner asks for a token. Accept the terms of {spec.repo} on the hub, set"
            f" CLEARCAST__MODELS__HUB_TOKEN to your token, then: clearcast models pull {spec.name}",
            **error.fields,
        ) from error
