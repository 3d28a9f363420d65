"""Blocking work from asynchronous code: results, errors, progress and a clean stop."""

from __future__ import annotations

import asyncio
import threading

import pytest

from clearcast.engines.engine import Progress
from clearcast.errors import AudioEmpty, Cancelled
from clearcast.offload import run_in_thread


async def test_result_and_progress_reach_the_event_loop() -> None:
    seen: list[tuple[float, int]] = []

    def work(report: Progress) -> str:
        report(0.25)
        report(7.0)  # an engine that overshoots
        return "done"

    assert await run_in_thread(work, lambda f: seen.append((f, threading.get_ident()))) == "done"
    await asyncio.sleep(0)
    assert seen == [(0.25, threading.get_ident()), (1.0, threading.get_ident())]


async def test_errors_come_through_unchanged() -> None:
    def work(_report: Progress) -> None:
        raise AudioEmpty("nothing in it")

    with pytest.raises(AudioEmpty, match="nothing in it"):
        await run_in_thread(work)


async def test_cancelling_stops_the_work_before_it_returns() -> None:
    started = threading.Event()
    ended: list[str] = []

    def work(report: Progress) -> None:
        started.set()
        try:
            while True:
                report(0.5)
        except Cancelled:
            ended.append("stopped")
            raise

    task = asyncio.ensure_future(run_in_thread(work))
    await asyncio.to_thread(started.wait, 5)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended == ["stopped"]
