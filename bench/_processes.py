"""CPU seconds and memory of a process with everything it started."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import psutil


def tree() -> Iterator[psutil.Process]:
    """The processes this one started, and theirs."""
    yield from psutil.Process().children(recursive=True)


def cpu_seconds() -> dict[int, float]:
    """CPU seconds so far by process, those of its finished children included."""
    used: dict[int, float] = {}
    for process in tree():
        with contextlib.suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            used[process.pid] = times.user + times.system + times.children_user + times.children_system
    return used


def cpu_between(before: dict[int, float], after: dict[int, float]) -> float:
    """CPU seconds spent between two looks; processes that came in between count in full."""
    return sum(used - before.get(pid, 0.0) for pid, used in after.items())


def memory_bytes() -> dict[str, int]:
    """Unique memory (what would be freed if it ended) by process name, summed over same names."""
    used: dict[str, int] = {}
    for process in tree():
        with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            words = process.cmdline()
            name = words[0].split("/")[-1] if words else process.name()
            used[name] = used.get(name, 0) + process.memory_full_info().uss
    return used
