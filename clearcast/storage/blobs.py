"""Blobs: bytes under a key, wherever they lie. What lives here: the contract and the choice by URL scheme.

`file:///folder` keeps them in files (`blob_files.py`), `s3://bucket` in an S3 service (`blob_s3.py`). Keys
are made by the server: letters, digits, `.`, `_`, `-` and `/`. Everything here blocks.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from clearcast.errors import SettingsInvalid

if TYPE_CHECKING:
    from clearcast.settings import StorageSettings

READ_BYTES = 1 << 20
_KEY = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*(/[A-Za-z0-9_-][A-Za-z0-9._-]*)*")


@dataclass(frozen=True, slots=True)
class BlobStat:
    """`modified_at` (UTC) is when the bytes were written, by the store's own clock."""

    size_bytes: int
    modified_at: datetime


class BlobStore(ABC):
    """Promises of every store:

    - A blob is whole or not there, whenever a process is killed; once a `put_*` returns, it lasts.
    - Putting to a key that is taken replaces the blob in one step.
    - Deleting what is not there does nothing.

    Raises StorageFull when there is no room, ServiceUnavailable when the store cannot be reached.
    """

    @abstractmethod
    def put_file(self, key: str, source: Path) -> None:
        """Take in a local file, which is gone afterwards."""

    @abstractmethod
    def put_bytes(self, key: str, data: bytes) -> None: ...

    @abstractmethod
    def stat(self, key: str) -> BlobStat | None:
        """None when there is no such blob."""

    @abstractmethod
    def read(self, key: str, start: int = 0, length: int | None = None) -> Iterator[bytes]:
        """The bytes from `start`, in pieces of at most `READ_BYTES`. Raises NotFound."""

    @abstractmethod
    def fetch(self, key: str, target: Path) -> None:
        """Make a local copy at `target`, whole or not at all. Raises NotFound."""

    @abstractmethod
    def move(self, key: str, target: str) -> None:
        """Give a blob another key, replacing what has it; whoever may write to `key` cannot change it then.

        Raises NotFound. After a kill in between, the blob may have both keys.
        """

    @abstractmethod
    def delete(self, key: str) -> None: ...

    @abstractmethod
    def keys(self, prefix: str = "") -> Iterator[str]:
        """All keys that begin with `prefix`, in any order."""

    def presigned_put(self, key: str, expires_s: int) -> str | None:
        """An address to which a client may PUT this blob by itself; None where the store has none."""
        return None

    def presigned_get(self, key: str, expires_s: int) -> str | None:
        """An address from which a client may GET this blob by itself; None where the store has none."""
        return None

    def get_bytes(self, key: str) -> bytes:
        """A small blob, whole. Raises NotFound."""
        return b"".join(self.read(key))


def check_key(key: str) -> str:
    if _KEY.fullmatch(key) is None:
        raise ValueError(f"not a blob key: {key!r}")
    return key


def open_blobs(settings: StorageSettings, data_path: Path) -> BlobStore:
    """The store that `storage.blobs_url` names; by default files in `data_path`. Raises SettingsInvalid."""
    scheme, _, rest = settings.blobs_url.partition("://")
    if scheme == "file":
        from clearcast.storage.blob_files import FileBlobs

        return FileBlobs(Path(rest).expanduser() if rest else data_path / "blobs")
    if scheme == "s3":
        from clearcast.storage.blob_s3 import S3Blobs

        return S3Blobs(settings)
    raise SettingsInvalid("The blob store must be file://… or s3://….", hint="See storage.blobs_url.")
