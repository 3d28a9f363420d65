"""The Demucs models as published, and how a folder with one is read.

What lives here: names, files, and `read_model`. What does not: separation itself (`demucs`).

A folder holds `<name>.yaml`, which names one or more networks by signature, and each network either as
`<signature>.safetensors` (as on the hub) or as `<signature>-<checksum>.th` (as in Demucs' own local
repositories, a pickle: only from a source you trust).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from clearcast.errors import ModelCorrupt, ModelMissing
from clearcast.models.spec import ModelSpec

# Repositories and signatures as demucs 4.1.0 names them (demucs/hf.py, demucs/remote/*.yaml).
DEMUCS_MODELS = {
    spec.name: spec
    for spec in (
        ModelSpec(
            name="htdemucs",
            repo="adefossez/HTDemucs",
            files=("htdemucs.yaml", "955717e8.safetensors"),
            licence="MIT",
            size_bytes=84_000_000,
        ),
        ModelSpec(
            name="htdemucs_ft",
            repo="adefossez/HTDemucs-ft",
            files=(
                "htdemucs_ft.yaml",
                "f7e0c4bc.safetensors",
                "d12395a8.safetensors",
                "92cfc3b6.safetensors",
                "04573f0d.safetensors",
            ),
            licence="MIT",
            size_bytes=336_000_000,
        ),
        ModelSpec(
            name="htdemucs_6s",
            repo="adefossez/HTDemucs-6s",
            files=("htdemucs_6s.yaml", "5c90dfd2.safetensors"),
            licence="MIT",
            size_bytes=55_000_000,
        ),
    )
}


def read_model(folder: Path) -> Any:
    """The `BagOfModels` of a folder, on the CPU, ready to be used. Raises ModelMissing, ModelCorrupt."""
    recipes = sorted(folder.glob("*.yaml")) if folder.is_dir() else []
    if len(recipes) != 1:
        raise ModelMissing(
            f"{folder} holds no Demucs model: it must have one .yaml file, not {len(recipes)}.",
            hint="Set the option model of demucs, or: clearcast models pull htdemucs",
        )
    from demucs.apply import BagOfModels

    try:
        recipe = yaml.safe_load(recipes[0].read_text(encoding="utf-8"))
        networks = [_read_network(folder, str(signature)) for signature in recipe["models"]]
        model = BagOfModels(networks, recipe.get("weights"), recipe.get("segment"))
    # SystemExit: what demucs does when something is missing.
    except (Exception, SystemExit) as error:
        raise ModelCorrupt(f"The Demucs model in {folder} cannot be read: {error}") from error
    return model.eval()


def _read_network(folder: Path, signature: str) -> Any:
    from demucs.hf import load_safetensors_model
    from demucs.repo import LocalRepo

    tensors = folder / f"{signature}.safetensors"
    if tensors.is_file():
        return load_safetensors_model(tensors)
    return LocalRepo(folder).get_model(signature)  # checks the checksum in the name
