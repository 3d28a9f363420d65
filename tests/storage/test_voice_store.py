"""The voice store: nothing lost, nothing half-written, nothing left after an erasure."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from clearcast.errors import (
    Conflict,
    FileFormatInvalid,
    NotFound,
    OptionInvalid,
    StorageFull,
    UploadTooLarge,
)
from clearcast.storage import voice_store as module
from clearcast.storage.voice_store import VoiceStore, record_hash
from clearcast.storage.voices import VoiceSample, load_voices, read_voices

REPOSITORY = Path(__file__).resolve().parents[2]

WRITER = """
import sys
from pathlib import Path
import numpy as np
from clearcast.storage.voice_store import VoiceStore
from clearcast.storage.voices import VoiceSample

store = VoiceStore(Path(sys.argv[1]))
rng = np.random.default_rng(int(sys.argv[3]))
print("ready", flush=True)
sys.stdin.readline()
for index in range(int(sys.argv[4])):
    sample = VoiceSample.from_vector(rng.standard_normal(256), "resemblyzer")
    store.put_sample("team", f"{sys.argv[2]} {index}", sample)
"""

DIES_BEFORE_RENAMING = """
import os, signal
Path.replace = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
"""


def sample(seed: int = 0) -> VoiceSample:
    return VoiceSample.from_vector(np.random.default_rng(seed).standard_normal(256), "resemblyzer", 4.0)


def start_writer(data_dir: Path, prefix: str, count: int, extra: str = "") -> subprocess.Popen[str]:
    code = WRITER.replace('print("ready"', f'{extra}\nprint("ready"')
    writer = subprocess.Popen(
        [sys.executable, "-c", code, str(data_dir), prefix, str(len(prefix)), str(count)],
        cwd=REPOSITORY,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert writer.stdout is not None
    assert writer.stdout.readline() == "ready\n"
    return writer


def go(writer: subprocess.Popen[str]) -> None:
    assert writer.stdin is not None
    writer.stdin.write("\n")
    writer.stdin.flush()


def finish(writer: subprocess.Popen[str]) -> int:
    writer.communicate(timeout=60)
    return writer.returncode


@pytest.fixture
def store(tmp_path: Path) -> VoiceStore:
    return VoiceStore(tmp_path)


def test_voices_are_kept_per_owner(store: VoiceStore) -> None:
    store.put_sample("anna", "رضا", sample())
    store.put_sample("anna", "bob", sample(1))
    assert [voice.name for voice in store.list("anna")] == ["bob", "رضا"]
    assert store.list("bert") == ()
    assert np.array_equal(store.get("anna", "BOB").samples[0].embedding, sample(1).embedding)
    with pytest.raises(NotFound):
        store.get("bert", "bob")


def test_what_was_put_is_there_for_another_store_on_the_same_folder(tmp_path: Path) -> None:
    voice = VoiceStore(tmp_path).put_sample("anna", "Bob", sample())
    again = VoiceStore(tmp_path).put_sample("anna", "bob", sample(1))
    assert len(again.samples) == 2
    assert again.created_at == voice.created_at


@pytest.mark.parametrize(
    "owner_id", ["", ".", "..", "../x", "a/b", "a\\b", "A", "a.json", "a\n", "a\x00", "x" * 65, "é", "*"]
)
def test_owner_ids_that_could_be_paths_are_refused_everywhere(store: VoiceStore, owner_id: str) -> None:
    for call in (
        lambda: store.list(owner_id),
        lambda: store.get(owner_id, "x"),
        lambda: store.put_sample(owner_id, "x", sample()),
        lambda: store.rename(owner_id, "x", "y"),
        lambda: store.erase(owner_id, "x"),
        lambda: store.export(owner_id),
        lambda: store.import_(owner_id, "{}"),
        lambda: store.import_(owner_id, "{}", "replace"),
    ):
        with pytest.raises(OptionInvalid, match="owner id"):
            call()


def test_files_are_for_the_service_alone(store: VoiceStore, tmp_path: Path) -> None:
    store.put_sample("anna", "Bob", sample())
    store.erase("anna", "Bob")
    assert (tmp_path / "voices").stat().st_mode & 0o777 == 0o700
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {path.name for path in files} == {"anna.json", "anna.lock", "audit.log"}
    assert {path.stat().st_mode & 0o777 for path in files} == {0o600}


def test_renaming_keeps_samples_and_refuses_taken_names(store: VoiceStore) -> None:
    store.put_sample("anna", "Bob", sample())
    store.put_sample("anna", "Cy", sample(1))
    assert store.rename("anna", "bob", "Robert").samples[0].is_same_as(sample())
    with pytest.raises(Conflict):
        store.rename("anna", "Robert", "CY")
    with pytest.raises(NotFound):
        store.rename("anna", "Bob", "x")
    assert [voice.name for voice in store.list("anna")] == ["Cy", "Robert"]


def test_erasing_gives_proof_and_leaves_neither_name_nor_voiceprint(
    store: VoiceStore, tmp_path: Path
) -> None:
    store.put_sample("anna", "Bob", sample())
    store.put_sample("anna", "Bob", sample(1))
    store.put_sample("anna", "Cy", sample(2))
    record = json.loads(store.export("anna"))["voices"][0]
    proof = store.erase("anna", "BOB")
    canonical = json.dumps(record, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    assert proof.record_sha256 == hashlib.sha256(canonical.encode()).hexdigest()
    assert (proof.owner_id, proof.name, proof.samples) == ("anna", "Bob", 2)
    with pytest.raises(NotFound):
        store.erase("anna", "Bob")
    (line,) = (tmp_path / "audit.log").read_text(encoding="utf-8").splitlines()
    assert json.loads(line) == {
        "time": proof.erased_at.isoformat(),
        "event": "voice_erased",
        "owner": "anna",
        "record_sha256": proof.record_sha256,
        "samples": 2,
    }
    everything = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert b"Bob" not in everything
    assert f"{sample().embedding[0]:.9g}".encode() not in everything
    assert [voice.name for voice in store.list("anna")] == ["Cy"]


def test_an_audit_line_cut_by_a_crash_does_not_spoil_the_next(store: VoiceStore, tmp_path: Path) -> None:
    (tmp_path / "audit.log").write_text('{"time": "20', encoding="utf-8")
    store.put_sample("anna", "Bob", sample())
    store.erase("anna", "Bob")
    lines = (tmp_path / "audit.log").read_text(encoding="utf-8").splitlines()
    assert [line[:8] for line in lines] == ['{"time":', '{"time":']
    assert json.loads(lines[1])["owner"] == "anna"


def test_an_export_imports_elsewhere(store: VoiceStore) -> None:
    store.put_sample("anna", "Bob", sample())
    exported = store.export("anna")
    assert len(read_voices(store.export("nobody"))) == 0
    assert [voice.name for voice in store.import_("bert", exported)] == ["Bob"]
    store.import_("bert", exported)
    assert len(store.get("bert", "Bob").samples) == 1
    assert store.export("bert") == exported


def test_importing_merges_or_replaces_and_audits_what_is_gone(store: VoiceStore, tmp_path: Path) -> None:
    store.put_sample("other", "Bob", sample(5))
    store.put_sample("other", "Cy", sample(6))
    incoming = store.export("other")
    store.put_sample("anna", "Bob", sample(1))
    store.put_sample("anna", "Dana", sample(2))
    merged = store.import_("anna", incoming)
    assert [(voice.name, len(voice.samples)) for voice in merged] == [("Bob", 2), ("Dana", 1), ("Cy", 1)]
    gone = {record_hash(voice) for voice in merged if voice.name in {"Bob", "Dana"}}
    store.import_("anna", incoming, "replace")
    assert store.export("anna") == incoming
    logged = [json.loads(line) for line in (tmp_path / "audit.log").read_text().splitlines()]
    assert {entry["record_sha256"] for entry in logged} == gone


def test_a_bad_import_changes_nothing(store: VoiceStore) -> None:
    store.put_sample("anna", "Bob", sample())
    before = store.export("anna")
    with pytest.raises(FileFormatInvalid):
        store.import_("anna", '{"Cy": [1, 2, 3]}', "replace")
    with pytest.raises(OptionInvalid, match="merge or replace"):
        store.import_("anna", before, "append")  # type: ignore[arg-type]
    assert store.export("anna") == before


def test_a_book_never_grows_past_what_can_be_read_again(
    store: VoiceStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.put_sample("anna", "Bob", sample())
    monkeypatch.setattr(module, "MAX_FILE_BYTES", 4000)
    with pytest.raises(UploadTooLarge):
        store.put_sample("anna", "Cy", sample(1))
    assert [voice.name for voice in store.list("anna")] == ["Bob"]


def test_a_full_disk_is_told_and_changes_nothing(
    store: VoiceStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.put_sample("anna", "Bob", sample())

    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(StorageFull):
            store.put_sample("anna", "Cy", sample(1))
    assert [voice.name for voice in store.list("anna")] == ["Bob"]
    assert not list((tmp_path / "voices").glob("*.partial"))


def test_two_processes_add_fifty_voices_each_at_once_and_none_is_lost(
    store: VoiceStore, tmp_path: Path
) -> None:
    writers = [start_writer(tmp_path, "first", 50), start_writer(tmp_path, "second", 50)]
    for writer in writers:
        go(writer)
    sizes = []
    while any(writer.poll() is None for writer in writers):
        sizes.append(len(store.list("team")))  # a reader never sees half a file
        time.sleep(0.02)
    assert [finish(writer) for writer in writers] == [0, 0]
    assert sizes == sorted(sizes)
    expected = {f"{prefix} {index}" for prefix in ("first", "second") for index in range(50)}
    assert {voice.name for voice in store.list("team")} == expected


def test_a_process_killed_before_the_new_file_takes_its_name_changes_nothing(
    store: VoiceStore, tmp_path: Path
) -> None:
    store.put_sample("team", "before", sample())
    writer = start_writer(tmp_path, "killed", 1, DIES_BEFORE_RENAMING)
    go(writer)
    assert finish(writer) == -signal.SIGKILL
    assert [voice.name for voice in store.list("team")] == ["before"]
    assert len(list((tmp_path / "voices").glob("*.partial"))) == 1
    store.put_sample("team", "after", sample(1))
    assert [voice.name for voice in store.list("team")] == ["after", "before"]
    assert not list((tmp_path / "voices").glob("*.partial"))


def test_a_process_killed_at_any_moment_leaves_a_whole_file(store: VoiceStore, tmp_path: Path) -> None:
    names: set[str] = set()
    for attempt in range(6):
        writer = start_writer(tmp_path, f"run{'x' * attempt}", 10_000)
        go(writer)
        time.sleep(0.05 + 0.017 * attempt)
        writer.kill()
        assert finish(writer) == -signal.SIGKILL
        path = tmp_path / "voices" / "team.json"
        found = {voice.name for voice in load_voices(path)} if path.exists() else set()
        assert names <= found
        names = found
    store.put_sample("team", "after", sample())  # the lock died with its holder
    assert {voice.name for voice in store.list("team")} == names | {"after"}
    assert len(names) > 0
