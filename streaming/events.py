"""What happened in a room while it was recorded: a line of JSON each, with its second in the recording.

    {"at_s": 12.345, "at": "2026-01-31T18:00:12.345+00:00", "event": "chat", "participant": "p_1",
     "id": "1769882412345-1", "name": "Anna", "text": "Hello"}

What lives here: writing lines off the event loop, and reading them back whatever tore the last one. What
does not: which events there are (`recording_keeper`), and what becomes of the file (`recording_store`).
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import queue
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

logger = logging.getLogger(__name__)

QUEUE_LINES = 1000  # a disk that is further behind loses the newest


class EventLog:
    """Appends to a file, also to one that another process left.

    Attributes:
        lost: lines that found the queue full, or came after the disk had failed.
    """

    def __init__(self, path: Path, started_at: datetime) -> None:
        """`started_at` is second 0. Raises OSError."""
        self.lost = 0
        self._started_at = started_at
        self._queue: queue.Queue[bytes | None] = queue.Queue(QUEUE_LINES)
        # Unbuffered: what `os.write` has taken survives this process.
        self._handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._failed = False
        if os.fstat(self._handle).st_size:
            self._put(b"\n")  # whatever tore the last line
        self._thread = threading.Thread(target=self._run, name="events", daemon=True)
        self._thread.start()

    def note(self, event: str, participant: str | None = None, **facts: str | float | bool) -> None:
        """Something happened now. Never waits, never raises."""
        now = datetime.now(UTC)
        at_s = round((now - self._started_at).total_seconds(), 3)
        who = {} if participant is None else {"participant": participant}
        at = now.isoformat(timespec="milliseconds")
        line = {"at_s": at_s, "at": at, "event": event, **who, **facts}
        self._put(json.dumps(line, ensure_ascii=False).encode(errors="replace") + b"\n")

    def _put(self, line: bytes) -> None:
        try:
            if not self._failed:
                self._queue.put_nowait(line)
                return
        except queue.Full:
            pass
        self.lost += 1

    def _run(self) -> None:
        try:
            while (line := self._queue.get()) is not None:
                while line:
                    line = line[os.write(self._handle, line) :]
            os.fsync(self._handle)
        except OSError:
            logger.exception("events of a recording could not be written on")
            self._failed = True
        finally:
            os.close(self._handle)

    async def close(self) -> None:
        """All lines are on the disk, or the disk has failed."""
        await asyncio.to_thread(self._end)

    def _end(self) -> None:
        while self._thread.is_alive():
            try:
                self._queue.put(None, timeout=0.1)
                break
            except queue.Full:
                continue
        self._thread.join()


def read_events(path: Path) -> Iterator[dict[str, object]]:
    """The whole lines, in order; nothing when there is no such file.

    A chat message that was removed, before or after, is not among them: of it only that there is a
    `chat_removed` with its id. The file is read twice, so that memory holds those ids and no more.
    """
    removed = {event.get("id") for event in _lines(path) if event.get("event") == "chat_removed"}
    for event in _lines(path):
        if event.get("event") != "chat" or event.get("id") not in removed:
            yield event


def _lines(path: Path) -> Iterator[dict[str, object]]:
    try:
        with path.open("rb") as file:
            for line in file:
                try:
                    event = json.loads(line)
                except ValueError:
                    continue  # torn by a kill
                if isinstance(event, dict):
                    yield event
    except FileNotFoundError:
        return
