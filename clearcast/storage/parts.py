"""Uploads while their parts arrive: one growing file each. The length of the file is the truth.

What lives here: `PartFiles`, safe for several processes at once and against kill -9 at any moment. What
does not: the protocol (`deployments/ingress/tus.py`) and the records (`files.py`).
"""

from __future__ import annotations

import fcntl
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from clearcast.errors import UploadBusy
from clearcast.storage.blob_files import room_on_disk
from clearcast.storage.blobs import READ_BYTES

_SUFFIX = ".part"
_CHECK_SUFFIX = ".check"
_ID = re.compile(r"file_[0-9a-z]{26}")


class PartFile:
    """An upload's file, held by one writer. Everything here blocks."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path = path
        self._descriptor = descriptor

    @property
    def size_bytes(self) -> int:
        return os.fstat(self._descriptor).st_size

    def append(self, data: bytes) -> None:
        """Raises StorageFull; what went in before stays."""
        with room_on_disk():
            left = memoryview(data)
            while left:
                left = left[os.write(self._descriptor, left) :]

    def append_file(self, source: Path) -> None:
        """Append a local file, which is gone afterwards."""
        with source.open("rb") as file:
            while piece := file.read(READ_BYTES):
                self.append(piece)
        source.unlink()

    def sync(self) -> None:
        """What was appended lasts from now on."""
        with room_on_disk():
            os.fsync(self._descriptor)


class PartFiles:
    """Uploads below `folder`, which is made at first use; only this user may read them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, file_id: str) -> Path:
        if _ID.fullmatch(file_id) is None:
            raise ValueError(f"not the id of an upload: {file_id!r}")
        return self.folder / f"{file_id}{_SUFFIX}"

    def check_path(self, file_id: str) -> Path:
        """Where a part waits until its checksum is known to be right."""
        return self.path(file_id).with_suffix(_CHECK_SUFFIX)

    def size_bytes(self, file_id: str) -> int | None:
        """How much has arrived; None when there is no file."""
        try:
            return self.path(file_id).stat().st_size
        except FileNotFoundError:
            return None

    @contextmanager
    def held(self, file_id: str) -> Iterator[PartFile]:
        """Hold the upload, whose file is made when there is none. Raises UploadBusy when another does."""
        path = self.path(file_id)
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            if not _is_locked(path, descriptor):
                raise UploadBusy(
                    "Another part of this upload is arriving.",
                    hint="Ask for the offset (HEAD) and go on there.",
                )
            self.check_path(file_id).unlink(missing_ok=True)  # of a writer that was killed
            yield PartFile(path, descriptor)
        finally:
            os.close(descriptor)

    def drop(self, file_id: str) -> None:
        for path in (self.path(file_id), self.check_path(file_id)):
            path.unlink(missing_ok=True)

    def ids(self) -> Iterator[tuple[str, float]]:
        """(id, time of the last change in seconds) of every upload that has a file."""
        for path in self.folder.glob("file_*"):
            if _ID.fullmatch(path.stem) is None or path.suffix not in {_SUFFIX, _CHECK_SUFFIX}:
                continue
            try:
                yield path.stem, path.stat().st_mtime
            except FileNotFoundError:
                continue


def _is_locked(path: Path, descriptor: int) -> bool:
    """Lock the file. The kernel lets go of it when the process dies (flock(2))."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Another one may have finished or dropped the upload since the file was opened.
        return path.stat().st_ino == os.fstat(descriptor).st_ino
    except (BlockingIOError, FileNotFoundError):
        return False
