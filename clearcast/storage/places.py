"""Places that people name: a folder, or `s3://BUCKET/PREFIX`, with files in it whose names are theirs.

What lives here: one interface to both, for reading sources and for writing results. What does not: the
server's own store of bytes, whose keys the server makes (`blobs.py`).
"""

from __future__ import annotations

import os
import secrets
import shutil
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from clearcast.errors import Forbidden, NotFound, OptionInvalid, SettingsInvalid
from clearcast.storage.blob_files import room_on_disk
from clearcast.storage.blob_s3 import S3Blobs

if TYPE_CHECKING:
    from clearcast.settings import StorageSettings

S3 = "s3://"


@dataclass(frozen=True, slots=True)
class Found:
    """A file as a listing tells of it.

    Attributes:
        name: below the place, with "/" between folders.
        version: when it was last changed, in the place's own terms; another one means other bytes may be
            in it.
    """

    name: str
    size_bytes: int
    version: str


class Place(ABC):
    """Promises of every place: a file is whole or not there, and putting replaces in one step.

    Raises StorageFull, Forbidden, ServiceUnavailable.
    """

    @abstractmethod
    def entries(self, folder: str = "") -> Iterator[Found]:
        """Every file below `folder`, in any order."""

    @abstractmethod
    def look(self, name: str) -> Found | None: ...

    @abstractmethod
    def read(self, name: str) -> bytes | None:
        """A small file, whole; None when there is none."""

    @abstractmethod
    def fetch(self, name: str, target: Path) -> Path:
        """The file on this machine: itself where it lies here, else a copy at `target`. Raises NotFound."""

    @abstractmethod
    def put(self, name: str, source: Path) -> None:
        """Take in a file of this machine, which is gone afterwards."""


class Folder(Place):
    """A folder on a disk that every worker sees; made at the first `put`."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def entries(self, folder: str = "") -> Iterator[Found]:
        for parent, _, names in os.walk(self.root / folder):
            for name in names:
                path = Path(parent) / name
                found = self.look(path.relative_to(self.root).as_posix())
                if found is not None:
                    yield found

    def look(self, name: str) -> Found | None:
        path = self.root / name
        try:
            facts = path.stat()
        except OSError:  # not there, or a link that leads nowhere
            return None
        return Found(name, facts.st_size, str(facts.st_mtime_ns)) if path.is_file() else None

    def read(self, name: str) -> bytes | None:
        try:
            return (self.root / name).read_bytes()
        except FileNotFoundError:
            return None

    def fetch(self, name: str, target: Path) -> Path:
        path = self.root / name
        if not path.exists():
            raise NotFound(f"There is no file called {path.name!r}.")
        return path

    def put(self, name: str, source: Path) -> None:
        target = self.root / name
        try:
            with room_on_disk():
                target.parent.mkdir(parents=True, exist_ok=True)
                partial = target.with_name(f".{secrets.token_hex(8)}.part")
                try:
                    shutil.move(source, partial)  # a rename where both lie on one disk
                    partial.replace(target)
                finally:
                    partial.unlink(missing_ok=True)
        except PermissionError as error:
            raise Forbidden(f"The folder {str(target.parent)!r} may not be written to.") from error


class Bucket(Place):
    """The objects below a prefix of a bucket, which is there already."""

    def __init__(self, address: str, settings: StorageSettings) -> None:
        bucket, _, prefix = address.removeprefix(S3).partition("/")
        self.prefix = prefix.strip("/")
        self._objects = _Objects(settings.model_copy(update={"blobs_url": S3 + bucket}))

    def entries(self, folder: str = "") -> Iterator[Found]:
        start = str(PurePosixPath(self.prefix, folder))
        for key, facts in self._objects.entries("" if start == "." else start + "/"):
            name = key.removeprefix(self.prefix).lstrip("/")
            if not key.endswith("/"):
                yield Found(name, facts.size_bytes, _version(facts.modified_at))

    def look(self, name: str) -> Found | None:
        facts = self._objects.stat(self._key(name))
        return None if facts is None else Found(name, facts.size_bytes, _version(facts.modified_at))

    def read(self, name: str) -> bytes | None:
        try:
            return self._objects.get_bytes(self._key(name))
        except NotFound:
            return None

    def fetch(self, name: str, target: Path) -> Path:
        self._objects.fetch(self._key(name), target)
        return target

    def put(self, name: str, source: Path) -> None:
        self._objects.put_file(self._key(name), source)

    def _key(self, name: str) -> str:
        return str(PurePosixPath(self.prefix, name))


def _version(modified_at: datetime) -> str:
    return modified_at.replace(microsecond=0).isoformat()  # listings tell more digits than single answers


class _Objects(S3Blobs):
    """A bucket of somebody else's: any key, and never made here."""

    def _checked(self, key: str) -> str:
        return key

    def _make_bucket(self) -> None:
        return None


def open_place(address: str, settings: StorageSettings) -> Place:
    """The place of that address: a folder's path, or `s3://BUCKET/PREFIX`. Raises SettingsInvalid."""
    if not address.startswith(S3):
        return Folder(Path(address).expanduser().resolve())
    if not address.removeprefix(S3).strip("/"):
        raise OptionInvalid(f"{address!r} names no bucket.", hint="Write s3://BUCKET/PREFIX.")
    if not settings.s3_endpoint:
        hint = "Set CLEARCAST__STORAGE__S3_ENDPOINT and its keys."
        raise SettingsInvalid("No S3 service is set.", hint=hint)
    return Bucket(address, settings)


def split_address(address: str) -> tuple[str, str]:
    """The place and the name in it of one file: a path, or `s3://BUCKET/KEY`."""
    if not address.startswith(S3):
        path = Path(address).expanduser().resolve()
        return str(path.parent), path.name
    bucket, _, key = address.removeprefix(S3).partition("/")
    return S3 + bucket, key
