"""SRT and WebVTT files: what we write, and what others write."""

from __future__ import annotations

import io
import re

import av
import pytest

from clearcast.errors import FileFormatInvalid
from clearcast.speech.cues import plan_cues
from clearcast.speech.provenance import Provenance
from clearcast.speech.srt import read_srt, write_srt
from clearcast.speech.transcript import Segment, Transcript
from clearcast.speech.vtt import read_vtt, write_vtt
from tests.speech.random_speech import random_transcript

ROUGH = (Provenance("transcribe", "pocketsphinx", "en-us", "rough"),)


def transcript(*segments: Segment, duration_s: float = 60.0) -> Transcript:
    return Transcript(segments, "fa", duration_s, ROUGH)


def letters(text: str) -> str:
    return re.sub(r"\s", "", text)


def packets(text: str, format_name: str) -> list[tuple[int, int]]:
    """(start, end) in milliseconds of each cue, as FFmpeg's demuxer reads them."""
    found = []
    with av.open(io.BytesIO(text.encode()), format=format_name) as container:
        for packet in container.demux(subtitles=0):
            if packet.pts is not None and packet.time_base is not None:
                start_ms = round(packet.pts * packet.time_base * 1000)
                found.append((start_ms, start_ms + round((packet.duration or 0) * packet.time_base * 1000)))
    return found


def test_ffmpeg_reads_the_same_times_from_srt() -> None:
    for seed in range(40):
        source = random_transcript(seed)
        expected = [(cue.start_ms, cue.end_ms) for cue in plan_cues(source, names_in_text=True)]
        assert packets(write_srt(source), "srt") == expected, seed


def test_ffmpeg_reads_the_same_times_from_webvtt() -> None:
    for seed in range(40):
        source = random_transcript(seed)
        expected = [(cue.start_ms, cue.end_ms) for cue in plan_cues(source)]
        assert packets(write_vtt(source), "webvtt") == expected, seed


def test_webvtt_comes_back_with_every_cue_speaker_and_time() -> None:
    for seed in range(60):
        source = random_transcript(seed)
        read = read_vtt(write_vtt(source)).segments
        cues = plan_cues(source)
        assert [(s.start_s, s.end_s, s.speaker) for s in read] == [
            (cue.start_ms / 1000, cue.end_ms / 1000, cue.speaker) for cue in cues
        ], seed
        assert [letters(s.text) for s in read] == [letters("".join(cue.lines)) for cue in cues], seed


def test_srt_comes_back_with_every_cue_and_the_names_that_fit() -> None:
    for seed in range(60):
        source = random_transcript(seed)
        if any(segment.speaker is None for segment in source.segments):
            continue
        read = read_srt(write_srt(source), names=True).segments
        cues = plan_cues(source, names_in_text=True)
        assert [(s.start_s, s.end_s) for s in read] == [(c.start_ms / 1000, c.end_ms / 1000) for c in cues]
        for segment, cue in zip(read, cues, strict=True):
            assert letters(segment.text) == letters("".join(cue.lines)), seed
            assert cue.speaker is not None
            assert cue.speaker == segment.speaker or (segment.speaker or "").endswith("…"), seed


def test_reading_srt_without_asking_for_names_leaves_colons_alone() -> None:
    (segment,) = read_srt("1\n00:00:01,000 --> 00:00:02,000\nNote: this\n").segments
    assert (segment.speaker, segment.text) == (None, "Note: this")


@pytest.mark.parametrize(
    "text",
    [
        "می‌خواهیم کتاب‌ها را ببینیم، ي و ی و ک و ك؛ ۰۱۲۳۴۵۶۷۸۹",
        "الحَمْدُ لِلَّهِ، كيف الحال؟ ٠١٢٣",
        "שלום עולם, מה נשמע?",
        "今日は天気ですね。",
        "👨‍👩‍👧‍👦 family 👍🏽",
        "5",
        "a < b & c > d --> e <b>bold</b> {\\an8} &amp; &lt;",
        "-->",
    ],
)
def test_any_script_and_any_mark_comes_back_unharmed(text: str) -> None:
    source = transcript(Segment(1.0, 4.0, text), Segment(8.0, 9.0, "next"))
    assert [segment.text for segment in read_vtt(write_vtt(source)).segments] == [text, "next"]
    assert [segment.text for segment in read_srt(write_srt(source)).segments] == [text, "next"]
    assert packets(write_srt(source), "srt") == packets(write_vtt(source), "webvtt")


def test_a_latin_name_before_persian_text_is_isolated_in_srt_and_no_other_name_is() -> None:
    source = transcript(
        Segment(0.0, 2.0, "سلام، خوبی؟", speaker="Anna"),
        Segment(4.0, 6.0, "Hello there.", speaker="Bob"),
        Segment(8.0, 9.0, "سلام.", speaker="رضا"),
    )
    written = write_srt(source)
    assert "\u2068Anna\u2069: سلام، خوبی؟" in written
    assert "\nBob: Hello there." in written
    assert "\nرضا: سلام." in written


def test_srt_names_a_speaker_only_where_it_changes() -> None:
    source = transcript(
        Segment(0.0, 1.0, "One.", speaker="A"),
        Segment(5.0, 6.0, "Two.", speaker="A"),
        Segment(9.0, 10.0, "Three.", speaker="B"),
    )
    assert re.findall(r"^.*\.$", write_srt(source), re.M) == ["A: One.", "Two.", "B: Three."]


def test_webvtt_escapes_names_and_text_and_notes_what_made_it() -> None:
    written = write_vtt(transcript(Segment(0.0, 1.0, "x --> y & <z>", speaker="R&D <b>")), ["Cut --> off"])
    assert "<v R&amp;D &lt;b&gt;>x --&gt; y &amp; &lt;z&gt;" in written
    assert "NOTE Made by ClearCast. transcribe: pocketsphinx (en-us), rough\n" in written
    assert "NOTE Cut --&gt; off\n" in written
    assert written.count("-->") == 1
    assert read_vtt(written).segments[0].speaker == "R&D <b>"


def test_an_empty_transcript_gives_an_empty_but_valid_file() -> None:
    empty = Transcript((), None, 3.0, ())
    assert (write_srt(empty), write_vtt(empty)) == ("", "WEBVTT\n")
    assert read_srt("").segments == read_vtt("WEBVTT").segments == ()


SRT_OF_OTHERS = """\ufeff1
00:00:01,5 --> 00:00:02.250  X1:100 X2:200
<i>Hello</i>

<font color="#fff">you</font>


2
0:00:03,000-->0:00:04,000
{\\an8}2024
3
00:05,000 --> 00:06,000

no hours, I < you
00:00:07,000 --> 00:00:08,000
no number

4
00:00:09,000 --> 00:00:10,000

"""

VTT_OF_OTHERS = """\ufeffWEBVTT - title
Kind: captions
Language: en

STYLE
::cue { color: red }

NOTE
a remark
00:00:00.000 --> 00:00:01.000

REGION
id:fred

intro
00:01.000 --> 00:02,500 align:start position:0%
<v.loud Mary &amp; Bob>Hi <i.x>all</i></v>
<v رضا>سلام&nbsp;!


00:00:03.000 --> 00:00:04.000

after a blank line

00:00:05.000 --> 00:00:06.000

7
00:00:07.000 --> 00:00:08.000
<00:07.100><c>timed</c> <lang fr>text</lang>"""


@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
def test_srt_of_other_tools_is_read(line_end: str) -> None:
    read = read_srt(SRT_OF_OTHERS.replace("\n", line_end))
    assert [(segment.start_s, segment.end_s, segment.text) for segment in read.segments] == [
        (1.5, 2.25, "Hello you"),
        (3.0, 4.0, "2024"),
        (5.0, 6.0, "no hours, I < you"),
        (7.0, 8.0, "no number"),
    ]


@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
def test_webvtt_of_other_tools_is_read(line_end: str) -> None:
    read = read_vtt(VTT_OF_OTHERS.replace("\n", line_end))
    assert [(segment.start_s, segment.speaker, segment.text) for segment in read.segments] == [
        (1.0, "Mary & Bob", "Hi all"),
        (1.0, "رضا", "سلام\u00a0!"),
        (3.0, None, "after a blank line"),
        (7.0, None, "timed text"),
    ]


@pytest.mark.parametrize(
    ("read", "text", "line"),
    [
        (read_srt, "Dear reader,\nthis is a letter.", 1),
        (read_srt, "1\n00:00:xx,000 --> 00:00:02,000\nhello", 2),
        (read_srt, "1\n00:00:05,000 --> 00:00:02,000\nhello", 2),
        (read_vtt, "1\n00:00:01.000 --> 00:00:02.000\nhello", 1),
        (read_vtt, "WEBVTT\n\n00:00:01.000 --> soon\nhello", 3),
    ],
)
def test_what_is_no_subtitle_file_is_refused_with_the_line(read, text: str, line: int) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(FileFormatInvalid, match=f"Line {line}:") as caught:
        read(text)
    assert caught.value.fields["line"] == line


def test_times_past_an_hundred_hours_are_written_and_read() -> None:
    source = Transcript((Segment(400_000.0, 400_001.0, "late"),), None, 400_010.0, ())
    assert read_srt(write_srt(source)).segments[0].start_s == 400_000.0
    assert read_vtt(write_vtt(source)).segments[0].start_s == 400_000.0
