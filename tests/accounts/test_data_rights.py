"""Export and erasure: everything of one person, nothing of anybody else's, and an end in any case."""

from __future__ import annotations

import hashlib
import io
import json
import tracemalloc
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import sqlalchemy as sa

from clearcast.accounts import audit
from clearcast.accounts.accounts import Accounts, accounts_of
from clearcast.accounts.data_rights import DataRights
from clearcast.accounts.room_tokens import RoomTokens
from clearcast.errors import Conflict, NotFound, ServiceUnavailable
from clearcast.ids import new_id
from clearcast.settings import Settings
from clearcast.storage.blob_files import FileBlobs
from clearcast.storage.database import Database
from clearcast.storage.intake import INCOMING, Intake
from clearcast.storage.room_recordings import RoomRecordings
from clearcast.storage.rooms import RoomPlan, RoomRecords
from clearcast.storage.tables import (
    File,
    Job,
    Result,
    Room,
    RoomRecordingFile,
    Table,
    Task,
    TranscriptLine,
)
from clearcast.storage.voice_store import VoiceStore
from clearcast.storage.voices import VoiceSample

MARK = "the blue parrot"


@pytest.fixture
def blobs(settings: Settings) -> FileBlobs:
    return FileBlobs(settings.data_path / "blobs")


@pytest.fixture
def voices(settings: Settings) -> VoiceStore:
    return VoiceStore(settings.data_path)


def settle(database: Database, blobs: FileBlobs, voices: VoiceStore, owner_id: str, files: int = 3) -> None:
    """Give a person files, a job with its results, a transcript and a voice."""
    voices.put_sample(owner_id, "Parrot", VoiceSample(np.ones(4, np.float32) / 2, "model", 5.0))
    room = RoomRecords(database).create(owner_id, RoomPlan(MARK, "password", "$argon2id$…"))
    RoomTokens(database).create(owner_id, room.id, "listen", lasts_s=600)
    recording = RoomRecordings(database).start(owner_id, room.id)
    job_id = new_id("job")
    common = {"owner_id": owner_id, "state": "done"}
    with database.writing() as session:
        session.add(Job(id=job_id, pipeline="meeting", options={}, label=MARK, priority="normal", **common))
        session.flush()
        session.add(
            Task(job_id=job_id, number=0, file_id="f", file_name="a", place=1, pipeline="m", **common)
        )
        session.flush()
        session.add(
            Result(job_id=job_id, number=0, name="words", owner_id=owner_id, kind="words", file_id="f")
        )
        line = TranscriptLine(owner_id=owner_id, job_id=job_id, number=0, start_s=0, end_s=1)
        line.text = line.plain = MARK
        session.add(line)
        for number in range(files):
            content = f"{owner_id} {number}".encode() * 100
            file = File(id=new_id("file"), kind="upload", name=f"../{number}.wav", media_type="audio/wav")
            file.owner_id, file.state, file.size_bytes = owner_id, "stored", len(content)
            file.sha256, file.blob_key = hashlib.sha256(content).hexdigest(), f"files/{file.id}"
            session.add(file)
            blobs.put_bytes(file.blob_key, content)
        session.flush()
        session.add(RoomRecordingFile(recording_id=recording.id, role="mix", file_id=file.id))


def rows_of(database: Database, user_id: str) -> dict[str, int]:
    """How many rows of each table hold this person's id."""
    found: dict[str, int] = {}
    with database.reading() as session:
        for table in Table.metadata.sorted_tables:
            columns = [
                column for column in table.columns if column.name in {"owner_id", "other_id", "user_id"}
            ]
            if table.name == "users":
                columns = [table.c.id]
            for column in columns:
                count = session.scalar(sa.select(sa.func.count()).where(column == user_id))
                if count:
                    found[table.name] = count
    return found


def test_the_export_holds_everything_of_this_person_and_nothing_of_others(
    accounts: Accounts, database: Database, blobs: FileBlobs, voices: VoiceStore, sara: str, reza: str
) -> None:
    settle(database, blobs, voices, sara)
    settle(database, blobs, voices, reza)
    accounts.keys.create(sara, "my key")
    accounts.friends.request(reza, "Sara")
    [room] = RoomRecords(database).list(sara, limit=9)
    RoomRecords(database).invite(sara, room.id, "Reza", reza)
    with zipfile.ZipFile(io.BytesIO(b"".join(accounts.export.pieces(sara)))) as archive:
        assert archive.testzip() is None
        names = archive.namelist()
        documents = {name: json.loads(archive.read(name)) for name in names if name.endswith(".json")}
        files = {name: archive.read(name) for name in names if name.startswith("files/")}
        everything = b"".join(archive.read(name) for name in names).decode()
    assert documents["account.json"]["name"] == "Sara"
    assert documents["account.json"]["keys"][0]["label"] == "my key"
    assert [other["name"] for other in documents["friends.json"]["asking"]] == ["Reza"]
    assert documents["voices.json"]["voices"]
    assert documents["jobs.json"][0]["label"] == MARK
    assert documents["jobs.json"][0]["tasks"][0]["number"] == 0
    [kept] = documents["rooms.json"]
    assert (kept["id"], kept["name"], kept["invites"][0]["name"]) == (room.id, MARK, "Reza")
    assert len(kept["tokens"]) == len(kept["recordings"]) == len(kept["recording_files"]) == 1
    assert not {"sha256", "password_hash"} & {*kept, *kept["tokens"][0]}
    assert documents["transcripts.json"][0]["text"] == MARK
    assert documents["audit.json"][0]["event"] == audit.USER_MADE
    checksums = {file["sha256"] for file in documents["files.json"]}
    assert {hashlib.sha256(content).hexdigest() for content in files.values()} == checksums
    assert len(files) == 3
    assert not [name for name in files if ".." in name]
    assert "$argon2id" not in everything
    assert everything.count(reza) == 1  # who asks to be friends


def test_an_export_of_nothing_is_an_archive_too(accounts: Accounts, sara: str) -> None:
    with zipfile.ZipFile(io.BytesIO(b"".join(accounts.export.pieces(sara)))) as archive:
        assert json.loads(archive.read("jobs.json")) == []
    with pytest.raises(NotFound):
        list(accounts.export.pieces("user_nobody"))


def test_a_large_export_takes_little_memory(
    accounts: Accounts, database: Database, blobs: FileBlobs, voices: VoiceStore, sara: str
) -> None:
    settle(database, blobs, voices, sara, files=1)
    with database.reading() as session:
        key = session.scalar(sa.select(File.blob_key).where(File.owner_id == sara))
    assert key is not None
    source = blobs.root / "large"
    with source.open("wb") as large:
        large.truncate(200 << 20)
    blobs.put_file(key, source)
    tracemalloc.start()
    size = sum(len(piece) for piece in accounts.export.pieces(sara))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert size > 200 << 20
    assert peak < 16 << 20


def test_erasure_leaves_nothing_but_audit_lines_and_touches_nobody_else(
    accounts: Accounts, database: Database, blobs: FileBlobs, voices: VoiceStore, sara: str, reza: str
) -> None:
    settle(database, blobs, voices, sara)
    settle(database, blobs, voices, reza)
    accounts.friends.request(sara, "Reza")
    accounts.friends.accept(reza, "Sara")
    _, key = accounts.keys.create(sara)
    token = accounts.tokens.open(sara).access_token
    [room] = RoomRecords(database).list(reza, limit=9)
    before = rows_of(database, reza)
    RoomRecords(database).invite(reza, room.id, "Sara", sara)
    assert accounts.credentials.look_up(key) and accounts.credentials.look_up(token)
    proof = accounts.rights.erase(sara)
    assert proof.counts == {
        **dict.fromkeys(("jobs", "keys", "results", "ties", "transcript_lines", "voices"), 1),
        **dict.fromkeys(("recordings", "room_tokens", "rooms"), 1),
        "files": 3,
    }
    assert set(rows_of(database, sara)) == {"audit_lines"}
    assert voices.list(sara) == ()
    assert len(list(blobs.keys())) == 3
    assert accounts.credentials.look_up(key) is None
    assert accounts.credentials.look_up(token) is None
    del before["ties"]
    assert rows_of(database, reza) == before
    assert len(voices.list(reza)) == 1
    assert RoomRecords(database).guests(reza, room.id) == ()
    last = accounts.audit.page(sara)[0]
    assert last.event == audit.USER_ERASED
    assert last.facts == {"counts": proof.counts, "sha256": proof.sha256}
    with pytest.raises(NotFound):
        accounts.rights.erase(sara)


def test_the_proof_can_be_made_again_from_what_one_had(
    accounts: Accounts, database: Database, blobs: FileBlobs, voices: VoiceStore, sara: str
) -> None:
    settle(database, blobs, voices, sara, files=2)
    with database.writing() as session:
        session.execute(sa.delete(Job))
        session.execute(sa.delete(Room))
    voices.erase(sara, "Parrot")
    with database.reading() as session:
        files = session.execute(sa.select(File.id, File.sha256).order_by(File.id)).all()
    lines = "".join(f"files {row.id} {row.sha256}\n" for row in files)
    assert accounts.rights.erase(sara).sha256 == hashlib.sha256(lines.encode()).hexdigest()


class _Dying(FileBlobs):
    """A store that is gone after so many deletions."""

    left = 1

    def delete(self, key: str) -> None:
        if self.left == 0:
            raise ServiceUnavailable("gone")
        self.left -= 1
        super().delete(key)


@pytest.fixture
def half_erased(
    database: Database, blobs: FileBlobs, voices: VoiceStore, sara: str
) -> Iterator[tuple[str, int]]:
    settle(database, blobs, voices, sara)
    with pytest.raises(ServiceUnavailable):
        DataRights(database, _Dying(blobs.root), voices).erase(sara)
    yield sara, len(list(blobs.keys()))


def test_an_erasure_that_stopped_half_way_is_finished_by_asking_again(
    accounts: Accounts, database: Database, blobs: FileBlobs, half_erased: tuple[str, int]
) -> None:
    sara, left = half_erased
    assert left == 2
    assert accounts.users.get(sara).is_disabled
    begun = accounts.audit.page(sara)[0]
    proof = accounts.rights.erase(sara)
    assert begun.facts == {"counts": proof.counts, "sha256": proof.sha256}
    assert proof.counts["files"] == 3
    assert set(rows_of(database, sara)) == {"audit_lines"}
    assert list(blobs.keys()) == []


def test_an_erasure_that_stopped_half_way_is_finished_by_the_next_start(
    settings: Settings, database: Database, blobs: FileBlobs, half_erased: tuple[str, int]
) -> None:
    with accounts_of(settings) as fresh:
        fresh.prepare(require_key=True)
        assert fresh.rights.unfinished() == ()
    assert set(rows_of(database, half_erased[0])) == {"audit_lines"}
    assert list(blobs.keys()) == []


def test_everybody_together_cannot_be_erased(accounts: Accounts) -> None:
    accounts.users.ensure_local()
    with pytest.raises(Conflict):
        accounts.rights.erase("local")


def test_nothing_of_the_erased_is_left_in_any_file(
    settings: Settings,
    database: Database,
    blobs: FileBlobs,
    voices: VoiceStore,
    accounts: Accounts,
    sara: str,
) -> None:
    settle(database, blobs, voices, sara)
    accounts.rights.erase(sara)
    database.close()
    assert [path for path in _files(settings.data_path / "voices") if b"Parrot" in path.read_bytes()] == []
    assert list(_files(settings.data_path / "blobs")) == []


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if path.is_file())


def test_unfinished_uploads_and_stages_are_erased_too(
    settings: Settings,
    accounts: Accounts,
    database: Database,
    blobs: FileBlobs,
    voices: VoiceStore,
    sara: str,
) -> None:
    settle(database, blobs, voices, sara)
    with database.reading() as session:
        job_id = session.scalar(sa.select(Job.id).where(Job.owner_id == sara))
    blobs.put_bytes(f"jobs/{job_id}/0/stages/diarize.json", b"{}")
    intake = Intake(database, blobs, settings)
    upload = intake.announce(sara, "half.wav", None, 100)
    blobs.put_bytes(INCOMING + upload.id, b"sent to a presigned address")
    with intake.parts.held(upload.id) as part:
        part.append(b"half")
    assert intake.parts.size_bytes(upload.id) == 4
    accounts.rights.erase(sara)
    assert intake.parts.size_bytes(upload.id) is None
    assert list(blobs.keys()) == []
