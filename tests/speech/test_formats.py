"""The table of formats."""

from __future__ import annotations

from pathlib import Path

import pytest

from clearcast.errors import FileFormatInvalid, OptionInvalid
from clearcast.speech.formats import (
    FORMATS,
    decode_text,
    format_named,
    format_names,
    format_of_file,
    read_result,
    write_result,
)
from clearcast.speech.meeting import Meeting
from clearcast.speech.provenance import Provenance
from clearcast.speech.transcript import Segment, Transcript
from clearcast.speech.turns import Diarization, Turn

TRANSCRIPT = Transcript(
    (Segment(0.0, 2.0, "سلام.", speaker="Anna"),), "fa", 5.0, (Provenance("transcribe", "x", "y"),)
)
DIARIZATION = Diarization((Turn(0.0, 2.0, "Anna"),), 5.0, Provenance("diarize", "vbx", "resemblyzer"))
MEETING = Meeting(DIARIZATION, (), TRANSCRIPT)


def test_every_format_writes_what_it_says_it_holds_and_reads_it_back() -> None:
    for result in (TRANSCRIPT, DIARIZATION, MEETING):
        for name in format_names(type(result)):
            written = write_result(result, name, "talk")
            assert "Anna" in written
            if not (name == "txt" and isinstance(result, Diarization)):
                read_result(written.encode(), name)


def test_each_kind_of_result_has_its_formats() -> None:
    assert format_names(Transcript) == ("json", "txt", "srt", "vtt")
    assert format_names(Meeting) == ("json", "txt", "srt", "vtt", "rttm")
    assert format_names(Diarization) == ("json", "txt", "rttm")


def test_an_unknown_format_is_refused_with_a_list_of_those_there_are() -> None:
    with pytest.raises(OptionInvalid, match="json, txt, srt, vtt, rttm"):
        format_named("docx")


def test_a_format_that_cannot_hold_a_result_says_which_can() -> None:
    with pytest.raises(OptionInvalid, match="json, txt, rttm"):
        write_result(DIARIZATION, "srt")
    with pytest.raises(OptionInvalid, match="without"):
        write_result(Meeting(DIARIZATION, (), None), "vtt")


def test_the_recordings_name_stands_in_rttm() -> None:
    assert write_result(MEETING, "rttm", "talk 1").startswith("SPEAKER talk%201 1 0.000 2.000 ")


def test_formats_are_found_by_name_in_any_case_and_by_suffix() -> None:
    assert format_named("SRT") is FORMATS["srt"]
    assert format_of_file(Path("a/talk.de.VTT")) is FORMATS["vtt"]
    assert {format_.suffix for format_ in FORMATS.values()} == {f".{name}" for name in FORMATS}
    assert FORMATS["vtt"].media_type == "text/vtt; charset=utf-8"


def test_text_files_of_either_unicode_encoding_are_decoded() -> None:
    for encoding in ("utf-8", "utf-8-sig", "utf-16"):
        assert decode_text("سلام".encode(encoding)) == "سلام"
    with pytest.raises(FileFormatInvalid, match="UTF-8"):
        decode_text("سلام".encode("cp1256"))
