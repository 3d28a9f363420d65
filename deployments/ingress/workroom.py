"""The workroom: a folder of its own for every request, gone when the request is.

What lives here: making and removing the folders, and sweeping what a crash left behind. What does not: what
is put into them.

Several processes may share one data folder. Each holds a lock on a file named by its token for as long as
it lives, and begins the names of its folders with the token; what belongs to no held lock is rubbish.
"""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
import secrets
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

logger = logging.getLogger(__name__)

_LOCK_SUFFIX = ".lock"


class Workroom:
    """Folders below `root`, which is made at first use."""

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()
        self._token: str | None = None
        self._lock: int | None = None

    def open(self) -> None:
        """Take hold of the room and sweep it; later calls do nothing."""
        if self._token is not None:
            return
        self.root.mkdir(parents=True, exist_ok=True, mode=0o700)
        while self._lock is None:
            token = secrets.token_hex(4)
            self._lock = _new_lock(self.root / (token + _LOCK_SUFFIX))
        self._token = token
        self._sweep()

    def close(self) -> None:
        """Let go of the room."""
        if self._lock is not None:
            (self.root / f"{self._token}{_LOCK_SUFFIX}").unlink(missing_ok=True)
            os.close(self._lock)
        self._token = self._lock = None

    @asynccontextmanager
    async def folder(self) -> AsyncIterator[Path]:
        """A new empty folder that only this user may enter, removed at the end whatever happens."""
        self.open()
        path = self.root / f"{self._token}-{secrets.token_hex(8)}"
        path.mkdir(mode=0o700)
        try:
            yield path
        finally:
            # In a thread: unlinking a gigabyte can take long. It goes on even if this task is cancelled.
            await asyncio.to_thread(shutil.rmtree, path, ignore_errors=True)

    def _sweep(self) -> None:
        """Remove every folder whose process is gone."""
        alive = {self._token}
        for lock in self.root.glob(f"*{_LOCK_SUFFIX}"):
            if lock.stem not in alive and _is_held(lock):
                alive.add(lock.stem)
        swept = 0
        for path in self.root.iterdir():
            if path.stem.partition("-")[0] in alive:
                continue
            swept += path.is_dir()
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)
        if swept:
            logger.warning("work folders of a crashed process removed", extra={"folders": swept})


def _new_lock(path: Path) -> int | None:
    """The descriptor of a new locked file, or None when a sweep took it before it was locked."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if path.stat().st_ino == os.fstat(descriptor).st_ino:
            return descriptor
    except (BlockingIOError, FileNotFoundError):
        pass
    os.close(descriptor)
    return None


def _is_held(path: Path) -> bool:
    try:
        with path.open("r+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except FileNotFoundError:
        return False
    return False
