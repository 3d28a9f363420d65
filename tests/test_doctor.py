"""The checks of `clearcast doctor`."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from clearcast.doctor import Check, run_checks
from clearcast.origin import ROOT


@pytest.fixture(autouse=True)
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CLEARCAST__DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("CLEARCAST__MODELS__DIR", str(tmp_path / "models"))
    monkeypatch.delenv("CLEARCAST_PROFILE", raising=False)
    return tmp_path


def checks(profile: str | None = None, *, load: bool = False) -> dict[str, Check]:
    return {check.name: check for check in run_checks(profile, load=load)}


def failed(found: dict[str, Check]) -> set[str]:
    return {check.name for check in found.values() if check.state == "fail"}


def test_the_local_profile_works_here_and_nothing_is_written(folders: Path) -> None:
    found = checks("local")
    assert failed(found) == set()
    assert {"Python", "packages", "own packages", "profile", "decoding", "port", "GPU"} <= set(found)
    assert found["engine: transcribe"].state == "warn"
    assert "rough" in found["engine: transcribe"].detail
    assert list(folders.iterdir()) == []


def test_load_really_loads_the_engines() -> None:
    found = checks("local", load=True)
    assert failed(found) == set()
    assert "loaded in" in found["engine: diarize"].detail


def test_the_gpu_profile_without_its_models_says_which_and_how_to_get_them() -> None:
    found = checks("gpu")
    missing = found["engine: transcribe"]
    assert missing.state == "fail"
    assert "whisper-large-v3" in missing.detail
    assert missing.what_to_do is not None
    assert "clearcast models pull whisper-large-v3" in missing.what_to_do


def test_a_broken_profile_ends_the_checks_with_the_reason(tmp_path: Path) -> None:
    profile = tmp_path / "mine.yaml"
    profile.write_text("http: {prot: 8000}")
    found = checks(str(profile))
    assert list(found)[-1] == "profile"
    assert found["profile"].state == "fail"
    assert "http.prot" in found["profile"].detail


def test_an_engine_that_does_not_exist_is_named_with_those_that_do(tmp_path: Path) -> None:
    profile = tmp_path / "mine.yaml"
    profile.write_text("engines: {diarize: {engine: magic}}")
    check = checks(str(profile))["engine: diarize"]
    assert check.state == "fail"
    assert "magic" in check.detail
    assert check.what_to_do is not None
    assert "pyannote" in check.what_to_do


def test_a_taken_port_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        monkeypatch.setenv("CLEARCAST__HTTP__PORT", str(taken.getsockname()[1]))
        assert checks("local")["port"].state == "warn"


def test_a_data_folder_that_cannot_be_is_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("CLEARCAST__DATA_DIR", str(tmp_path / "file" / "data"))
    check = checks("local")["data folder"]
    assert check.state == "fail"
    assert check.what_to_do is not None


def test_replicas_that_ask_for_more_processors_than_there_are_get_a_warning(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CLEARCAST__SERVE__DIARIZER__NUM_CPUS", "4096")
    check = checks("local")["processor and memory"]
    assert check.state == "warn"
    assert check.what_to_do is not None
    assert "num_cpus" in check.what_to_do


def test_a_decoder_that_cannot_finish_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLEARCAST__AUDIO__DECODE_TIMEOUT_S", "0.001")
    assert checks("local")["decoding"].state == "fail"


def test_the_checks_import_no_heavy_packages() -> None:
    script = (
        "import sys; from clearcast.doctor import run_checks; list(run_checks('local'))\n"
        "print([name for name in ('torch', 'ray', 'pyannote', 'ctranslate2') if name in sys.modules])"
    )
    run = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert run.stdout.strip() == "[]"
