"""The table of file formats, for the command line and for HTTP.

What lives here: names, media types, suffixes and which writer takes which kind of result. What does not:
the formats, one file each.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from clearcast.errors import FileFormatInvalid, OptionInvalid
from clearcast.speech.json_file import read_json, write_json
from clearcast.speech.meeting import Meeting
from clearcast.speech.rttm import read_rttm_file, write_rttm
from clearcast.speech.srt import read_srt, write_srt
from clearcast.speech.transcript import Transcript
from clearcast.speech.turns import Diarization
from clearcast.speech.txt import read_txt, write_diarization_txt, write_meeting_txt, write_txt
from clearcast.speech.vtt import read_vtt, write_vtt

Result = Transcript | Diarization | Meeting


@dataclass(frozen=True, slots=True)
class Format:
    """One file format.

    Attributes:
        name: as options give it, for example "srt".
        media_type: for HTTP's Content-Type.
        suffix: of file names, with the dot.
        read: text → result.
        write_transcript, write_meeting, write_diarization: (result, name of the recording) → text; None
            where the format cannot hold such a result.
    """

    name: str
    media_type: str
    suffix: str
    read: Callable[[str], Result]
    write_transcript: Callable[[Transcript, str], str] | None = None
    write_meeting: Callable[[Meeting, str], str] | None = None
    write_diarization: Callable[[Diarization, str], str] | None = None

    def holds(self, kind: type[Result]) -> bool:
        """Whether the format can hold results of this kind."""
        writers = {
            Transcript: self.write_transcript,
            Meeting: self.write_meeting,
            Diarization: self.write_diarization,
        }
        return writers.get(kind) is not None

    def write(self, result: Result, recording_name: str = "recording") -> str:
        """The result as text; `recording_name` stands in formats that name the recording (RTTM).

        Raises OptionInvalid where the format cannot hold such a result.
        """
        if isinstance(result, Transcript) and self.write_transcript is not None:
            return self.write_transcript(result, recording_name)
        if isinstance(result, Meeting) and self.write_meeting is not None:
            return self.write_meeting(result, recording_name)
        if isinstance(result, Diarization) and self.write_diarization is not None:
            return self.write_diarization(result, recording_name)
        kind = type(result)
        raise OptionInvalid(
            f"The format {self.name!r} cannot hold a {kind.__name__.lower()}.",
            hint=f"Formats that can: {', '.join(format_names(kind))}.",
            formats=format_names(kind),
        )


def _text_of(meeting: Meeting) -> Transcript:
    if meeting.transcript is None:
        raise OptionInvalid("Subtitles need text, and this meeting was made without.")
    return meeting.transcript


FORMATS: dict[str, Format] = {
    format_.name: format_
    for format_ in (
        Format(
            *("json", "application/json", ".json"),
            read=read_json,
            write_transcript=lambda transcript, _: write_json(transcript),
            write_meeting=lambda meeting, _: write_json(meeting),
            write_diarization=lambda diarization, _: write_json(diarization),
        ),
        Format(
            *("txt", "text/plain; charset=utf-8", ".txt"),
            read=read_txt,
            write_transcript=lambda transcript, _: write_txt(transcript),
            write_meeting=lambda meeting, _: write_meeting_txt(meeting),
            write_diarization=lambda diarization, _: write_diarization_txt(diarization),
        ),
        Format(
            *("srt", "application/x-subrip", ".srt"),
            read=read_srt,
            write_transcript=lambda transcript, _: write_srt(transcript),
            write_meeting=lambda meeting, _: write_srt(_text_of(meeting)),
        ),
        Format(
            *("vtt", "text/vtt; charset=utf-8", ".vtt"),
            read=read_vtt,
            write_transcript=lambda transcript, _: write_vtt(transcript),
            write_meeting=lambda meeting, _: write_vtt(_text_of(meeting), meeting.warnings),
        ),
        Format(
            *("rttm", "text/plain; charset=utf-8", ".rttm"),
            read=read_rttm_file,
            write_meeting=lambda meeting, name: write_rttm(meeting.diarization, name),
            write_diarization=write_rttm,
        ),
    )
}


def format_named(name: str) -> Format:
    """The format of that name, in any case. Raises OptionInvalid, listing what exists."""
    found = FORMATS.get(name.lower())
    if found is None:
        raise OptionInvalid(
            f"There is no format {name[:40]!r}.",
            hint=f"Formats: {', '.join(FORMATS)}.",
            formats=tuple(FORMATS),
        )
    return found


def format_names(kind: type[Result]) -> tuple[str, ...]:
    """The formats that can hold results of this kind."""
    return tuple(name for name, format_ in FORMATS.items() if format_.holds(kind))


def write_result(result: Result, format_name: str, recording_name: str = "recording") -> str:
    """The result in the format of that name. Raises OptionInvalid."""
    return format_named(format_name).write(result, recording_name)


def read_result(content: bytes, format_name: str) -> Result:
    """The result that a file's bytes hold. Raises OptionInvalid, FileFormatInvalid."""
    return format_named(format_name).read(decode_text(content))


def format_of_file(path: Path) -> Format:
    """The format that a file's suffix tells. Raises OptionInvalid."""
    return format_named(path.suffix.removeprefix("."))


def decode_text(content: bytes) -> str:
    """Text of UTF-8, or of UTF-16 with a byte order mark. Raises FileFormatInvalid."""
    encoding = "utf-16" if content[:2] in {b"\xff\xfe", b"\xfe\xff"} else "utf-8-sig"
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        raise FileFormatInvalid(
            f"Byte {error.start} is not {encoding.removesuffix('-sig').upper()} text.",
            hint="Save the file as UTF-8 first.",
        ) from error
