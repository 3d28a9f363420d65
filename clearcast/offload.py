"""Blocking work from asynchronous code: run it in a thread, hear its progress, stop it when told.

Engines are plain blocking calls that report progress. This is the one bridge between them and the event
loop, used in one process (`local.py`) and inside Serve replicas alike.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import TypeVar

from clearcast.engines.engine import Progress, ignore_progress
from clearcast.errors import Cancelled

T = TypeVar("T")


async def run_in_thread(work: Callable[[Progress], T], progress: Progress = ignore_progress) -> T:
    """Run `work(report)` in a thread and return its result.

    Progress reaches `progress` on the event loop. When the caller is cancelled, `report` raises Cancelled
    in the thread at its next call, and this returns only once the thread has let go of the work, so that
    nothing runs on unowned.
    """
    loop = asyncio.get_running_loop()
    stop = threading.Event()

    def report(fraction: float) -> None:
        if stop.is_set():
            raise Cancelled("The work was stopped on request.")
        loop.call_soon_threadsafe(progress, min(1.0, max(0.0, fraction)))

    job = asyncio.ensure_future(asyncio.to_thread(work, report))
    try:
        return await asyncio.shield(job)
    except asyncio.CancelledError:
        stop.set()
        await asyncio.wait([job])
        if not job.cancelled():
            job.exception()  # taken notice of: the caller is gone, its reason is the cancellation
        raise


class OneAtATime:
    """Base of what does one piece of blocking work at a time, in threads."""

    def __init__(self) -> None:
        self._busy = threading.Lock()

    async def _run(self, work: Callable[[Progress], T], progress: Progress = ignore_progress) -> T:
        def alone(report: Progress) -> T:
            with self._busy:
                report(0.0)  # stops here if the caller left while this waited its turn
                return work(report)

        return await run_in_thread(alone, progress)
