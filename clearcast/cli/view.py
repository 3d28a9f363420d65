"""Results for a person at the terminal: coloured by speaker, with times, names and what made them.

Text is printed in logical order as it is; terminals do the right-to-left part themselves.
"""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.text import Text

from clearcast.speech.formats import Result
from clearcast.speech.meeting import Meeting, SpeakerIdentity
from clearcast.speech.provenance import Provenance
from clearcast.speech.transcript import Segment, Transcript
from clearcast.speech.turns import Diarization

_COLOURS = ("cyan", "magenta", "yellow", "green", "blue", "bright_red", "bright_cyan", "bright_magenta")
_VERDICTS = {
    "identified": "identified",
    "uncertain": "uncertain, perhaps",
    "unknown": "no enrolled voice, nearest",
    "too_short": "too little speech to be sure, nearest",
    "not_compared": "not compared: no voices enrolled for this model",
}


def show_meeting(console: Console, meeting: Meeting) -> None:
    """Transcript, then the speakers, then who made it."""
    colours = _colours(meeting.diarization.speakers)
    if meeting.transcript is None:
        _show_turns(console, meeting.diarization, colours)
    else:
        _show_segments(console, meeting.transcript.segments, colours)
    if meeting.speakers:
        console.print()
    for speaker in meeting.speakers:
        console.print(_speaker_line(speaker, colours))
    for warning in meeting.warnings:
        console.print(warning, style="yellow", markup=False)
    _show_makers(console, provenance_of(meeting))


def show_transcript(console: Console, transcript: Transcript) -> None:
    _show_segments(console, transcript.segments, {})
    if not transcript.segments:
        console.print("Nobody speaks in this recording.", style="yellow")
    sure = transcript.language_confidence
    found = f" (found, {sure:.0%} sure)" if sure is not None else ""
    if transcript.language is not None:
        console.print(f"\nLanguage: {transcript.language}{found}", style="dim", markup=False)
    _show_makers(console, transcript.provenance)


def show_diarization(console: Console, diarization: Diarization) -> None:
    colours = _colours(diarization.speakers)
    _show_turns(console, diarization, colours)
    if not diarization.turns:
        console.print("Nobody speaks in this recording.", style="yellow")
    else:
        console.print()
    for speaker in diarization.speakers:
        spoken_s = sum(turn.duration_s for turn in diarization.turns if turn.speaker == speaker)
        line = Text(speaker, style=f"bold {colours[speaker]}")
        console.print(line.append(f"  {clock(spoken_s)} of speech", style="not bold default"))
    _show_makers(console, (diarization.provenance,))


def provenance_of(result: Result) -> tuple[Provenance, ...]:
    """Every engine that took part in a result."""
    if isinstance(result, Transcript):
        return result.provenance
    if isinstance(result, Diarization):
        return (result.provenance,)
    if result.transcript is None:
        return (result.diarization.provenance,)
    return result.transcript.provenance


def is_rough(made_by: Provenance) -> bool:
    return made_by.quality == "rough"


def clock(seconds: float) -> str:
    """Minutes and seconds to a tenth, hours only where there are some: "1:02:03.4"."""
    tenths = round(seconds * 10)
    hours, rest = divmod(tenths, 36_000)
    minutes, tenths = divmod(rest, 600)
    if hours:
        return f"{hours}:{minutes:02d}:{tenths / 10:04.1f}"
    return f"{minutes}:{tenths / 10:04.1f}"


def _show_segments(console: Console, segments: Sequence[Segment], colours: dict[str, str]) -> None:
    width = max((len(segment.speaker or "") for segment in segments), default=0)
    for segment in segments:
        line = Text(f"{clock(segment.start_s):>9}  ", style="dim")
        if width:
            name = segment.speaker or "?"
            line.append(f"{name:<{width}}  ", style=f"not dim bold {colours.get(name, 'white')}")
        console.print(line.append(segment.text.strip(), style="not dim not bold default"))


def _show_turns(console: Console, diarization: Diarization, colours: dict[str, str]) -> None:
    for turn in diarization.turns:
        line = Text(f"{clock(turn.start_s):>9} – {clock(turn.end_s):<9}  ", style="dim")
        console.print(line.append(turn.speaker, style=f"not dim bold {colours[turn.speaker]}"))


def _speaker_line(speaker: SpeakerIdentity, colours: dict[str, str]) -> Text:
    line = Text(speaker.shown_as, style=f"bold {colours.get(speaker.shown_as, 'white')}")
    detail = f"  {clock(speaker.speech_s)} of speech; {_VERDICTS[speaker.verdict]}"
    if speaker.best_name is not None and speaker.best_score is not None:
        detail += f" {speaker.best_name} ({speaker.best_score:.2f}"
        if speaker.runner_up_name is not None and speaker.runner_up_score is not None:
            detail += f"; then {speaker.runner_up_name} {speaker.runner_up_score:.2f}"
        detail += ")"
    return line.append(detail, style="not bold default")


def _show_makers(console: Console, makers: Sequence[Provenance]) -> None:
    if makers:
        console.print("Made by " + "; ".join(map(str, makers)), style="dim", markup=False)


def _colours(speakers: Sequence[str]) -> dict[str, str]:
    return {speaker: _COLOURS[index % len(_COLOURS)] for index, speaker in enumerate(speakers)}
