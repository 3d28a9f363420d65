"""Keywords as JSON and as tables."""

from __future__ import annotations

import csv
import io
import json

import pytest

from clearcast.errors import FileFormatInvalid
from clearcast.speech.keywords import Keywords, SpottedWord
from clearcast.speech.keywords_file import (
    COLUMNS,
    Classified,
    is_keywords,
    read_keywords,
    write_all,
    write_keywords,
    write_table,
)
from clearcast.speech.provenance import Provenance

MADE_BY = Provenance("classify", "residual_cnn", "persian-digits")
FOUND = Keywords(
    (SpottedWord(0.5, 0.825, "10", 0.9958), SpottedWord(1.2, 1.665, "unknown", 0.5)),
    2.5,
    ("0", "10"),
    MADE_BY,
)
NOTHING = Keywords((), 1.0, ("0", "10"), MADE_BY)
FILES = (
    Classified("a, b.wav", FOUND),
    Classified("empty.wav", NOTHING),
    Classified("x.wav", None, "audio_empty"),
)


def test_json_reads_back_as_it_was() -> None:
    text = write_keywords(FOUND)
    assert read_keywords(text) == FOUND
    assert is_keywords(text.encode())
    assert not is_keywords(b'{\n "clearcast": 1,\n "type": "meeting"}')


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"clearcast": 1, "type": "meeting"}', '{"clearcast": 1, "type": "keywords"}']
)
def test_other_json_is_refused(text: str) -> None:
    with pytest.raises(FileFormatInvalid):
        read_keywords(text)


def test_every_word_is_a_row_and_every_file_is_there() -> None:
    rows = list(csv.reader(io.StringIO(write_table(FILES, "csv"))))
    assert rows == [
        list(COLUMNS),
        ["a, b.wav", "0.500", "0.825", "10", "0.9958", ""],
        ["a, b.wav", "1.200", "1.665", "unknown", "0.5000", ""],
        ["empty.wav", "", "", "", "", ""],
        ["x.wav", "", "", "", "", "audio_empty"],
    ]


def test_text_has_the_same_between_tabs() -> None:
    lines = write_table(FILES, "txt").splitlines()
    assert lines[0].split("\t") == ["a, b.wav", "0.500", "0.825", "10", "0.9958"]
    assert lines[2:] == ["empty.wav", "x.wav\t\t\t\t\taudio_empty"]


def test_names_break_neither_tables_nor_spreadsheets() -> None:
    odd = [Classified('=cmd|"x".wav', FOUND), Classified("two\nlines\t.wav", FOUND)]
    rows = list(csv.reader(io.StringIO(write_table(odd, "csv"))))
    assert rows[1][0] == '\'=cmd|"x".wav'
    assert rows[3][0] == "two\nlines\t.wav"
    assert {len(line.split("\t")) for line in write_table(odd, "txt").splitlines()} == {5}


def test_many_files_are_one_document() -> None:
    document = json.loads(write_all(FILES))
    assert [one["file"] for one in document["files"]] == ["a, b.wav", "empty.wav", "x.wav"]
    assert document["files"][0]["words"][0]["label"] == "10"
    assert document["files"][2] == {"file": "x.wav", "error": "audio_empty"}
