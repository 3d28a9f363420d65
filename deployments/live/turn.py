"""Whose turn it is to serve: of the two gateways of a node, the one that holds a lock.

What lives here: the lock. What does not: gateways (`actor.py`).

The kernel lets go of a lock in the instant its process dies, however it dies, so the one that stands by
takes over at once, with everything imported that a new process would have to import first.
"""

from __future__ import annotations

import fcntl
import os
import threading
from pathlib import Path

_LOOK_EVERY_S = 0.05


class Turn:
    """One process's wait for a lock. A file is locked, not its content: it stays empty."""

    def __init__(self, path: Path) -> None:
        """`path` is the same for all who wait for the same turn."""
        self._path = path
        self._given_up = threading.Event()
        self._descriptor: int | None = None

    def take(self) -> bool:
        """Wait for it; False when it was given up. Keeps it for as long as this process lives.

        Raises OSError.
        """
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        while not self._given_up.wait(_LOOK_EVERY_S):
            try:
                fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            return True
        return False

    def give_up(self) -> None:
        """Wait no longer."""
        self._given_up.set()
