"""Fetching models from a real HTTP server that speaks the hub's API."""

from __future__ import annotations

import os
import random
import shutil
import socket
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from clearcast.errors import ModelCorrupt, ModelDownloadFailed, ModelGated, ModelMissing
from clearcast.models.hub import Hub
from clearcast.models.pull import adopt, pull
from clearcast.models.spec import ModelSpec
from clearcast.models.store import locate, partial_folder, status, verify
from clearcast.settings import Settings
from tests.models.fake_hub import FakeHub, Repo

SPEC = ModelSpec("whisper-test", "someone/whisper-test", ("model.bin", "sub/config.json"), "MIT")
FILES = {"model.bin": random.Random(0).randbytes(3_000_000), "sub/config.json": b'{"a": 1}'}


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings.model_validate({"models": {"dir": tmp_path / "models"}})


def hub_with(**options: object) -> FakeHub:
    return FakeHub({SPEC.repo: Repo(dict(FILES), **options)})  # type: ignore[arg-type]


def test_pull_brings_every_file_and_records_commit_licence_and_checksums(settings: Settings) -> None:
    with hub_with(commit="a" * 40) as hub:
        folder = pull(SPEC, settings, endpoint=hub.url)
    assert locate(SPEC, settings.models_path) == folder
    for path, content in FILES.items():
        assert (folder / path).read_bytes() == content
    manifest = verify(SPEC, settings.models_path)
    assert (manifest.revision, manifest.licence, manifest.repo) == ("a" * 40, "MIT", SPEC.repo)
    assert manifest.size_bytes == sum(len(content) for content in FILES.values())
    assert not partial_folder(SPEC, settings.models_path).exists()


def test_pull_tells_its_progress_up_to_the_whole_size(settings: Settings) -> None:
    told: list[tuple[int, int]] = []
    with hub_with() as hub:
        pull(SPEC, settings, lambda done, total: told.append((done, total)), endpoint=hub.url)
    size = sum(len(content) for content in FILES.values())
    assert told[-1] == (size, size)
    assert [done for done, _ in told] == sorted(done for done, _ in told)
    assert len(told) > 5


def test_a_killed_download_is_not_located_and_goes_on_where_it_stopped(
    settings: Settings, tmp_path: Path
) -> None:
    script = (
        "from tests.models.test_pull import SPEC, Settings, pull; from pathlib import Path; import sys\n"
        "pull(SPEC, Settings.model_validate({'models': {'dir': sys.argv[1]}}), endpoint=sys.argv[2])"
    )
    with hub_with() as hub:
        hub.stall_after_bytes = 2_000_000
        child = subprocess.Popen(
            [sys.executable, "-c", script, str(settings.models_path), hub.url],
            env={**os.environ, "PYTHONPATH": str(Path.cwd())},
        )
        assert hub.stalled.wait(60)
        while status(SPEC, settings.models_path).size_bytes < 1_000_000:  # until it has written what came
            time.sleep(0.02)
        child.kill()
        assert child.wait() == -9
        with pytest.raises(ModelMissing):
            locate(SPEC, settings.models_path)
        found = status(SPEC, settings.models_path)
        assert found.state == "partial"
        hub.go_on.set()
        hub.served_bytes = Counter()  # the old answer counts on in the old one
        pull(SPEC, settings, endpoint=hub.url)
        assert hub.served_bytes["model.bin"] == len(FILES["model.bin"]) - found.size_bytes
    verify(SPEC, settings.models_path)


def test_a_connection_that_breaks_is_taken_up_again_by_itself(settings: Settings) -> None:
    with hub_with() as hub:
        hub.break_after_bytes = 1_000_000
        pull(SPEC, settings, endpoint=hub.url)
        assert hub.served_bytes["model.bin"] == len(FILES["model.bin"])
    verify(SPEC, settings.models_path)


def test_a_server_without_ranges_makes_the_file_start_again(settings: Settings) -> None:
    told: list[int] = []
    with hub_with() as hub:
        hub.ignores_ranges = True
        hub.break_after_bytes = 1_000_000
        pull(SPEC, settings, lambda done, _total: told.append(done), endpoint=hub.url)
    verify(SPEC, settings.models_path)
    assert told[-1] == sum(len(content) for content in FILES.values())


def test_bytes_changed_on_the_way_are_refused_and_removed(settings: Settings) -> None:
    with hub_with() as hub:
        hub.flipped = "model.bin"
        with pytest.raises(ModelCorrupt, match=r"model\.bin"):
            pull(SPEC, settings, endpoint=hub.url)
        assert status(SPEC, settings.models_path).state == "missing"
        hub.flipped = None
        pull(SPEC, settings, endpoint=hub.url)
    verify(SPEC, settings.models_path)


def test_small_files_are_checked_too(settings: Settings) -> None:
    with hub_with() as hub:
        hub.flipped = "sub/config.json"
        with pytest.raises(ModelCorrupt, match=r"config\.json"):
            pull(SPEC, settings, endpoint=hub.url)


def test_pulling_a_damaged_model_again_fetches_the_damaged_file_only(settings: Settings) -> None:
    with hub_with() as hub:
        folder = pull(SPEC, settings, endpoint=hub.url)
        (folder / "sub/config.json").write_bytes(b'{"a": 2}')
        hub.served_bytes.clear()
        pull(SPEC, settings, endpoint=hub.url)
        assert dict(hub.served_bytes) == {"sub/config.json": len(FILES["sub/config.json"])}
    verify(SPEC, settings.models_path)


def test_half_a_file_of_an_older_commit_is_not_continued_with_a_newer_one(settings: Settings) -> None:
    part = partial_folder(SPEC, settings.models_path) / "parts" / ("0" * 64)
    part.parent.mkdir(parents=True)
    part.write_bytes(b"old" * 1000)
    with hub_with() as hub:
        pull(SPEC, settings, endpoint=hub.url)
    verify(SPEC, settings.models_path)


def test_a_gated_model_without_token_names_the_page_and_the_setting(settings: Settings) -> None:
    with hub_with(token="hf_right") as hub, pytest.raises(ModelGated) as caught:
        pull(SPEC, settings, endpoint=hub.url)
    assert caught.value.fields["page"] == f"{hub.url}/{SPEC.repo}"
    assert caught.value.hint is not None
    assert "CLEARCAST__MODELS__HUB_TOKEN" in caught.value.hint
    assert not settings.models_path.joinpath(SPEC.name).exists()


def test_a_token_whose_owner_has_not_accepted_the_terms_is_told_so(tmp_path: Path) -> None:
    settings = Settings.model_validate({"models": {"dir": tmp_path, "hub_token": "hf_right"}})
    with (
        hub_with(token="hf_right", terms_accepted=False) as hub,
        pytest.raises(ModelGated, match="no access"),
    ):
        pull(SPEC, settings, endpoint=hub.url)


def test_the_token_of_the_settings_opens_a_gated_model(tmp_path: Path) -> None:
    settings = Settings.model_validate({"models": {"dir": tmp_path, "hub_token": "hf_right"}})
    with hub_with(token="hf_right") as hub:
        pull(SPEC, settings, endpoint=hub.url)
    verify(SPEC, tmp_path)


def test_without_a_network_the_error_says_how_to_copy_the_model(settings: Settings) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # bound but not listening: connections are refused
        address = f"http://127.0.0.1:{closed.getsockname()[1]}"
        with pytest.raises(ModelDownloadFailed) as caught:
            pull(SPEC, settings, endpoint=address)
    assert caught.value.hint is not None
    assert "--from FOLDER" in caught.value.hint
    assert SPEC.name in caught.value.hint
    assert not partial_folder(SPEC, settings.models_path).exists()


@pytest.mark.timeout(15)
def test_a_hub_that_never_answers_is_given_up_within_seconds(settings: Settings) -> None:
    with hub_with() as hub:
        hub.silent = True
        assert not Hub(endpoint=hub.url).answers(timeout_s=0.2)
        with pytest.raises(ModelDownloadFailed, match="cannot be reached"):
            pull(SPEC, settings, endpoint=hub.url)


def test_a_file_that_its_owner_removed_is_named_as_the_owners_change(settings: Settings) -> None:
    spec = ModelSpec("whisper-test", SPEC.repo, ("gone.bin",), "MIT")
    with hub_with() as hub, pytest.raises(ModelDownloadFailed, match="any more"):
        pull(spec, settings, endpoint=hub.url)


def test_a_model_larger_than_the_disk_is_refused_before_it_is_fetched(settings: Settings) -> None:
    class Huge(bytes):
        def __len__(self) -> int:
            return 1 << 60

    with FakeHub({SPEC.repo: Repo({**FILES, "model.bin": Huge(b"x")})}) as hub:
        with pytest.raises(ModelDownloadFailed, match="too full"):
            pull(SPEC, settings, endpoint=hub.url)
        assert hub.served_bytes.total() == 0


def test_a_disk_that_fills_up_keeps_what_has_arrived(settings: Settings) -> None:
    script = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 2_000_000))\n"
        "from tests.models.test_pull import SPEC, ModelDownloadFailed, Settings, pull\n"
        "try: pull(SPEC, Settings.model_validate({'models': {'dir': sys.argv[1]}}), endpoint=sys.argv[2])\n"
        "except ModelDownloadFailed as error: print(error.message)\n"
    )
    with hub_with() as hub:
        run = subprocess.run(
            [sys.executable, "-c", script, str(settings.models_path), hub.url],
            env={**os.environ, "PYTHONPATH": str(Path.cwd())},
            capture_output=True,
            text=True,
            check=True,
        )
        assert "too full" in run.stdout
        assert status(SPEC, settings.models_path).state == "partial"
        pull(SPEC, settings, endpoint=hub.url)
    verify(SPEC, settings.models_path)


def test_a_folder_copied_from_another_machine_is_found_as_it_is(settings: Settings, tmp_path: Path) -> None:
    with hub_with() as hub:
        folder = pull(SPEC, settings, endpoint=hub.url)
    elsewhere = tmp_path / "other machine"
    shutil.copytree(folder, elsewhere / SPEC.name)
    assert locate(SPEC, elsewhere) == elsewhere / SPEC.name
    verify(SPEC, elsewhere)


def test_bare_files_are_adopted_from_a_folder(settings: Settings, tmp_path: Path) -> None:
    source = tmp_path / "stick"
    for path, content in FILES.items():
        (source / path).parent.mkdir(parents=True, exist_ok=True)
        (source / path).write_bytes(content)
    adopt(SPEC, source, settings)
    assert verify(SPEC, settings.models_path).revision == "local"


def test_a_folder_that_lacks_a_file_is_not_adopted(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "model.bin").write_bytes(b"x")
    with pytest.raises(ModelMissing, match=r"sub/config\.json"):
        adopt(SPEC, tmp_path, settings)
    assert status(SPEC, settings.models_path).state == "missing"
