"""Where results go, and in which formats."""

from __future__ import annotations

from pathlib import Path

import click
import pytest

from clearcast.cli.inputs import Source, collect
from clearcast.cli.outputs import plan_outputs
from clearcast.errors import OptionInvalid, UploadTooLarge
from clearcast.speech.provenance import Provenance
from clearcast.speech.transcript import Segment, Transcript
from clearcast.speech.turns import Diarization

TRANSCRIPT = Transcript(
    (Segment(0.0, 1.0, "سلام ۱۲۳"),), "fa", 2.0, (Provenance("transcribe", "engine", "model"),)
)


def sources(*names: str) -> tuple[Source, ...]:
    return tuple(Source(Path("in") / name, Path(name)) for name in names)


def test_without_output_one_result_is_shown_or_printed() -> None:
    assert plan_outputs(sources("a.wav"), None, (), Transcript).formats == ()
    assert plan_outputs(sources("a.wav"), None, ("srt",), Transcript).formats == ("srt",)
    assert plan_outputs(sources("a.wav"), "-", (), Transcript).formats == ("json",)


@pytest.mark.parametrize(
    ("names", "output", "formats"),
    [(("a.wav",), None, ("srt,vtt",)), (("a.wav", "b.wav"), None, ("json",)), (("a", "b"), "-", ("json",))],
)
def test_several_results_need_a_place_to_go(
    names: tuple[str, ...], output: str | None, formats: tuple[str, ...]
) -> None:
    with pytest.raises(click.UsageError, match="-o FOLDER"):
        plan_outputs(sources(*names), output, formats, Transcript)


def test_the_suffix_of_the_output_tells_its_format(tmp_path: Path) -> None:
    plan = plan_outputs(sources("a.wav"), str(tmp_path / "b.VTT"), (), Transcript)
    assert plan.formats == ("vtt",)
    with pytest.raises(click.UsageError, match="names no format"):
        plan_outputs(sources("a.wav"), str(tmp_path / "b.docx"), (), Transcript)


def test_a_format_wins_over_the_suffix(tmp_path: Path) -> None:
    plan = plan_outputs(sources("a.wav"), str(tmp_path / "b.text"), ("txt",), Transcript)
    assert plan.formats == ("txt",)


@pytest.mark.parametrize("formats", [("json,srt",), ("json", "srt"), ("JSON,srt", "srt")])
def test_formats_are_given_one_by_one_or_as_a_list(formats: tuple[str, ...], tmp_path: Path) -> None:
    plan = plan_outputs(sources("a.wav"), str(tmp_path), formats, Transcript)
    assert plan.formats == ("json", "srt")


def test_a_folder_of_results_mirrors_the_folder_of_recordings(tmp_path: Path) -> None:
    plan = plan_outputs(sources("mon/a.wav", "tue/a.wav"), f"{tmp_path}/", ("txt",), Transcript)
    paths = [path for files in plan.files.values() for path in files.values()]
    assert paths == [tmp_path / "mon/a.txt", tmp_path / "tue/a.txt"]


def test_no_two_recordings_share_a_result(tmp_path: Path) -> None:
    same = Source(Path("other/a.wav"), Path("a.wav"))
    plan = plan_outputs((*sources("a.wav", "a.mp3", "v1.2.wav"), same), str(tmp_path), (), Transcript)
    paths = [path.name for files in plan.files.values() for path in files.values()]
    assert paths == ["a.wav.json", "a.mp3.json", "v1.2.json", "a.wav-2.json"]


def test_a_format_that_cannot_hold_the_result_is_refused_before_the_work(tmp_path: Path) -> None:
    with pytest.raises(OptionInvalid, match="diarization"):
        plan_outputs(sources("a.wav"), str(tmp_path / "a.srt"), (), Diarization)
    with pytest.raises(OptionInvalid, match="docx"):
        plan_outputs(sources("a.wav"), str(tmp_path), ("docx",), Transcript)


def test_a_result_never_replaces_its_recording(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(b"sound")
    with pytest.raises(click.UsageError, match="overwrite"):
        plan_outputs([Source(path, Path("a.json"))], str(tmp_path), ("json",), Transcript)


def test_results_are_written_whole_in_utf8_and_then_count_as_done(tmp_path: Path) -> None:
    (source,) = sources("a.wav")
    plan = plan_outputs([source], str(tmp_path / "deep" / "er") + "/", ("txt", "srt"), Transcript)
    assert not plan.is_done(source)
    written = plan.write(source, TRANSCRIPT)
    assert plan.is_done(source)
    assert sorted(path.name for path in (tmp_path / "deep/er").iterdir()) == ["a.srt", "a.txt"]
    assert all("سلام ۱۲۳" in path.read_text(encoding="utf-8") for path in written)


def test_a_folder_gives_its_recordings_sorted_without_hidden_and_other_files(tmp_path: Path) -> None:
    for name in ("b.mp3", "a.WAV", "deep/c.mkv", "notes.txt", ".hidden.wav", ".git/d.wav"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.touch()
    found = collect([str(tmp_path), str(tmp_path / "b.mp3")], tmp_path, 10)
    assert [source.shown for source in found] == ["a.WAV", "b.mp3", "deep/c.mkv"]


def test_a_folder_without_recordings_is_wrong_usage(tmp_path: Path) -> None:
    with pytest.raises(click.UsageError, match="No audio"):
        collect([str(tmp_path)], tmp_path, 10)


def test_standard_input_is_held_to_the_size_limit(run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLEARCAST__AUDIO__MAX_UPLOAD_BYTES", "1000000")
    result = run("diarize", "-", stdin=bytes(3_000_000))
    assert result.exit_code == 3
    assert UploadTooLarge.code in result.output
