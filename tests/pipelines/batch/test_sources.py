"""Which files a batch is about."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from clearcast.errors import FileFormatInvalid, NotFound
from clearcast.settings import StorageSettings
from clearcast.testing.media import write_tone_wav
from pipelines.batch.plan import Item
from pipelines.batch.sources import find_items

SETTINGS = StorageSettings()


def found(*texts: str | Path, destination: str = "/nowhere") -> dict[str, Item]:
    return {item.name: item for item in find_items([str(text) for text in texts], destination, SETTINGS)}


def test_a_folder_gives_every_recording_below_it(sources: Path) -> None:
    (sources / "notes.txt").write_text("no recording")
    (sources / ".hidden.wav").write_bytes(b"")
    items = found(sources)
    assert sorted(items) == ["a", "b", "week/c"]
    assert items["week/c"].source == str(sources / "week" / "c.wav")
    assert items["a"].size_bytes == (sources / "a.wav").stat().st_size


def test_a_pattern_names_results_below_its_fixed_part(sources: Path) -> None:
    assert sorted(found(sources / "**" / "*.wav")) == ["a", "b", "week/c"]
    assert sorted(found(f"{sources}/[ab].wav")) == ["a", "b"]


def test_what_lies_at_the_destination_is_no_source(sources: Path) -> None:
    assert sorted(found(sources, destination=str(sources / "week"))) == ["a", "b"]


def test_each_file_is_taken_once_and_has_a_name_of_its_own(sources: Path) -> None:
    write_tone_wav(sources / "a.flac.wav", 1.0).rename(sources / "a.flac")
    other = sources.parent / "other"
    other.mkdir()
    write_tone_wav(other / "b.wav", 1.0)
    items = found(sources, sources / "a.wav", other)
    assert sorted(items) == ["a.flac", "a.wav", "b.wav", "b.wav-2", "week/c"]
    assert {item.source for item in items.values()} >= {str(other / "b.wav"), str(sources / "b.wav")}


def test_a_csv_manifest_gives_options_for_each_file(sources: Path) -> None:
    manifest = sources / "list.csv"
    manifest.write_text('file,language,hotwords\na.wav,fa,\nweek/c.wav,,"[""Tehran""]"\n')
    items = found(manifest)
    assert items["a"].options == {"language": "fa"}
    assert items["week/c"].options == {"hotwords": ["Tehran"]}


def test_a_jsonl_manifest_gives_options_for_each_file(sources: Path, tmp_path: Path) -> None:
    manifest = tmp_path / "list.jsonl"
    lines = [{"file": str(sources / "a.wav"), "language": "de"}, {"file": "sources/b.wav"}]
    manifest.write_text("\n".join(map(json.dumps, lines)) + "\n\n")
    items = found(manifest)
    assert items["a"].options == {"language": "de"}
    assert items["sources/b"].options == {}


def test_a_file_that_is_not_there_is_kept_to_fail_in_its_turn(sources: Path) -> None:
    item = found(sources / "missing.wav")["missing"]
    assert (item.size_bytes, item.version) == (0, "")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("list.csv", "path\na.wav\n"),
        ("list.csv", "file\na.wav,fa\n"),
        ("list.jsonl", '["a.wav"]\n'),
        ("list.jsonl", '{"file": 3}\n'),
    ],
)
def test_a_manifest_that_names_no_files_is_refused(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(FileFormatInvalid):
        found(tmp_path / name)


def test_an_empty_folder_and_a_pattern_without_matches_are_told(tmp_path: Path) -> None:
    for text in (tmp_path, tmp_path / "*.wav"):
        with pytest.raises(NotFound):
            found(text)
