"""RTTM, NIST's Rich Transcription Time Marked format (RT-09 evaluation plan, appendix A): who spoke when.

What lives here: its SPEAKER records, one line per turn; other records are read over. Fields are parted by
white space, so white space and the per cent sign in names are written as in web addresses ("Anna%20Smith")
and read back the same way.
"""

from __future__ import annotations

import math
import re
from urllib.parse import quote, unquote

from clearcast.errors import FileFormatInvalid, NotFound
from clearcast.speech.provenance import Provenance
from clearcast.speech.turns import Diarization, Turn, overlapping_spans

_NONE = "<NA>"
_OTHER_RECORDS = frozenset(
    {
        "SEGMENT",
        "NOSCORE",
        "NO_RT_METADATA",
        "LEXEME",
        "NON-LEX",
        "NON-SPEECH",
        "FILLER",
        "EDIT",
        "IP",
        "SU",
    }
    | {"CB", "A/P", "SPKR-INFO"}
)
_BLANK_OR_PERCENT = re.compile(r"[\s%\x00-\x1f]")


def write_rttm(diarization: Diarization, file_id: str = "recording") -> str:
    """One SPEAKER record per turn, times to the millisecond; turns that last less are left out."""
    records = []
    for turn in diarization.turns:
        start_ms, end_ms = round(turn.start_s * 1000), round(turn.end_s * 1000)
        if end_ms > start_ms:
            times = f"{start_ms / 1000:.3f} {(end_ms - start_ms) / 1000:.3f}"
            names = f"{_NONE} {_NONE} {_field(turn.speaker)} {_NONE} {_NONE}"
            records.append(f"SPEAKER {_field(file_id)} 1 {times} {names}\n")
    return "".join(records)


def read_rttm(text: str) -> dict[str, Diarization]:
    """The diarization of each file that the text tells of, by file id, turns sorted.

    RTTM does not give the length of a recording: `duration_s` is the end of the last turn. Comments (";;"),
    other record types, either channel and records without the last field are accepted.
    Raises FileFormatInvalid, naming the line, for anything else.
    """
    turns: dict[str, list[Turn]] = {}
    for number, line in enumerate(text.removeprefix("\ufeff").split("\n"), start=1):
        fields = line.split(";;", 1)[0].split()
        if not fields or fields[0] in _OTHER_RECORDS:
            continue
        if fields[0] != "SPEAKER" or len(fields) < 8:
            raise FileFormatInvalid(f"Line {number}: {line.strip()[:60]!r} is no RTTM record.", line=number)
        start_s, duration_s = _time(fields[3], number), _time(fields[4], number)
        turn = Turn(start_s, round(start_s + duration_s, 6), unquote(fields[7]))
        turns.setdefault(unquote(fields[1]), []).append(turn)
    return {file_id: _diarization(found) for file_id, found in turns.items()}


def read_rttm_file(text: str, file_id: str | None = None) -> Diarization:
    """The diarization of one file: the only one, or that of `file_id`. An empty text has no turns.

    Raises NotFound when `file_id` is not in it, FileFormatInvalid when it must be given.
    """
    found = read_rttm(text)
    if file_id is not None:
        if file_id not in found:
            raise NotFound(f"The RTTM text tells nothing of a file {file_id!r}.")
        return found[file_id]
    if len(found) > 1:
        raise FileFormatInvalid(f"The RTTM text tells of {len(found)} files; choose one by its id.")
    return next(iter(found.values()), _diarization([]))


def _diarization(turns: list[Turn]) -> Diarization:
    return Diarization(
        turns=tuple(sorted(turns)),
        duration_s=max((turn.end_s for turn in turns), default=0.0),
        provenance=Provenance("diarize", "rttm", "read from a file"),
        overlap_marked=bool(overlapping_spans(turns)),
    )


def _field(text: str) -> str:
    escaped = _BLANK_OR_PERCENT.sub(lambda match: quote(match[0], safe=""), text)
    # ";;" would start a comment.
    return escaped.replace(";;", "%3B%3B") or _NONE


def _time(text: str, line_number: int) -> float:
    try:
        time_s = float(text)
    except ValueError:
        time_s = math.nan
    if not (math.isfinite(time_s) and time_s >= 0):
        raise FileFormatInvalid(
            f"Line {line_number}: {text[:40]!r} is no time in seconds.", line=line_number
        )
    return time_s
