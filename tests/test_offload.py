"""Blocking work from asynchronous code: results, errors, progress and a clean stop."""

from __future__ import annotations

import asyncio
import threading

import pytest

from clearcast.engines.engine import Progress
from clearcast.errors import AudioEmpty, Cancelled
from clearcast.offload import OneAtATime, run_in_thread


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


class Worker(OneAtATime):
    """Writes down in which order it works."""

    def __init__(self) -> None:
        super().__init__()
        self.done: list[str] = []

    async def work(self, name: str, steps: int, *, is_urgent: bool = False) -> None:
        def work(report: Progress) -> None:
            for step in range(steps):
                self.done.append(f"{name}{step}")
                report(step / steps)

        await self._run(work, is_urgent=is_urgent)


async def test_urgent_work_goes_between_the_steps_of_other_work_which_goes_on_before_its_like() -> None:
    worker = Worker()
    has_begun = threading.Event()
    may_go_on = threading.Event()

    def patient(report: Progress) -> None:
        worker.done.append("patient begins")
        has_begun.set()
        may_go_on.wait(20)
        report(0.5)
        worker.done.append("patient ends")

    works = [asyncio.ensure_future(worker._run(patient))]
    await asyncio.to_thread(has_begun.wait, 20)
    works.append(asyncio.ensure_future(worker.work("next", 1)))
    works += [asyncio.ensure_future(worker.work("urgent", 2, is_urgent=True)) for _ in range(2)]
    async with asyncio.timeout(20):
        while worker._turns._urgent < 2:
            await asyncio.sleep(0.01)
    may_go_on.set()
    await asyncio.gather(*works)
    urgent = ["urgent0", "urgent1"]
    assert worker.done == ["patient begins", *urgent, *urgent, "patient ends", "next0"]


async def test_a_hundred_pieces_of_work_of_both_kinds_are_all_done() -> None:
    worker = Worker()
    works = [worker.work(f"{number}.", 5, is_urgent=number % 3 == 0) for number in range(100)]
    async with asyncio.timeout(60):
        await asyncio.gather(*works)
    assert len(worker.done) == 500
