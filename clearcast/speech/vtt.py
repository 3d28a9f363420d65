"""WebVTT subtitles (.vtt): https://www.w3.org/TR/webvtt1/.

Speakers are voice spans, `<v Name>`. What made the text stands in a NOTE at the head, which players skip.
"""

from __future__ import annotations

import html
import re
from collections.abc import Sequence

from clearcast.errors import FileFormatInvalid
from clearcast.speech.clock import is_times_line, read_times, write_clock
from clearcast.speech.cues import plan_cues
from clearcast.speech.line_breaks import joined
from clearcast.speech.text_direction import one_line
from clearcast.speech.transcript import Segment, Transcript

_LINE_END = re.compile(r"\r\n|\r|\n")
_SKIPPED_BLOCK = re.compile(r"(NOTE|STYLE|REGION)(\s|$)")
_VOICE = re.compile(r"<v(?:\.[^\s>]*)?[ \t]+([^>]*)>")
_TAG = re.compile(r"<[^>]*>")


def write_vtt(transcript: Transcript, notes: Sequence[str] = ()) -> str:
    """The transcript as WebVTT; `notes` are further lines for the head, for example warnings."""
    head = [f"Made by ClearCast. {provenance}" for provenance in transcript.provenance]
    blocks = ["WEBVTT\n", *(f"NOTE {_escaped(one_line(note))}\n" for note in [*head, *notes])]
    for cue in plan_cues(transcript):
        voice = f"<v {_escaped(one_line(cue.speaker))}>" if cue.speaker else ""
        text = "\n".join(_escaped(line) for line in cue.lines)
        blocks.append(f"{write_clock(cue.start_ms)} --> {write_clock(cue.end_ms)}\n{voice}{text}\n")
    return "\n".join(blocks)


def read_vtt(text: str) -> Transcript:
    """The cues as segments; a cue with several voices gives one segment for each, with the same times.

    Identifiers, settings, styles, regions, notes and tags are left out. Byte order marks, any line ends,
    missing hours, commas for points and a blank line between times and text are accepted.
    Raises FileFormatInvalid, naming the line, where it is no WebVTT file or a cue's times are wrong.
    """
    lines = _LINE_END.split(text.removeprefix("\ufeff"))
    if not re.fullmatch(r"WEBVTT(?:[ \t].*)?", lines[0]):
        raise FileFormatInvalid("Line 1: a WebVTT file starts with the word WEBVTT.", line=1)
    segments: list[Segment] = []
    for head in _cue_heads(lines):
        start_s, end_s = read_times(lines[head], head + 1)
        for speaker, spoken in _voices(joined(_cue_lines(lines, head + 1))):
            segments.append(Segment(start_s, end_s, spoken, speaker=speaker))
    duration_s = max((segment.end_s for segment in segments), default=0.0)
    return Transcript(tuple(segments), None, duration_s, ())


def _escaped(text: str) -> str:
    # `>` too: "-->" must not appear in a cue or a note.
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _cue_heads(lines: Sequence[str]) -> list[int]:
    """Indices of the lines with times that belong to cues, and not to notes, styles or regions."""
    heads = []
    skipping = False
    for index, line in enumerate(lines):
        if not line.strip():
            skipping = False
        elif index and not lines[index - 1].strip() and _SKIPPED_BLOCK.match(line):
            skipping = True
        elif is_times_line(line) and not skipping:
            heads.append(index)
    return heads


def _cue_lines(lines: Sequence[str], start: int) -> list[str]:
    """The lines of text that follow the line of times before `start`."""
    if start + 1 < len(lines) and not lines[start].strip() and _is_stray_text(lines, start + 1):
        start += 1
    found = []
    for line in lines[start:]:
        if not line.strip() or is_times_line(line):
            break
        found.append(line.strip())
    return found


def _is_stray_text(lines: Sequence[str], index: int) -> bool:
    """Whether this line is text that a blank line parts from its times, and not the next block."""
    following = lines[index + 1] if index + 1 < len(lines) else ""
    return not (
        _SKIPPED_BLOCK.match(lines[index]) or is_times_line(lines[index]) or is_times_line(following)
    )


def _voices(text: str) -> list[tuple[str | None, str]]:
    """(speaker, text) of each voice span; text before the first span has no speaker."""
    pieces = _VOICE.split(text)
    speakers = [None, *(one_line(html.unescape(name)) or None for name in pieces[1::2])]
    texts = [one_line(html.unescape(_TAG.sub("", piece))) for piece in pieces[0::2]]
    return [(speaker, spoken) for speaker, spoken in zip(speakers, texts, strict=True) if spoken]
