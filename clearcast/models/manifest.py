"""The list of a model's files with their checksums, written beside them when they arrive.

What lives here: the data type, its JSON file and the checksum. What does not: deciding whether a model is
usable (`store`) and fetching one (`pull`).
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from clearcast.errors import ModelCorrupt

MANIFEST_NAME = "manifest.json"
_FORMAT = 1
_BLOCK_BYTES = 1 << 20

BytesRead = Callable[[int], None]
"""Told how many more bytes were read; may raise to stop."""


@dataclass(frozen=True, slots=True)
class FileRecord:
    """Size and SHA-256 (hex) of one file."""

    size_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """Attributes:
    name: folder name, as in the model's `ModelSpec`.
    repo: where it was published, "owner/name".
    revision: the commit it was taken from; "local" when its files were copied from a folder.
    licence: SPDX name or the owner's own words.
    files: path inside the folder → record.
    """

    name: str
    repo: str
    revision: str
    licence: str
    files: dict[str, FileRecord]

    @property
    def size_bytes(self) -> int:
        return sum(record.size_bytes for record in self.files.values())

    def write(self, folder: Path) -> None:
        """Write `manifest.json`, durably: its presence means that all files are there."""
        path = folder / MANIFEST_NAME
        with path.open("w", encoding="utf-8") as file:
            json.dump({"format": _FORMAT, **asdict(self)}, file, indent=2)
            file.write("\n")
            file.flush()
            os.fsync(file.fileno())


def read_manifest(folder: Path) -> Manifest | None:
    """The manifest of a model folder, None where there is none. Raises ModelCorrupt when unreadable."""
    path = folder / MANIFEST_NAME
    try:
        return _parse(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelCorrupt(
            f"The file {MANIFEST_NAME} of the model {folder.name!r} cannot be read.",
            hint=f"Fetch it again: clearcast models pull {folder.name} --force",
            model=folder.name,
        ) from error


def _parse(values: dict[str, Any]) -> Manifest:
    if values["format"] != _FORMAT:
        raise ValueError(f"manifest format {values['format']!r} is not known")
    return Manifest(
        name=str(values["name"]),
        repo=str(values["repo"]),
        revision=str(values["revision"]),
        licence=str(values["licence"]),
        files={
            str(path): FileRecord(int(record["size_bytes"]), str(record["sha256"]))
            for path, record in values["files"].items()
        },
    )


def ignore_bytes(_count: int) -> None:
    """The listener of those who do not listen."""


def sha256_of(path: Path, on_bytes: BytesRead = ignore_bytes) -> str:
    """SHA-256 of a file as hex, read block by block."""
    return _digest(hashlib.sha256(), path, on_bytes)


def git_blob_sha1_of(path: Path, on_bytes: BytesRead = ignore_bytes) -> str:
    """The name git gives to a file's content, as hex: SHA-1 over "blob <size>", a zero byte and the bytes.

    The hub publishes this, not SHA-256, for files that are not in large-file storage.
    """
    digest = hashlib.sha1(f"blob {path.stat().st_size}\0".encode(), usedforsecurity=False)
    return _digest(digest, path, on_bytes)


def _digest(digest: hashlib._Hash, path: Path, on_bytes: BytesRead) -> str:
    with path.open("rb") as file:
        while block := file.read(_BLOCK_BYTES):
            digest.update(block)
            on_bytes(len(block))
    return digest.hexdigest()
