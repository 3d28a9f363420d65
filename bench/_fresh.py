"""Measuring in a process of its own, so that nothing measured before counts."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any


def in_fresh_process(script: str, *arguments: str) -> Any:
    """What the Python `script` prints as JSON. Raises CalledProcessError."""
    made = subprocess.run([sys.executable, "-c", script, *arguments], check=True, capture_output=True)
    return json.loads(made.stdout)


def peak_bytes() -> int:
    """The most resident memory that this process has had.

    Not `ru_maxrss`: after fork and exec that still holds the peak of the parent.
    """
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))
