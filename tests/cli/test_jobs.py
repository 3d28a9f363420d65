"""`clearcast jobs`, `files` and `search` against the whole platform."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from clearcast.client import ClearCast
from tests.deployments.ingress.loopback import wav
from tests.platform_server import Platform, running_platform


@pytest.fixture
def reach(environment: dict[str, str], platform: Platform, monkeypatch: pytest.MonkeyPatch) -> Platform:
    """The platform as the one that commands talk to."""
    monkeypatch.setenv("CLEARCAST_SERVER", platform.url)
    monkeypatch.setenv("CLEARCAST_API_KEY", platform.key)
    return platform


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    path = tmp_path / "monday.wav"
    path.write_bytes(wav(300, 900, seconds=4))
    return path


@pytest.fixture
def bad(tmp_path: Path) -> Path:
    path = tmp_path / "bad.wav"
    path.write_text("no sound")
    return path


def id_in(output: str, kind: str = "job") -> str:
    found = re.search(rf"^{kind}_\S+$", output, re.MULTILINE)
    assert found is not None, output
    return found[0]


def test_a_job_lives_a_whole_life(run, reach: Platform, recording: Path, tmp_path: Path) -> None:
    done = run("jobs", "submit", "meeting", recording, "--label", "[week 9]", "--follow")
    assert done.exit_code == 0, done.output
    job_id = id_in(done.stdout)
    assert "succeeded" in done.stderr
    assert re.search(rf"{job_id}\s+meeting\s+\[week 9\]\s+succeeded", run("jobs", "list").stdout)
    shown = run("jobs", "show", job_id).stdout
    assert "100% done" in shown and "monday.wav  succeeded" in shown and "0: meeting" in shown
    assert run("jobs", "follow", job_id).exit_code == 0
    fetched = run("jobs", "download", job_id, "-f", "srt", "-o", f"{tmp_path}/out/")
    assert fetched.exit_code == 0, fetched.output
    assert (tmp_path / "out" / "monday.srt").read_text().startswith("1\n00:00:00,000")
    found = run("search", "hello", "--speaker", "SPEAKER_00", "--order", "date", "--limit", "3")
    assert "monday.wav  0:00.0  SPEAKER_00  hello" in found.stdout
    assert run("jobs", "erase", job_id).exit_code == 0
    assert run("jobs", "show", job_id).exit_code == 3


def test_what_failed_is_told_and_tried_again(
    run, reach: Platform, recording: Path, bad: Path, tmp_path: Path
) -> None:
    done = run("jobs", "submit", "diarization", recording, bad, "-f")
    assert done.exit_code == 1
    assert "[audio_unrecognised]" in done.stderr
    job_id = id_in(done.stdout)
    assert run("jobs", "retry", job_id, "--follow").exit_code == 1
    fetched = run("jobs", "download", job_id, "-o", tmp_path / "results")
    assert fetched.exit_code == 1 and "bad.wav" in fetched.output
    assert [path.name for path in (tmp_path / "results").iterdir()] == ["monday.json"]
    assert "is failed" in run("jobs", "cancel", job_id).stderr
    assert job_id in run("jobs", "list", "--state", "failed", "--pipeline", "diarization").stdout


def test_the_same_key_gives_the_same_job(run, reach: Platform, recording: Path) -> None:
    submit = ("jobs", "submit", "diarization", recording, "--key", str(recording), "--priority", "high")
    option = ("--option", "num_speakers=2")
    assert id_in(run(*submit, *option).stdout) == id_in(run(*submit, *option).stdout)
    assert run(*submit, "--option", "num_speakers=3").exit_code == 3
    assert run(*submit, "--option", "speakers").exit_code == 2
    wrong = run("jobs", "submit", "juggling", recording)
    assert wrong.exit_code == 2 and "There are: " in wrong.output


def test_a_manifest_gives_files_options_of_their_own(
    run, reach: Platform, recording: Path, tmp_path: Path
) -> None:
    manifest = tmp_path / "calls.csv"
    manifest.write_text("file,num_speakers\nmonday.wav,3\nmonday.wav,\n")
    done = run("jobs", "submit", "diarization", manifest, "--option", "num_speakers=2")
    assert done.exit_code == 0, done.output
    with ClearCast(reach.url, reach.key) as client:
        tasks = list(client.jobs.tasks(id_in(done.stdout)))
    assert [(task.file_name, task.options) for task in tasks] == [
        ("monday.wav", {"num_speakers": 3}),
        ("monday.wav", {}),
    ]
    refused = run("jobs", "submit", "diarization", recording, "-o", "s3://radio/out", "--format", "txt")
    assert refused.exit_code == 5 and "jobs.s3_destinations" in refused.output, refused.output


def test_files_live_a_whole_life(run, reach: Platform, recording: Path, tmp_path: Path) -> None:
    sent = run("files", "upload", recording)
    file_id = id_in(sent.stdout, "file")
    assert file_id in run("files", "list", "--kind", "upload").stdout
    assert id_in(run("jobs", "submit", "diarization", file_id, "--follow").stdout)
    assert run("files", "download", file_id, "-f", "flac", "-o", tmp_path / "copy.flac").exit_code == 0
    assert (tmp_path / "copy.flac").read_bytes().startswith(b"fLaC")
    folder = tmp_path / "here"
    folder.mkdir()
    run("files", "download", file_id, "-o", folder)
    assert (folder / "monday.wav").read_bytes() == recording.read_bytes()
    assert run("files", "delete", file_id).exit_code == 0
    assert run("files", "download", file_id).exit_code == 3
    assert run("files", "upload", tmp_path / "none.wav").exit_code == 3


def test_without_a_server_the_one_on_this_machine_is_meant(run) -> None:
    missing = run("jobs", "list")
    assert missing.exit_code == 5
    assert "http://127.0.0.1:8000" in missing.output


def test_after_ctrl_c_the_job_goes_on_and_can_be_followed_again(
    environment: dict[str, str], recording: Path, tmp_path: Path
) -> None:
    with running_platform(tmp_path / "slow", seconds_per_stage=0.5) as platform:
        command = [sys.executable, "-m", "clearcast.cli", "jobs", "submit", "meeting", str(recording), "-f"]
        child = subprocess.Popen(
            command,
            env=environment | {"CLEARCAST_SERVER": platform.url, "CLEARCAST_API_KEY": platform.key},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert child.stderr is not None
        while (line := child.stderr.readline()) and "writing down words" not in line:
            pass
        os.kill(child.pid, signal.SIGINT)
        out, told = child.communicate(timeout=60)
        job_id = id_in(out)
        assert child.returncode == 130
        assert "The job goes on" in told and "Traceback" not in told
        assert f"clearcast jobs follow {job_id} --server {platform.url}" in told
        with ClearCast(platform.url, platform.key) as client:
            assert client.jobs.wait(job_id).state == "succeeded"
