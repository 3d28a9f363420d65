"""What engines with a model of their own have in common: its name or folder, and where it runs.

What lives here: reading the options `model` and `device`. What does not: loading.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, TypeVar

from clearcast.errors import ModelCorrupt, ModelMissing, SettingsInvalid

Device = Literal["auto", "cpu", "cuda"]

T = TypeVar("T")


def is_path(model: str) -> bool:
    """Whether the option names a folder and not a published model."""
    return "/" in model or "\\" in model


def published(model: str, known: Mapping[str, T], kind: str) -> T:
    """The published model of that name. Raises SettingsInvalid; `kind` says what there is none of."""
    if model not in known:
        raise SettingsInvalid(
            f"There is no {kind} called {model!r}.",
            hint=f"Known: {', '.join(known)}; or the path of a folder, written with a slash.",
        )
    return known[model]


def given_folder(model: str, engine: str) -> Path:
    """The folder that the option `model` of that engine names. Raises ModelMissing."""
    folder = Path(model).expanduser().resolve()
    if not folder.is_dir():
        raise ModelMissing(f"There is no folder {folder}.", hint=f"Set the option model of {engine}.")
    return folder


def check_files(folder: Path, files: Sequence[str], kind: str) -> None:
    """Raises ModelCorrupt, naming the files that a folder of that kind lacks."""
    missing = [name for name in files if not (folder / name).is_file()]
    if missing:
        raise ModelCorrupt(f"{folder} is no {kind}: {', '.join(missing)} missing.")


def device_for(device: Device, who: str, *, has_gpu: bool) -> Literal["cpu", "cuda"]:
    """Where the model runs; "auto" takes the GPU where there is one. Raises SettingsInvalid."""
    if device == "cuda" and not has_gpu:
        raise SettingsInvalid(f"{who} is set to run on a GPU, and there is none.", hint="device: auto")
    if device == "auto":
        return "cuda" if has_gpu else "cpu"
    return device
