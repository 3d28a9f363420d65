"""Blocking work from asynchronous code: run it in a thread, hear its progress, stop it when told.

Engines are plain blocking calls that report progress. This is the one bridge between them and the event
loop, used in one process (`local.py`) and inside Serve replicas alike.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from clearcast.engines.engine import Progress, ignore_progress
from clearcast.errors import Cancelled

T = TypeVar("T")

_MOST_THREADS = 64


async def run_in_thread(
    work: Callable[[Progress], T],
    progress: Progress = ignore_progress,
    threads: ThreadPoolExecutor | None = None,
) -> T:
    """Run `work(report)` in a thread, one of `threads` or of the loop's own, and return its result.

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

    job = asyncio.ensure_future(loop.run_in_executor(threads, contextvars.copy_context().run, work, report))
    try:
        return await asyncio.shield(job)
    except asyncio.CancelledError:
        stop.set()
        await asyncio.wait([job])
        if not job.cancelled():
            job.exception()  # taken notice of: the caller is gone, its reason is the cancellation
        raise


class Turns:
    """Who may work, of several threads: the urgent before the others, of which one works at a time, alone.

    Work that is not urgent steps aside wherever it calls `step_aside`, and goes on before other such work.
    """

    def __init__(self, urgent_at_once: int = 1) -> None:
        self._changed = threading.Condition()
        self._urgent_at_once = urgent_at_once
        self._is_taken = False  # by work that is not urgent
        self._urgent_inside = 0
        self._urgent = 0  # that wait
        self._aside = 0

    @contextlib.contextmanager
    def taken(self, *, is_urgent: bool) -> Iterator[None]:
        with self._changed:
            self._urgent += is_urgent
            self._changed.wait_for(self._urgent_may if is_urgent else self._others_may)
            self._urgent -= is_urgent
            self._urgent_inside += is_urgent
            self._is_taken = not is_urgent
        try:
            yield
        finally:
            with self._changed:
                self._urgent_inside -= is_urgent
                self._is_taken = False
                self._changed.notify_all()

    def step_aside(self) -> None:
        """Let what is urgent be done; for who has the turn."""
        with self._changed:
            if not self._urgent:
                return
            self._is_taken = False
            self._aside += 1
            self._changed.notify_all()
            self._changed.wait_for(self._is_left_alone)
            self._aside -= 1
            self._is_taken = True

    def _urgent_may(self) -> bool:
        return not self._is_taken and self._urgent_inside < self._urgent_at_once

    def _is_left_alone(self) -> bool:
        return not self._is_taken and not self._urgent and not self._urgent_inside

    def _others_may(self) -> bool:
        return self._is_left_alone() and not self._aside


class OneAtATime:
    """Base of what does one piece of blocking work at a time, in threads; of urgent work so many."""

    def __init__(self, urgent_at_once: int = 1) -> None:
        self._turns = Turns(urgent_at_once)
        # Of its own: who waits for a turn has a thread, and the loop has few for all (six on two cores).
        self._threads = ThreadPoolExecutor(_MOST_THREADS)

    async def _run(
        self,
        work: Callable[[Progress], T],
        progress: Progress = ignore_progress,
        *,
        is_urgent: bool = False,
    ) -> T:
        """Urgent work is done as soon as what goes on reports progress."""

        def alone(report: Progress) -> T:
            def report_and_step_aside(fraction: float) -> None:
                report(fraction)
                self._turns.step_aside()

            with self._turns.taken(is_urgent=is_urgent):
                report(0.0)  # stops here if the caller left while this waited its turn
                return work(report if is_urgent else report_and_step_aside)

        return await run_in_thread(alone, progress, self._threads)
