"""RTTM files, ours and others'."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from clearcast.errors import FileFormatInvalid, NotFound
from clearcast.speech.provenance import Provenance
from clearcast.speech.rttm import read_rttm, read_rttm_file, write_rttm
from clearcast.speech.turns import Diarization, Turn
from tests.speech.random_speech import random_turns

MADE_BY = Provenance("diarize", "vbx", "resemblyzer")


def test_records_follow_the_format_to_the_letter() -> None:
    turns = (Turn(0.0, 1.5, "SPEAKER_00"), Turn(1.2345, 3.0, "Anna Smith"), Turn(4.0, 4.0001, "x"))
    assert write_rttm(Diarization(turns, 5.0, MADE_BY), "my file") == (
        "SPEAKER my%20file 1 0.000 1.500 <NA> <NA> SPEAKER_00 <NA> <NA>\n"
        "SPEAKER my%20file 1 1.234 1.766 <NA> <NA> Anna%20Smith <NA> <NA>\n"
    )


def test_turns_come_back_to_the_millisecond_with_any_name() -> None:
    rng = random.Random(5)
    names = ["Anna Smith", "رضا ن‌ژاد", "100%", "a;;b", "%41", "tab\tname", "\u00a0no\u2003break", "👩‍👧"]
    for _ in range(50):
        turns = tuple(Turn(t.start_s, t.end_s, rng.choice(names)) for t in random_turns(rng, 100.0))
        read = read_rttm_file(write_rttm(Diarization(turns, 100.0, MADE_BY)))
        rounded = sorted(Turn(round(t.start_s, 3), round(t.end_s, 3), t.speaker) for t in turns)
        assert list(read.turns) == rounded


def test_pyannotes_reader_finds_the_same_turns(tmp_path: Path) -> None:
    database = pytest.importorskip("pyannote.database.util")
    turns = tuple(random_turns(random.Random(7), 60.0))
    path = tmp_path / "talk.rttm"
    path.write_text(write_rttm(Diarization(turns, 60.0, MADE_BY), "talk"), encoding="utf-8")
    found = [
        (round(segment.start, 3), round(segment.end, 3), label)
        for segment, _, label in database.load_rttm(path)["talk"].itertracks(yield_label=True)
    ]
    expected = [(round(turn.start_s, 3), round(turn.end_s, 3), turn.speaker) for turn in turns]
    assert sorted(found) == sorted(expected)


def test_every_ground_truth_file_is_read(shared_audio: Path) -> None:
    paths = sorted(shared_audio.glob("**/*.rttm"))
    assert paths
    for path in paths:
        diarization = read_rttm_file(path.read_text(encoding="utf-8"))
        records = [line for line in path.read_text(encoding="utf-8").splitlines() if "SPEAKER" in line[:8]]
        assert len(diarization.turns) == len(records)


def test_comments_other_records_and_several_files_are_understood() -> None:
    text = (
        "\ufeff;; a comment\r\n\r\nSPKR-INFO a 1 <NA> <NA> <NA> unknown B <NA> <NA>\r\n"
        "SPEAKER a 1 5.0 1 <NA> <NA> B <NA> <NA>\r\n"
        "SPEAKER\ta\t2\t1e0\t4.5\t<NA>\t<NA>\tA\t<NA> ;; remark\r\n"
        "LEXEME a 1 0.5 0.2 hello lex A <NA>\r\nSPEAKER b 1 0 2 <NA> <NA> C\r\n"
    )
    found = read_rttm(text)
    assert found["a"].turns == (Turn(1.0, 5.5, "A"), Turn(5.0, 6.0, "B"))
    assert found["a"].overlap_marked
    assert found["b"].turns == (Turn(0.0, 2.0, "C"),)
    assert not found["b"].overlap_marked
    assert read_rttm_file(text, "b") == found["b"]
    with pytest.raises(FileFormatInvalid, match="2 files"):
        read_rttm_file(text)
    with pytest.raises(NotFound):
        read_rttm_file(text, "c")


@pytest.mark.parametrize(
    "line",
    [
        "hello world",
        "SPEAKER a 1 0.0",
        "SPEAKER a 1 x 1.0 <NA> <NA> A <NA> <NA>",
        "SPEAKER a 1 0.0 -1.0 <NA> <NA> A <NA> <NA>",
        "SPEAKER a 1 nan 1.0 <NA> <NA> A <NA> <NA>",
    ],
)
def test_a_wrong_record_is_refused_with_its_line(line: str) -> None:
    with pytest.raises(FileFormatInvalid, match="Line 2"):
        read_rttm(f";; head\n{line}\n")


def test_nobody_speaking_is_an_empty_file() -> None:
    assert write_rttm(Diarization((), 5.0, MADE_BY)) == ""
    assert read_rttm_file("").turns == ()
