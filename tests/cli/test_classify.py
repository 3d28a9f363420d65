"""`clearcast classify` and `clearcast train-keywords`: from a folder of recordings to tables of words."""

from __future__ import annotations

import csv
import json
import os
import signal
from pathlib import Path

import numpy as np
import pytest
import soundfile

from clearcast.audio.recording import SAMPLE_RATE_HZ
from clearcast.testing.media import write_tone_wav
from tests.cli.test_interrupt import start, wait_for
from tests.deployments.ingress.loopback import wav
from tests.engines.classify.melodies import sentence, write_folder
from tests.platform_server import Platform

HEAD = ["file", "start", "end", "label", "probability", "error"]


def rows_of(path: Path) -> list[list[str]]:
    head, *rows = csv.reader(path.open(newline="", encoding="utf-8"))
    assert head == HEAD
    return rows


def labels(rows: list[list[str]], file: str) -> list[str]:
    return [row[3] for row in rows if row[0] == file and row[3]]


def test_a_folder_becomes_tables_and_bad_files_are_rows(run, shared_audio: Path, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for name in ("string_0", "digit7_2"):
        (folder / f"{name}.flac").write_bytes((shared_audio / "kws" / f"{name}.flac").read_bytes())
    (folder / "bad.wav").write_text("no sound")
    write_tone_wav(folder / "tone.wav", 3.0)
    tables = {kind: tmp_path / "out" / f"words.{kind}" for kind in ("csv", "txt", "json")}
    options = [part for kind, path in tables.items() for part in (f"--{kind}", path)]
    result = run("classify", folder, *options)
    assert result.exit_code == 1, result.output
    assert "bad.wav" in result.stderr and "[audio_unrecognised]" in result.stderr
    rows = rows_of(tables["csv"])
    assert ["bad.wav", "", "", "", "", "audio_unrecognised"] in rows
    assert ["tone.wav", "", "", "", "", ""] in rows
    items = json.loads((shared_audio / "manifest.json").read_text())["items"]
    [truth] = [item["truth"]["labels"] for item in items if item["file"] == "kws/string_0.flac"]
    assert labels(rows, "string_0.flac") == list(map(str, truth))
    assert labels(rows, "digit7_2.flac") == ["7"]
    assert len(tables["txt"].read_text().splitlines()) == len(rows)
    document = json.loads(tables["json"].read_text())
    assert {one["file"] for one in document["files"]} == {path.name for path in folder.iterdir()}


def test_words_are_shown_where_no_table_is_asked_for(run, shared_audio: Path) -> None:
    result = run("classify", shared_audio / "kws" / "digit0_0.flac")
    assert result.exit_code == 0, result.output
    assert result.stdout.split()[-5:-3] == ["digit0_0.flac", result.stdout.split()[-4]]
    assert result.stdout.split()[-2] == "0"


@pytest.mark.parametrize(
    "wrong",
    [
        ("--min-silence", "0"),
        ("--min-silence", "nan"),
        ("--silence-db", "10"),
        ("--silence-db", "-200"),
        ("--window", "60"),
        ("--min-probability", "1.5"),
        ("--model", "no-such-model"),
    ],
)
def test_nonsense_is_refused_with_a_code(run, tmp_path: Path, wrong: tuple[str, str]) -> None:
    result = run(
        "classify", write_tone_wav(tmp_path / "tone.wav", 1.0), "--csv", tmp_path / "o.csv", *wrong
    )
    assert result.exit_code == 2, result.output
    assert "[option_invalid]" in result.stderr or "[settings_invalid]" in result.stderr
    assert not (tmp_path / "o.csv").exists()


def test_no_input_is_overwritten(run, tmp_path: Path) -> None:
    source = write_tone_wav(tmp_path / "tone.wav", 1.0)
    before = source.read_bytes()
    assert run("classify", source, "--csv", source).exit_code == 2
    assert run("classify", source, "--csv", tmp_path / "o", "--txt", tmp_path / "o").exit_code == 2
    assert source.read_bytes() == before


def test_a_folder_that_holds_no_model_is_a_model_error(run, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    result = run("classify", write_tone_wav(tmp_path / "tone.wav", 1.0), "--model", tmp_path / "empty")
    assert result.exit_code == 4, result.output
    assert "[model_corrupt]" in result.stderr


def test_a_server_does_the_same_as_a_job(
    run, platform: Platform, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("CLEARCAST_API_KEY", platform.key)
    good, bad = tmp_path / "a.wav", tmp_path / "b.wav"
    good.write_bytes(wav(300, 900, seconds=2))
    bad.write_text("no sound")
    table = tmp_path / "words.csv"
    result = run("classify", good, bad, "--csv", table, "--server", platform.url)
    assert result.exit_code == 1, result.output
    rows = rows_of(table)
    assert [row[3] for row in rows if row[0] == "a.wav"] == ["yes"]
    assert [row[5] for row in rows if row[0] == "b.wav"] == ["audio_unrecognised"]
    refused = run("classify", good, "--model", "x/", "--server", platform.url)
    assert refused.exit_code == 2


# ---- training -------------------------------------------------------------------------------------------


def test_a_model_of_ones_own_words_is_trained_and_used(run, tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "commands", 14)
    (folder / "up" / "broken.wav").write_text("no sound")
    result = run("train-keywords", folder, "-o", tmp_path / "model", "--epochs", "12")
    assert result.exit_code == 0, result.output
    assert "broken.wav is left out: audio_unrecognised" in result.stderr
    assert "epoch 1 of 12" in result.stderr
    assert result.stdout.strip() == str(tmp_path / "model")
    assert "Speakers are not known" in (tmp_path / "model" / "README.md").read_text()
    soundfile.write(tmp_path / "said.wav", sentence("up down high"), SAMPLE_RATE_HZ)
    table = tmp_path / "words.csv"
    lenient = ("--min-probability", "0.2", "--unknown")
    used = run("classify", tmp_path / "said.wav", "--model", tmp_path / "model", "--csv", table, *lenient)
    assert used.exit_code == 0, used.output
    assert len(labels(rows_of(table), "said.wav")) == 3
    assert run("train-keywords", folder, "-o", tmp_path / "model").exit_code == 3  # it is there already


def test_too_little_to_learn_from_is_refused(run, tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "commands", 2)
    result = run("train-keywords", folder, "-o", tmp_path / "model")
    assert result.exit_code == 3
    assert "[training_set_unusable]" in result.stderr
    assert not (tmp_path / "model").exists()
    assert run("train-keywords", tmp_path / "nowhere").exit_code == 3
    assert run("train-keywords", folder, "--epochs", "0").exit_code == 2


@pytest.mark.parametrize("moment", ["reading recordings", "epoch 1 of"])
def test_ctrl_c_writes_no_model_and_says_so(
    environment: dict[str, str], tmp_path: Path, moment: str
) -> None:
    folder = write_folder(tmp_path / "commands", 6)
    child = start(environment, "train-keywords", folder, "-o", tmp_path / "model", "--epochs", "1000")
    wait_for(child, moment)
    os.kill(child.pid, signal.SIGINT)
    _, told = child.communicate(timeout=120)
    assert child.returncode == 130
    assert "no model was written" in told
    assert "Traceback" not in told
    assert sorted(path.name for path in tmp_path.iterdir()) == ["commands", "tmp"]
    assert list((tmp_path / "tmp").iterdir()) == []


def test_silence_has_no_words(run, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "quiet.wav", np.zeros(2 * SAMPLE_RATE_HZ), SAMPLE_RATE_HZ)
    table = tmp_path / "words.csv"
    assert run("classify", tmp_path / "quiet.wav", "--csv", table, "--unknown").exit_code == 0
    assert rows_of(table) == [["quiet.wav", "", "", "", "", ""]]
