"""Only one batch at a time writes to a folder."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from clearcast.errors import Conflict
from clearcast.storage.places import S3
from pipelines.batch.record import RECORDS


@contextmanager
def only_batch_in(destination: str) -> Iterator[None]:
    """Hold the folder's lock, which the kernel frees when this process ends, however it ends. A bucket has
    none: there two batches do no harm but their work twice.

    Raises Conflict.
    """
    if destination.startswith(S3):
        yield
        return
    folder = Path(destination) / RECORDS
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        _lock(descriptor, destination)
        yield
    finally:
        os.close(descriptor)


def _lock(descriptor: int, destination: str) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise Conflict(f"Another batch is writing to {destination}.", hint="Wait for its end.") from error
