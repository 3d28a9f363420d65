"""Stages: the named pieces of work a flow consists of, and how a caller listens to or wraps them.

A flow calls every piece of work through a `StageHook`. The plain hook just runs it; a durable one may
answer from its records instead when the same stage was finished before (stage names are stable).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar, runtime_checkable

from clearcast.engines.engine import Progress

T = TypeVar("T")

StageProgress = Callable[[str, float], None]
"""Told the stage's group ("diarize", "identify", "transcribe") and its finished fraction in [0, 1]."""

Work = Callable[[Progress], Awaitable[T]]


class StageHook(Protocol):
    async def __call__(self, name: str, work: Work[T], progress: Progress) -> T:
        """Run `work(progress)`, or return what it returned before under this name."""
        ...


@dataclass(frozen=True, slots=True)
class Piece(Generic[T]):
    """A stage that depends on none of its neighbours."""

    name: str
    work: Work[T]
    progress: Progress


@runtime_checkable
class PiecesHook(Protocol):
    """A hook that may run pieces in another order than theirs, or find them done by somebody else."""

    async def pieces(self, pieces: Sequence[Piece[T]]) -> list[T]:
        """What each gives, in their order."""
        ...


async def run_pieces(stage: StageHook, pieces: Sequence[Piece[T]]) -> list[T]:
    """Run stages that do not depend on each other."""
    if isinstance(stage, PiecesHook):
        return await stage.pieces(pieces)
    return [await stage(piece.name, piece.work, piece.progress) for piece in pieces]


@dataclass(frozen=True, slots=True)
class Decoded:
    """What is kept of decoding, which is a stage too."""

    duration_s: float
    warnings: tuple[str, ...]


def ignore_stages(_stage: str, _fraction: float) -> None:
    """The listener of those who do not listen."""


async def run_stage(name: str, work: Work[T], progress: Progress) -> T:
    """The plain hook: does the work now, always."""
    return await work(progress)
