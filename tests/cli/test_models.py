"""`clearcast models` against a hub on this machine, as a real program."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from clearcast.catalogue import find_model
from clearcast.models.store import locate, partial_folder, status
from clearcast.origin import ROOT
from clearcast.settings import load_settings
from tests.models.fake_hub import FakeHub, Repo

NAME = "whisper-tiny"


@pytest.fixture
def hub() -> Iterator[FakeHub]:
    """A hub that has what whisper-tiny needs, of 2 MB."""
    spec = find_model(NAME, load_settings("local"))
    files = dict.fromkeys(spec.files, b"{}")
    files["model.bin"] = random.Random(1).randbytes(2_000_000)
    with FakeHub({spec.repo: Repo(files)}) as hub:
        yield hub


def test_list_shows_what_is_needed_what_is_here_and_what_comes_in_packages(run) -> None:
    rows = {row["name"]: row for row in json.loads(run("models", "list", "--json").stdout)}
    assert rows["whisper-small"]["state"] == "missing"
    assert rows["whisper-small"]["licence"] == "MIT"
    assert not rows["whisper-small"]["needed"]
    packaged = {row["used_by"][0] for row in rows.values() if row["state"] == "in package"}
    assert {"voice_activity/silero", "embed/resemblyzer", "transcribe/pocketsphinx"} <= packaged
    assert all(row["needed"] for row in rows.values() if row["used_by"] == ["diarize/vbx"])
    table = run("models", "list").output
    assert "whisper-large-v3" in table
    assert "in package" in table


def test_list_of_the_gpu_profile_puts_what_it_needs_first(run) -> None:
    rows = json.loads(run("--profile", "gpu", "models", "list", "--json").stdout)
    needed = [row["name"] for row in rows if row["needed"]]
    assert "whisper-large-v3" in needed
    assert [row["name"] for row in rows[: len(needed)]] == needed


def test_pull_fetches_a_model_and_verify_finds_a_flipped_bit(program, hub: FakeHub) -> None:
    done = program("models", "pull", NAME, HF_ENDPOINT=hub.url)
    assert done.returncode == 0, done.stderr
    assert "2 of 2 MB" in done.stderr
    assert program("models", "pull", NAME, HF_ENDPOINT="http://127.0.0.1:9").returncode == 0
    assert program("models", "verify").returncode == 0
    settings = load_settings("local")
    weights = locate(find_model(NAME, settings), settings.models_path) / "model.bin"
    content = bytearray(weights.read_bytes())
    content[1000] ^= 1
    weights.write_bytes(content)
    done = program("models", "verify")
    assert done.returncode == 4
    assert "model_corrupt" in done.stderr
    assert "--force" in done.stderr
    assert program("models", "pull", NAME, "--force", HF_ENDPOINT=hub.url).returncode == 0
    assert program("models", "verify").returncode == 0


def test_a_download_stopped_by_ctrl_c_goes_on_later(
    hub: FakeHub, environment: dict[str, str], program
) -> None:
    hub.stall_after_bytes = 1_500_000
    child = subprocess.Popen(
        [sys.executable, "-m", "clearcast.cli", "models", "pull", NAME],
        env={**environment, "HF_ENDPOINT": hub.url},
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    settings = load_settings("local")
    spec = find_model(NAME, settings)
    while status(spec, settings.models_path).size_bytes < 1_000_000:
        time.sleep(0.02)
    os.kill(child.pid, signal.SIGINT)
    _, told = child.communicate()
    assert child.returncode == 130
    assert "Traceback" not in told
    (part,) = (partial_folder(spec, settings.models_path) / "parts").iterdir()
    missing_bytes = 2_000_000 - part.stat().st_size
    hub.go_on.set()
    hub.served_bytes = Counter()  # the old answer counts on in the old one
    assert program("models", "pull", NAME, HF_ENDPOINT=hub.url).returncode == 0
    assert hub.served_bytes["model.bin"] == missing_bytes


def test_offline_says_what_to_do_with_the_code_for_models(program) -> None:
    done = program("models", "pull", NAME, HF_ENDPOINT="http://127.0.0.1:9")
    assert done.returncode == 4
    assert "model_download_failed" in done.stderr
    assert f"clearcast models pull {NAME} --from FOLDER" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_hubs_own_offline_switch_is_named(program, hub: FakeHub) -> None:
    done = program("models", "pull", NAME, HF_ENDPOINT=hub.url, HF_HUB_OFFLINE="1")
    assert done.returncode == 4
    assert "HF_HUB_OFFLINE is set" in done.stderr
    assert hub.requests == []


def test_work_never_asks_the_hub_for_a_model_that_is_missing(program, hub: FakeHub) -> None:
    done = program("transcribe", "any.wav", "--model", "tiny", HF_ENDPOINT=hub.url)
    assert done.returncode == 4
    assert "clearcast models pull whisper-tiny" in done.stderr
    assert hub.requests == []


def test_a_gated_model_names_page_and_setting(program, hub: FakeHub) -> None:
    (repo,) = hub.repos.values()
    repo.token = "hf_right"
    done = program("models", "pull", NAME, HF_ENDPOINT=hub.url)
    assert done.returncode == 4
    assert "model_gated" in done.stderr
    assert f"{hub.url}/Systran/faster-whisper-tiny" in done.stderr
    good = program("models", "pull", NAME, HF_ENDPOINT=hub.url, CLEARCAST__MODELS__HUB_TOKEN="hf_right")
    assert good.returncode == 0, good.stderr
    assert "hf_right" not in good.stderr


def test_files_from_a_folder_need_no_network(run, tmp_path: Path, hub: FakeHub) -> None:
    (repo,) = hub.repos.values()
    source = tmp_path / "stick"
    source.mkdir()
    for path, content in repo.files.items():
        (source / path).write_bytes(content)
    assert run("models", "pull", NAME, "--from", source).exit_code == 0
    assert run("models", "verify", NAME).exit_code == 0
    assert run("models", "remove", NAME).exit_code == 0
    settings = load_settings("local")
    assert status(find_model(NAME, settings), settings.models_path).state == "missing"


def test_the_local_profile_needs_no_downloads(run) -> None:
    result = run("models", "pull")
    assert result.exit_code == 0
    assert "no downloads" in result.output


def test_a_misspelt_model_gets_suggestions(run) -> None:
    result = run("models", "pull", "wisper-smal")
    assert result.exit_code == 3
    assert "whisper-small" in result.output


def test_a_model_inside_a_package_is_told_so(run) -> None:
    result = run("models", "pull", "silero")
    assert "inside its Python package" in result.output
