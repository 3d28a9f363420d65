"""What finished stages of one file gave, on disk, for every process that works on it.

What lives here: a stage hook that runs each stage once, whoever comes first, and finds it done ever after.
What does not: what the stages do. Locks are the kernel's (flock), so that a killed process leaves none.
"""

from __future__ import annotations

import asyncio
import fcntl
import functools
import os
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar, cast

from pydantic import TypeAdapter

from clearcast.audio.atomic import whole_or_absent
from clearcast.engines.engine import Progress
from pipelines.stages import Piece, Work

T = TypeVar("T")


class StageElsewhere(Exception):
    """The next stage is not for this process; what is done so far is kept."""


class WorkGone(Exception):
    """The folder is not there any more: somebody else has brought the file to its end."""


class SharedStages:
    """A `StageHook` over the folder of one file."""

    def __init__(
        self, folder: Path, types: Mapping[str, Any], is_ours: Callable[[str], bool] = lambda _group: True
    ) -> None:
        """`types`: what stages give, by the part of their name before "/"; `is_ours` tells of such a part
        whether its stages may be run here. The folder `stages` in `folder` is there."""
        self._folder = folder / "stages"
        self._types = types
        self._is_ours = is_ours
        self._seconds: dict[str, float] = {}

    @property
    def seconds(self) -> dict[str, float]:
        """What the finished stages took, by their groups, wherever they were done."""
        groups: dict[str, float] = {}
        for name, seconds in self._seconds.items():
            group = name.partition("/")[0]
            groups[group] = groups.get(group, 0.0) + seconds
        return groups

    async def __call__(self, name: str, work: Work[T], progress: Progress) -> T:
        """Raises StageElsewhere, WorkGone, and what the work raises."""
        if (value := self._find(name)) is not None:
            return cast(T, value[0])
        if not self._is_ours(name.partition("/")[0]):
            raise StageElsewhere(name)
        async with self._locked(name, wait=True):
            return await self._found_or_done(name, work, progress)

    async def pieces(self, pieces: Sequence[Piece[T]]) -> list[T]:
        """First those that nobody else has in hand; then wait for the rest, or do what others gave up."""
        if not all(self._is_ours(piece.name.partition("/")[0]) for piece in pieces):
            return [await self(piece.name, piece.work, piece.progress) for piece in pieces]
        for piece in pieces:
            async with self._locked(piece.name, wait=False) as is_mine:
                if is_mine:
                    await self._found_or_done(piece.name, piece.work, piece.progress)
        return [await self(piece.name, piece.work, piece.progress) for piece in pieces]

    async def _found_or_done(self, name: str, work: Work[T], progress: Progress) -> T:
        if (value := self._find(name)) is not None:
            return cast(T, value[0])
        if not self._folder.is_dir():
            raise WorkGone
        started_s = time.perf_counter()
        made = await work(progress)
        self._keep(name, made, time.perf_counter() - started_s)
        return made

    def _find(self, name: str) -> tuple[Any] | None:
        """What the stage gave, in a tuple since it may be None."""
        try:
            seconds, _, document = self._path(name, "json").read_bytes().partition(b"\n")
        except FileNotFoundError:
            return None
        self._seconds[name] = float(seconds)
        return (self._adapter_of(name).validate_json(document),)

    def _keep(self, name: str, value: Any, seconds: float) -> None:
        document = self._adapter_of(name).dump_json(value)
        try:
            with whole_or_absent(self._path(name, "json")) as temporary:
                temporary.write_bytes(f"{seconds:.3f}\n".encode() + document)
        except FileNotFoundError as error:
            raise WorkGone from error
        self._seconds[name] = seconds

    @asynccontextmanager
    async def _locked(self, name: str, *, wait: bool) -> AsyncIterator[bool]:
        """Hold the stage's lock; without `wait` the value is False where somebody else does."""
        try:
            descriptor = os.open(self._path(name, "lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except FileNotFoundError as error:
            raise WorkGone from error
        try:
            is_mine = _try_lock(descriptor)
            if not is_mine and wait:
                await asyncio.to_thread(fcntl.flock, descriptor, fcntl.LOCK_EX)
                is_mine = True
            yield is_mine
        finally:
            os.close(descriptor)

    def _path(self, name: str, suffix: str) -> Path:
        return self._folder / f"{name.replace('/', '.')}.{suffix}"

    def _adapter_of(self, name: str) -> TypeAdapter[Any]:
        return _adapter(self._types[name.partition("/")[0]])


@functools.cache  # making one takes as long as a short stage
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
