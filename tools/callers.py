"""Requests to a running platform, one after the other, while something happens to it.

What lives here: asking, and what came of it. What does not: what happens (`raylet_cluster.py`, `chaos.py`).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx

PAUSE_S = 0.2  # after a failure, which may come at once


@dataclass
class Callers:
    """Requests one after the other while the context lasts: how long each took, what went wrong."""

    client: httpx.Client
    piece: Path
    seconds: list[float] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    @contextmanager
    def calling(self) -> Iterator[Callers]:
        over = threading.Event()

        def call() -> None:
            while not over.is_set():
                self._call()

        thread = threading.Thread(target=call)
        thread.start()
        try:
            yield self
        finally:
            over.set()
            thread.join()

    def _call(self) -> None:
        started_s = time.monotonic()
        failed = len(self.failures)
        try:
            answer = self.client.post(
                "/v1/audio/transcriptions",
                data={"model": "whisper-1", "language": "en"},
                files={"file": (self.piece.name, self.piece.read_bytes(), "audio/wav")},
            )
            if answer.status_code != 200:
                self.failures.append(f"{answer.status_code} {answer.text[:200]}")
        except httpx.HTTPError as error:
            self.failures.append(repr(error))
        self.seconds.append(time.monotonic() - started_s)
        if len(self.failures) > failed:
            time.sleep(PAUSE_S)

    def wait_for(self, more: int) -> None:
        """Until so many further requests were answered."""
        wanted = len(self.seconds) + more
        deadline_s = time.monotonic() + 120
        while len(self.seconds) < wanted:
            assert time.monotonic() < deadline_s, "requests are not answered"
            time.sleep(0.1)
