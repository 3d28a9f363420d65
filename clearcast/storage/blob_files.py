"""Blobs as files below one folder, written beside their place and renamed: none is ever half there."""

from __future__ import annotations

import errno
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from clearcast.errors import NotFound, StorageFull
from clearcast.storage.blobs import READ_BYTES, BlobStat, BlobStore, check_key

_PARTIAL = ".partial-"


class FileBlobs(BlobStore):
    """Blobs below `root`, which is made at first use; only this user may read them."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def put_file(self, key: str, source: Path) -> None:
        with room_on_disk():
            if self._is_beside(source):
                with source.open("rb") as file:
                    os.fsync(file.fileno())
                self._take(source, key)
            else:
                with self._new(key) as partial, source.open("rb") as file, partial.open("wb") as copy:
                    shutil.copyfileobj(file, copy, READ_BYTES)
                    copy.flush()
                    os.fsync(copy.fileno())
                source.unlink()

    def put_bytes(self, key: str, data: bytes) -> None:
        with room_on_disk(), self._new(key) as partial, partial.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())

    def stat(self, key: str) -> BlobStat | None:
        try:
            facts = self._path(key).stat()
        except FileNotFoundError:
            return None
        return BlobStat(facts.st_size, datetime.fromtimestamp(facts.st_mtime, UTC))

    def read(self, key: str, start: int = 0, length: int | None = None) -> Iterator[bytes]:
        try:
            file = self._path(key).open("rb")
        except FileNotFoundError as error:
            raise NotFound("The stored bytes are gone.") from error
        return _pieces(file, start, length)

    def fetch(self, key: str, target: Path) -> None:
        partial = target.with_name(target.name + _PARTIAL + secrets.token_hex(4))
        try:
            with room_on_disk(), partial.open("wb") as file:
                for piece in self.read(key):
                    file.write(piece)
            partial.replace(target)
        finally:
            partial.unlink(missing_ok=True)

    def move(self, key: str, target: str) -> None:
        try:
            self._take(self._path(key), target)
        except FileNotFoundError as error:
            raise NotFound("The stored bytes are gone.") from error

    def delete(self, key: str) -> None:
        self._path(key).unlink(missing_ok=True)

    def keys(self, prefix: str = "") -> Iterator[str]:
        # No more than the folder that the prefix names: there may be very many files beside it.
        for folder, _, names in os.walk(self.root / prefix.rpartition("/")[0]):
            for name in names:
                key = (Path(folder) / name).relative_to(self.root).as_posix()
                if key.startswith(prefix) and not name.startswith(_PARTIAL):
                    yield key

    def _path(self, key: str) -> Path:
        return self.root / check_key(key)

    def _folder(self, key: str) -> Path:
        folder = self._path(key).parent
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        return folder

    def _is_beside(self, source: Path) -> bool:
        """Whether the file can be renamed into place: it lies on the same disk."""
        self.root.mkdir(parents=True, exist_ok=True, mode=0o700)
        return source.stat().st_dev == self.root.stat().st_dev

    @contextmanager
    def _new(self, key: str) -> Iterator[Path]:
        """A path to write to; taken as the blob when the block ends well, removed when it does not."""
        partial = self._folder(key) / (_PARTIAL + secrets.token_hex(8))
        try:
            yield partial
            self._take(partial, key)
        finally:
            partial.unlink(missing_ok=True)

    def _take(self, source: Path, key: str) -> None:
        folder = self._folder(key)
        source.chmod(0o600)
        source.replace(self._path(key))
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)  # the name too must last (fsync(2))
        finally:
            os.close(descriptor)


def _pieces(file: BinaryIO, start: int, length: int | None) -> Iterator[bytes]:
    left = length
    with file:
        file.seek(start)
        while left is None or left > 0:
            piece = file.read(READ_BYTES if left is None else min(left, READ_BYTES))
            if not piece:
                return
            if left is not None:
                left -= len(piece)
            yield piece


@contextmanager
def room_on_disk() -> Iterator[None]:
    """A full disk is StorageFull."""
    try:
        yield
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise StorageFull(
                "The server has no room left.", hint="Ask its operator to free disk space."
            ) from error
        raise
