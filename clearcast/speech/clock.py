"""Times as they are written in files: hours, minutes, seconds and milliseconds.

What lives here: writing and reading such stamps and the "from --> to" line of SRT and WebVTT. What does
not: the formats themselves.
"""

from __future__ import annotations

import re

from clearcast.errors import FileFormatInvalid

# Hours may be missing and any mark may stand before the fraction: other tools write both.
_STAMP = r"(?:([0-9]+):)?([0-9]{1,2}):([0-9]{1,2})(?:[.,]([0-9]{1,9}))?"
_TIMES = re.compile(rf"\s*{_STAMP}\s*-->\s*{_STAMP}(?:\s.*)?")


def write_clock(time_ms: int, mark: str = ".") -> str:
    """Milliseconds as "HH:MM:SS.mmm" with `mark` before the fraction; hours may pass 99."""
    seconds, rest_ms = divmod(time_ms, 1000)
    return f"{write_seconds(seconds)}{mark}{rest_ms:03d}"


def write_seconds(seconds: int) -> str:
    """Whole seconds as "HH:MM:SS"."""
    minutes, second = divmod(seconds, 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours:02d}:{minute:02d}:{second:02d}"


def is_times_line(line: str) -> bool:
    """Whether the line claims to give a cue's times."""
    return "-->" in line


def read_times(line: str, line_number: int) -> tuple[float, float]:
    """(start_s, end_s) of a line "from --> to", cue settings left out.

    Raises FileFormatInvalid, naming the line, where it is none or the end lies before the start.
    """
    match = _TIMES.fullmatch(line)
    if match is None:
        raise FileFormatInvalid(
            f"Line {line_number}: {line.strip()[:80]!r} gives no times."
            " They look like 00:00:01.000 --> 00:00:02.500.",
            line=line_number,
        )
    parts = match.groups()
    start_s, end_s = _seconds(parts[:4]), _seconds(parts[4:])
    if end_s < start_s:
        raise FileFormatInvalid(f"Line {line_number}: the cue ends before it starts.", line=line_number)
    return start_s, end_s


def _seconds(parts: tuple[str | None, ...]) -> float:
    hours, minutes, seconds, fraction = parts
    whole = int(hours or 0) * 3600 + int(minutes or 0) * 60 + int(seconds or 0)
    return float(f"{whole}.{fraction or 0}")  # exactly the float of the decimal that is written
