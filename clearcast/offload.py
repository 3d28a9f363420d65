"""Blocking work from asynchronous code: run it in a thread, hear its progress, stop it when told.

Engines are plain blocking calls that report progress. This is the one bridge between them and the event
loop, used in one process (`local.py`) and inside Serve replicas alike.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Iterator
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


class Turns:
    """Who may work, of several threads: the urgent before the others, one at a time.

    Work that is not urgent steps aside wherever it calls `step_aside`, and goes on before other such work.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._is_taken = False
        self._urgent = 0  # that wait
        self._aside = 0

    @contextlib.contextmanager
    def taken(self, *, is_urgent: bool) -> Iterator[None]:
        with self._changed:
            self._urgent += is_urgent
            self._changed.wait_for(lambda: not self._is_taken and (is_urgent or self._nobody_goes_before()))
            self._urgent -= is_urgent
            self._is_taken = True
        try:
            yield
        finally:
            with self._changed:
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
            self._changed.wait_for(lambda: not self._is_taken and not self._urgent)
            self._aside -= 1
            self._is_taken = True

    def _nobody_goes_before(self) -> bool:
        return not self._urgent and not self._aside


class OneAtATime:
    """Base of what does one piece of blocking work at a time, in threads."""

    def __init__(self) -> None:
        self._turns = Turns()

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

        return await run_in_thread(alone, progress)
