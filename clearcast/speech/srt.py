"""SubRip subtitles (.srt): numbered cues with times.

The format has no standard and knows no speakers: a name is written as "Name: " where the speaker changes.
Nor does it know an escape: where text could be taken for times or a tag, an invisible word joiner (U+2060)
parts the characters, and the reader takes it out again.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from clearcast.errors import FileFormatInvalid
from clearcast.speech.clock import is_times_line, read_times, write_clock
from clearcast.speech.cues import Cue, plan_cues, spoken_by
from clearcast.speech.line_breaks import joined
from clearcast.speech.text_direction import named_line, one_line, split_name
from clearcast.speech.transcript import Segment, Transcript

_GUARD = "\u2060"
_NEEDS_GUARD = re.compile(r"--(?=>)|<(?=[A-Za-z/])|\{(?=\\)")
_GUARDED = re.compile(rf"(--|<|\{{){_GUARD}")
_TAG = re.compile(r"</?[A-Za-z][^<>]*>|\{\\[^{}]*\}")  # <i>, <font color=…>, {\an8}
_LINE_END = re.compile(r"\r\n|\r|\n")


def write_srt(transcript: Transcript) -> str:
    """The transcript as SubRip; empty when nothing was said."""
    blocks = []
    for number, cue in enumerate(plan_cues(transcript, names_in_text=True), start=1):
        times = f"{write_clock(cue.start_ms, ',')} --> {write_clock(cue.end_ms, ',')}"
        blocks.append(f"{number}\n{times}\n{_shown_text(cue)}\n")
    return "\n".join(blocks)


def read_srt(text: str, *, names: bool = False) -> Transcript:
    """The cues as segments, one each, tags left out; empty cues are dropped.

    With `names`, "Name: " at the start of a cue tells the speaker, who goes on until the next name; not by
    default, because other tools write no names and any sentence may hold a colon.
    Byte order marks, any line ends, points for commas, missing numbers, hours or blank lines, and blank
    lines within a cue are accepted. Raises FileFormatInvalid, naming the line, for what gives no cues.
    """
    lines = _LINE_END.split(text.removeprefix("\ufeff"))
    heads = [index for index, line in enumerate(lines) if is_times_line(line)]
    _refuse_other_files(lines, heads[0] if heads else len(lines))
    segments: list[Segment] = []
    speaker: str | None = None
    for head, following in zip(heads, [*heads[1:], len(lines)], strict=False):
        start_s, end_s = read_times(lines[head], head + 1)
        spoken = _plain(_cue_lines(lines[head + 1 : following], last=following == len(lines)))
        if names and (found := split_name(spoken))[0] is not None:
            speaker, spoken = found
        if spoken:
            segments.append(Segment(start_s, end_s, spoken, speaker=speaker))
    duration_s = max((segment.end_s for segment in segments), default=0.0)
    return Transcript(tuple(segments), None, duration_s, ())


def _shown_text(cue: Cue) -> str:
    lines = list(cue.lines)
    if cue.speaker and cue.speaker_changes:
        # The direction is that of the whole cue, whose first line may be a number.
        name = named_line(spoken_by(cue.speaker), " ".join(lines)).removesuffix(" ".join(lines))
        lines[0] = name + lines[0]
    return "\n".join(_NEEDS_GUARD.sub(lambda match: match[0] + _GUARD, line.strip()) for line in lines)


def _refuse_other_files(lines: Sequence[str], first: int) -> None:
    for index, line in enumerate(lines[:first]):
        if line.strip() and not line.strip().isdecimal():
            raise FileFormatInvalid(
                f"Line {index + 1}: not a SubRip file; a cue number or times were expected.", line=index + 1
            )


def _cue_lines(lines: Sequence[str], *, last: bool) -> Sequence[str]:
    """Lines of text between two lines of times, without the number of the next cue."""
    if not last and lines and lines[-1].strip().isdecimal():
        lines = lines[:-1]
    return [line.strip() for line in lines if line.strip()]


def _plain(lines: Sequence[str]) -> str:
    return _GUARDED.sub(r"\1", one_line(_TAG.sub("", joined(lines))))
