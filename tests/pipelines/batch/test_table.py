"""The table: a row for each file, in both formats."""

from __future__ import annotations

import csv
from pathlib import Path

from pyarrow import parquet

from clearcast.storage.places import Folder
from pipelines.batch.plan import Item
from pipelines.batch.record import Record
from pipelines.batch.table import csv_of, write_table

GOOD = Record(
    *("/s/b.wav", 10, "1", "sha", "key", "run", "done"),
    duration_s=2.0,
    stages_s={"decode": 0.25, "transcribe": 1.0},
    engine="transcribe: fake (tones)",
    figures={"words": 3, "language": "en"},
    outputs={"b.transcript.json": 5},
)
BAD = Record(
    *("/s/a.wav", 10, "1", None, "key", "run", "failed"),
    error_code="audio_unrecognised",
    message='It says "no", and more.',
)
ROWS = [(Item("/s/b.wav", "b", 10, "1"), GOOD), (Item("/s/a.wav", "a", 10, "1"), BAD)]


def test_csv_and_parquet_hold_the_same_rows(tmp_path: Path) -> None:
    (tmp_path / "work").mkdir()
    place = Folder(tmp_path / "results")
    names = write_table(place, "transcription", ROWS, tmp_path / "work")
    assert names == ("batch-transcription.csv", "batch-transcription.parquet")
    with (place.root / names[0]).open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    columns = parquet.read_table(place.root / names[1]).to_pydict()
    assert [row["file"] for row in rows] == columns["file"] == ["a", "b"]
    assert columns["outcome"] == ["failed", "done"]
    assert columns["error_code"] == ["audio_unrecognised", None]
    assert columns["message"] == ['It says "no", and more.', None]
    assert columns["words"] == [None, 3]
    assert columns["transcribe_s"] == [None, 1.0]
    assert columns["seconds"] == [0.0, 1.25]
    assert [row["words"] for row in rows] == ["", "3"]


def test_no_name_is_a_formula_for_a_spreadsheet() -> None:
    rows = [{"file": '=cmd|"x".wav', "message": None, "loudness": -3.5}]
    read = list(csv.reader(csv_of(list(rows[0]), rows).decode().splitlines()))
    assert read[1] == ['\'=cmd|"x".wav', "", "-3.5"]


def test_an_empty_batch_has_an_empty_table(tmp_path: Path) -> None:
    (tmp_path / "work").mkdir()
    place = Folder(tmp_path / "results")
    _, name = write_table(place, "meeting", [], tmp_path / "work")
    assert parquet.read_table(place.root / name).num_rows == 0
