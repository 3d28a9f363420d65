"""Results that arrive with their progress: the form in which replicas answer long calls.

A replica's method is an async generator that yields fractions while it works and `Done(result)` at the
end; `handles.py` reads it. Ending the generator early stops the work.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from clearcast.engines.engine import Progress

T = TypeVar("T")

# Often enough to look smooth, rare enough to cost nothing: a streamed item is about 1 ms of CPU.
REPORT_EVERY_S = 0.25


@dataclass(frozen=True, slots=True)
class Done(Generic[T]):
    """The last item of a stream."""

    value: T


async def stream(
    work: Callable[[Progress], Awaitable[T]],
) -> AsyncGenerator[float | Done[T], None]:
    """Run `work(progress)`, yield its progress now and then, then its result. Raises what it raises."""
    latest = 0.0

    def progress(fraction: float) -> None:
        nonlocal latest
        latest = fraction

    task = asyncio.ensure_future(work(progress))
    reported = 0.0
    try:
        while not (await asyncio.wait([task], timeout=REPORT_EVERY_S))[0]:
            if latest > reported:
                reported = latest
                yield reported
        yield Done(task.result())
    finally:
        if not task.done():
            task.cancel()
            await asyncio.wait([task])
