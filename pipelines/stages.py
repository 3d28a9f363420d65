"""Stages: the named pieces of work a flow consists of, and how a caller listens to or wraps them.

A flow calls every piece of work through a `StageHook`. The plain hook just runs it; a durable one may
answer from its records instead when the same stage was finished before (stage names are stable).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar

from clearcast.engines.engine import Progress

T = TypeVar("T")

StageProgress = Callable[[str, float], None]
"""Told the stage's group ("diarize", "identify", "transcribe") and its finished fraction in [0, 1]."""

Work = Callable[[Progress], Awaitable[T]]


class StageHook(Protocol):
    async def __call__(self, name: str, work: Work[T], progress: Progress) -> T:
        """Run `work(progress)`, or return what it returned before under this name."""
        ...


def ignore_stages(_stage: str, _fraction: float) -> None:
    """The listener of those who do not listen."""


async def run_stage(name: str, work: Work[T], progress: Progress) -> T:
    """The plain hook: does the work now, always."""
    return await work(progress)


def share(progress: Progress, done: float, part: float) -> Progress:
    """The progress of a part: its 0…1 becomes `done`…`done + part` of the whole."""
    return lambda fraction: progress(done + part * fraction)
