"""Models on this machine: where one lies, whether it is there and whether it is whole.

Layout: `<models_dir>/<spec.name>/` holds the files as published plus `manifest.json`; a download in work
lies in `<models_dir>/.partial/<spec.name>/` and is moved into place only when complete, so that half a
model is never found. Nothing here uses a network.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from clearcast.errors import ModelCorrupt, ModelError, ModelMissing
from clearcast.models.manifest import (
    MANIFEST_NAME,
    BytesRead,
    Manifest,
    ignore_bytes,
    read_manifest,
    sha256_of,
)
from clearcast.models.spec import ModelSpec

State = Literal["ready", "missing", "partial", "corrupt"]


@dataclass(frozen=True, slots=True)
class ModelStatus:
    """Attributes:
    state: "ready", "missing", "partial" (a download was interrupted and can go on) or "corrupt".
    folder: where the model lies or would lie.
    size_bytes: what it takes on disk now, downloads in work included.
    detail: what is wrong in one sentence, None when it is ready or was never fetched.
    """

    spec: ModelSpec
    state: State
    folder: Path
    size_bytes: int
    detail: str | None = None


def model_folder(spec: ModelSpec, models_dir: Path) -> Path:
    """Where a model lies once it is complete."""
    return models_dir / spec.name


def partial_folder(spec: ModelSpec, models_dir: Path) -> Path:
    """Where its download lies while it is in work."""
    return models_dir / ".partial" / spec.name


def locate(spec: ModelSpec, models_dir: Path) -> Path:
    """The folder of a complete model. Looks at names and sizes only, so that it costs nothing.

    Raises ModelMissing with the command that fetches it, ModelCorrupt when files are missing or have
    another size than when they were downloaded.
    """
    folder = model_folder(spec, models_dir)
    _checked(spec, folder)
    return folder


def _checked(spec: ModelSpec, folder: Path) -> Manifest:
    manifest = read_manifest(folder)
    if manifest is None:
        raise ModelMissing(
            f"The model {spec.name!r} is not on this machine.", hint=_get_it(spec), model=spec.name
        )
    for path in spec.files:
        if path not in manifest.files:
            raise _corrupt(spec, f"it was fetched without {path}")
    for path, record in manifest.files.items():
        try:
            size_bytes = (folder / path).stat().st_size
        except OSError as error:
            raise _corrupt(spec, f"{path} is gone") from error
        if size_bytes != record.size_bytes:
            raise _corrupt(spec, f"{path} has {size_bytes} bytes instead of {record.size_bytes}")
    return manifest


def _get_it(spec: ModelSpec) -> str:
    return f"Get it with: clearcast models pull {spec.name}"


def _corrupt(spec: ModelSpec, reason: str) -> ModelCorrupt:
    return ModelCorrupt(
        f"The model {spec.name!r} is damaged: {reason}.",
        hint=f"Fetch it again: clearcast models pull {spec.name} --force",
        model=spec.name,
    )


def status(spec: ModelSpec, models_dir: Path) -> ModelStatus:
    """What is on disk of a model; never raises ModelError."""
    folder = model_folder(spec, models_dir)
    started = partial_folder(spec, models_dir)
    try:
        manifest = _checked(spec, folder)
    except ModelMissing:
        if started.is_dir():
            return ModelStatus(spec, "partial", folder, _used_bytes(started), "its download was cut short")
        return ModelStatus(spec, "missing", folder, 0)
    except ModelError as error:
        return ModelStatus(spec, "corrupt", folder, _used_bytes(folder), error.message)
    return ModelStatus(spec, "ready", folder, manifest.size_bytes)


def verify(spec: ModelSpec, models_dir: Path, on_bytes: BytesRead = ignore_bytes) -> Manifest:
    """Read every file of a model and compare it with the checksum taken at download.

    Raises ModelMissing, or ModelCorrupt naming the first file that differs.
    """
    folder = model_folder(spec, models_dir)
    manifest = _checked(spec, folder)
    for path, record in manifest.files.items():
        if sha256_of(folder / path, on_bytes) != record.sha256:
            raise _corrupt(spec, f"the content of {path} is not what was downloaded")
    return manifest


def remove(spec: ModelSpec, models_dir: Path) -> int:
    """Delete a model and any download of it; returns the bytes set free."""
    freed_bytes = 0
    for folder in (model_folder(spec, models_dir), partial_folder(spec, models_dir)):
        if folder.is_dir():
            freed_bytes += _used_bytes(folder)
            (folder / MANIFEST_NAME).unlink(missing_ok=True)  # first: from here on nobody finds it
            shutil.rmtree(folder)
    return freed_bytes


def _used_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
