"""`clearcast plan`: figures with their sources, or none."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from pipelines.batch.measured import RESULTS
from tests.cli.conftest import Run


def test_the_estimate_follows_from_the_measured_rows(run: Run) -> None:
    done = run("plan", "--hours", "1000", "--pipeline", "diarization", "--cores", "4", "--within", "1")
    assert done.exit_code == 0, done.output
    rows = json.loads(RESULTS.read_text())
    pace = sum(
        row["value"]
        for module, case, metric in [
            ("memory", "decoding", "cpu-RTF, 2 h"),
            ("diarization", "meetings", "cpu-RTF"),
        ]
        for row in rows[module]
        if (row["case"], row["metric"]) == (case, metric)
    )
    found = re.search(r"([\d.]+) CPU-hours", done.stdout.replace("\n", " "))
    assert found is not None
    assert float(found[1]) == pytest.approx(1000 * pace, abs=0.06)
    machines = re.search(r"(\d+) machines with 4 cores", done.stdout)
    assert machines is not None
    assert (int(machines[1]) - 1) * 4 < 1000 * pace <= int(machines[1]) * 4
    assert "diarization · meetings · cpu-RTF" in done.stdout


def test_what_was_not_measured_is_not_estimated(run: Run, tmp_path: Path) -> None:
    profile = tmp_path / "profile.yaml"
    profile.write_text("engines: {transcribe: {engine: faster_whisper}}\n")
    done = run("--profile", profile, "plan", "--hours", "10")
    assert done.exit_code == 0
    assert "Nothing was measured for transcribe by faster_whisper" in done.stdout
    assert "CPU-hours for" not in done.stdout


def test_an_unknown_pipeline_is_wrong_usage(run: Run) -> None:
    assert run("plan", "--hours", "10", "--pipeline", "song").exit_code == 2
    assert run("plan", "--hours", "0").exit_code == 2
