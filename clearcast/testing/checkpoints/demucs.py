"""A Demucs model folder as demucs reads it, with random weights.

The files are those of a published model, in either layout: safetensors as on the hub, or Demucs' own local
repository (half-precision pickles whose name holds a checksum). Width, segment and number of networks are
free.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

PUBLISHED_SEGMENT_S = Fraction(39, 5)
FOUR_SOURCES = ("drums", "bass", "other", "vocals")
SIX_SOURCES = (*FOUR_SOURCES, "guitar", "piano")

Layout = Literal["safetensors", "th"]


def write_demucs(
    folder: Path,
    name: str = "htdemucs",
    signatures: Sequence[str] = ("955717e8",),
    *,
    weights: Sequence[Sequence[float]] | None = None,
    sources: Sequence[str] = FOUR_SOURCES,
    segment_s: Fraction = PUBLISHED_SEGMENT_S,
    layout: Layout = "safetensors",
    seed: int = 0,
) -> Path:
    """Write `<name>.yaml` and one small network for each signature; returns `folder`.

    The same seed writes the same weights. The networks have the parts of htdemucs, a twelfth of its width
    and one transformer layer.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for index, signature in enumerate(signatures):
        package = _package(sources, segment_s, seed + index)
        if layout == "th":
            _write_pickle(folder, signature, package)
        else:
            _write_tensors(folder / f"{signature}.safetensors", package)
    recipe: dict[str, Any] = {"models": list(signatures)}
    if weights is not None:
        recipe["weights"] = [list(row) for row in weights]
    # JSON is YAML.
    (folder / f"{name}.yaml").write_text(json.dumps(recipe) + "\n", encoding="utf-8")
    return folder


def _package(sources: Sequence[str], segment_s: Fraction, seed: int) -> dict[str, Any]:
    import torch
    from demucs.htdemucs import HTDemucs

    shape: dict[str, Any] = {
        "sources": list(sources),
        "audio_channels": 2,
        "samplerate": 44100,
        "segment": segment_s,
        "channels": 4,
        "depth": 4,
        "bottom_channels": 0,
        "growth": 2,
        "dconv_mode": 3,
        "dconv_comp": 2,
        "t_layers": 1,
        "t_heads": 2,
        "t_hidden_scale": 1.0,
    }
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = HTDemucs(**shape)
    state = {key: value.detach().half() for key, value in network.state_dict().items()}
    return {"klass": HTDemucs, "args": (), "kwargs": shape, "state": state, "training_args": {}}


def _write_pickle(folder: Path, signature: str, package: dict[str, Any]) -> None:
    import torch

    buffer = io.BytesIO()
    torch.save(package, buffer)
    checksum = hashlib.sha256(buffer.getvalue()).hexdigest()[:8]
    (folder / f"{signature}-{checksum}.th").write_bytes(buffer.getvalue())


def _write_tensors(path: Path, package: dict[str, Any]) -> None:
    from safetensors.torch import save_file

    def encoded(value: Any) -> Any:
        if isinstance(value, Fraction):
            return {"_type": "fraction", "numerator": value.numerator, "denominator": value.denominator}
        return value

    shape = {key: encoded(value) for key, value in package["kwargs"].items()}
    metadata = {"klass": "demucs.htdemucs.HTDemucs", "args": "[]", "kwargs": json.dumps(shape)}
    save_file({key: value.contiguous() for key, value in package["state"].items()}, path, metadata=metadata)
