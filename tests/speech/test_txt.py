"""Plain text: readable, honest about rough engines, and right in both directions of writing."""

from __future__ import annotations

import pytest

from clearcast.errors import FileFormatInvalid
from clearcast.speech.meeting import Meeting, SpeakerIdentity
from clearcast.speech.provenance import Provenance
from clearcast.speech.text_direction import beside, direction, named_line, split_name
from clearcast.speech.transcript import Segment, Transcript
from clearcast.speech.turns import Diarization, Turn
from clearcast.speech.txt import read_txt, write_diarization_txt, write_meeting_txt, write_txt
from tests.speech.random_speech import random_transcript

GOOD = Provenance("transcribe", "faster_whisper", "small")
ROUGH = Provenance("transcribe", "pocketsphinx", "en-us", "rough")


def transcript(*segments: Segment, made_by: Provenance = GOOD) -> Transcript:
    return Transcript(segments, "fa", 4000.0, (made_by,))


def test_each_run_of_a_speaker_is_one_paragraph_with_time_and_name() -> None:
    source = transcript(
        Segment(0.9, 2.0, "Good morning.", speaker="Anna"),
        Segment(2.0, 3.0, "Shall we start?", speaker="Anna"),
        Segment(3661.0, 3662.0, "Yes.", speaker="Bob"),
    )
    assert write_txt(source) == ("[00:00:00] Anna: Good morning. Shall we start?\n\n[01:01:01] Bob: Yes.\n")


def test_a_rough_engine_is_named_at_the_head_and_a_good_one_is_not() -> None:
    said = Segment(0.0, 1.0, "hello")
    assert write_txt(transcript(said, made_by=ROUGH)).splitlines()[0] == (
        "# Made by transcribe: pocketsphinx (en-us), rough: expect wrong words."
    )
    assert write_txt(transcript(said)) == "[00:00:00]\nhello\n"


def test_a_speech_of_many_minutes_gets_paragraphs_at_sentence_ends() -> None:
    segments = [
        Segment(index * 10.0, index * 10.0 + 9, "and so on" if index % 2 else "It ends.", speaker="Anna")
        for index in range(60)
    ]
    paragraphs = write_txt(transcript(*segments)).split("\n\n")
    assert 3 <= len(paragraphs) <= 6
    assert all(paragraph.rstrip().endswith("It ends.") for paragraph in paragraphs[:-1])


def test_a_latin_name_before_persian_text_is_isolated_so_that_the_line_runs_right_to_left() -> None:
    text = "سلام، نرم‌افزار ۱۲۳ ي ی."
    written = write_txt(transcript(Segment(0.0, 1.0, text, speaker="Anna")))
    assert written == f"[00:00:00] \u2068Anna\u2069: {text}\n"
    assert direction(written) == "R"
    assert read_txt(written).segments[0].speaker == "Anna"
    assert read_txt(written).segments[0].text == text


@pytest.mark.parametrize(
    ("name", "text", "isolates"),
    [
        ("رضا", "سلام.", False),
        ("Anna", "Hello.", False),
        ("رضا", "Hello.", True),
        ("Anna رضا", "سلام.", True),
        ("Dana", "שלום", True),
        ("123", "سلام", False),
        ("Anna", "42", False),
        ("田中", "こんにちは", False),
    ],
)
def test_names_are_isolated_only_beside_text_of_another_direction(
    name: str, text: str, isolates: bool
) -> None:
    assert ("\u2068" in beside(name, text)) == isolates
    assert split_name(named_line(name, text)) == (name, text)


@pytest.mark.parametrize("name", ["Dr: Who", "a: b: c", "Anna:", "x" * 300])
def test_names_that_could_be_read_otherwise_come_back_whole(name: str) -> None:
    assert split_name(named_line(name, "well: yes")) == (name, "well: yes")


def test_controls_in_a_name_cannot_turn_the_text_round() -> None:
    assert beside("evil\u202e\u2069", "text") == "evil"


def test_paragraphs_come_back_with_speaker_time_and_text() -> None:
    for seed in range(60):
        source = random_transcript(seed)
        written = write_txt(source)
        read = read_txt(written)
        assert "".join(read.text.split()) == "".join(source.text.split()), seed
        heads = [(segment.speaker, segment.text) for segment in read.segments]
        assert {speaker for speaker, _ in heads} == {segment.speaker for segment in source.segments}
        assert write_txt(read) == written, seed


def test_text_without_speakers_may_hold_colons() -> None:
    source = transcript(Segment(0.0, 1.0, "The rule is: never."))
    assert read_txt(write_txt(source)).segments[0] == Segment(0.0, 0.0, "The rule is: never.")


def test_text_outside_of_paragraphs_is_refused_with_its_line() -> None:
    with pytest.raises(FileFormatInvalid, match="Line 2"):
        read_txt("# remark\nDear reader,\n")


def test_a_meeting_tells_warnings_and_scores_before_its_text() -> None:
    diarization = Diarization((Turn(0.0, 1.0, "Anna"),), 5.0, Provenance("diarize", "vbx", "resemblyzer"))
    speakers = (
        SpeakerIdentity("SPEAKER_00", 12.34, "identified", "Anna", 0.831, "رضا", 0.4),
        SpeakerIdentity("SPEAKER_01", 0.5, "too_short"),
        SpeakerIdentity("SPEAKER_02", 9.0, "not_compared"),
    )
    said = transcript(Segment(0.0, 1.0, "Hi.", speaker="Anna"))
    written = write_meeting_txt(Meeting(diarization, speakers, said, ("The file is\ncut off.",)))
    assert written == (
        "# The file is cut off.\n"
        "# Anna: identified, 12.3 s of speech, nearest Anna 0.83, then \u2068رضا\u2069 0.40\n"
        "# SPEAKER_01: too short, 0.5 s of speech\n"
        "\n"
        "[00:00:00] Anna: Hi.\n"
    )
    assert read_txt(written).segments[0].speaker == "Anna"


def test_a_meeting_without_text_and_a_diarization_list_their_turns() -> None:
    turns = (Turn(0.5, 1.25, "Anna"), Turn(2.0, 3.0, "رضا"))
    diarization = Diarization(turns, 5.0, Provenance("diarize", "vbx", "resemblyzer"))
    lines = "[00:00:00.500 – 00:00:01.250] Anna\n[00:00:02.000 – 00:00:03.000] \u2068رضا\u2069\n"
    assert write_diarization_txt(diarization) == lines
    assert write_meeting_txt(Meeting(diarization, (), None)) == lines
