"""What the processes that a test has started are.

What lives here: looking at them while they come and go. What does not: starting servers (`servers.py`).
"""

from __future__ import annotations

import psutil


def words_of(process: psutil.Process) -> list[str]:
    """Its command line; empty for one that has just ended."""
    try:
        return process.cmdline()
    except (psutil.NoSuchProcess, psutil.ZombieProcess):
        return []


def title_of(process: psutil.Process) -> str:
    """The first of those words, which Ray sets to what a process does."""
    return next(iter(words_of(process)), "")
