"""`clearcast batch` as people meet it: plans, refusals. The work: tests/deployments/test_batch.py."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from clearcast.testing.media import write_tone_wav
from pipelines.batch.folder_lock import only_batch_in
from tests.cli.conftest import Run


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "calls"
    folder.mkdir()
    for number in range(3):
        write_tone_wav(folder / f"call-{number}.wav", 10.0 * (number + 1))
    return folder


def test_a_dry_run_says_what_would_be_done_and_how_long_it_may_take(run: Run, folder: Path) -> None:
    results = folder.parent / "results"
    done = run("batch", "diarization", folder, "-o", results, "--dry-run")
    assert done.exit_code == 0, done.output
    assert "3 files to do" in done.stdout
    assert re.search(r"call-2\.wav → call-2\n.*call-1\.wav → call-1\n", done.stdout), "the largest first"
    assert "About 60 s of sound" in done.stdout
    assert re.search(r"Estimated time: \d+ s \(.*diarization · meetings · cpu-RTF", done.stdout)
    assert not results.exists()


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["song", "SOURCE"], 2, "There is no pipeline 'song'"),
        (["diarization", "SOURCE", "--option", "speakers=3"], 2, "speakers"),
        (["diarization", "SOURCE", "-f", "docx"], 2, "There is no format 'docx'"),
        (["diarization", "/there/is/no/folder/*.wav"], 3, "no recordings"),
        (["diarization", "s3://bucket/calls"], 2, "No S3 service is set"),
        (["transcription", "SOURCE", "--model", "tiny"], 4, "clearcast models pull"),
    ],
)
def test_what_every_file_would_fail_of_is_told_before_any_work(
    run: Run, folder: Path, arguments: list[str], code: int, words: str
) -> None:
    results = folder.parent / "results"
    given = [str(folder) if argument == "SOURCE" else argument for argument in arguments]
    done = run("batch", *given, "-o", results)
    assert done.exit_code == code, done.output
    assert words in done.stderr
    assert not results.exists()


def test_two_batches_do_not_write_to_one_folder(run: Run, folder: Path) -> None:
    results = folder.parent / "results"
    with only_batch_in(str(results)):
        done = run("batch", "diarization", folder, "-o", results)
    assert done.exit_code == 3
    assert "Another batch is writing" in done.stderr


def test_a_missing_destination_is_wrong_usage(run: Run, folder: Path) -> None:
    assert run("batch", "diarization", folder).exit_code == 2
    file = folder / "call-0.wav"
    assert run("batch", "diarization", folder, "-o", file).exit_code == 2
