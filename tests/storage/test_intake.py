"""Files on their way in: whatever is killed between two steps, the next step finishes it."""

from __future__ import annotations

import hashlib
from datetime import timedelta
from pathlib import Path

import pytest

from clearcast.errors import NotFound, QuotaExceeded, UploadBusy, UploadTooLarge
from clearcast.settings import AudioSettings, Settings, StorageSettings
from clearcast.storage.blob_files import FileBlobs
from clearcast.storage.blobs import BlobStore, open_blobs
from clearcast.storage.database import Database
from clearcast.storage.files import FileRecord
from clearcast.storage.intake import Intake
from clearcast.storage.tables import now
from tests.servers import S3Server
from tests.storage.people import add_user
from tests.storage.test_blobs import s3_settings

DATA = b"sound" * 1000
SHA256 = hashlib.sha256(DATA).hexdigest()


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(
        data_dir=tmp_path / "data",
        audio=AudioSettings(max_upload_bytes=10_000),
        storage=StorageSettings(quota_bytes=15_000),
    )


@pytest.fixture
def database(settings: Settings) -> Database:
    database = Database(settings.database_url)
    database.migrate()
    add_user(database, "anna")
    return database


@pytest.fixture
def blobs(settings: Settings) -> BlobStore:
    return open_blobs(settings.storage, settings.data_path)


@pytest.fixture
def intake(database: Database, blobs: BlobStore, settings: Settings) -> Intake:
    return Intake(database, blobs, settings)


def arrived(intake: Intake, data: bytes = DATA) -> FileRecord:
    """An upload whose bytes lie in its part file, and that nobody has finished."""
    record = intake.announce("anna", "a.wav", None, len(DATA))
    with intake.parts.held(record.id) as part:
        part.append(data)
        part.sync()
    return record


def test_half_an_upload_is_as_long_as_its_file(intake: Intake) -> None:
    record = arrived(intake, DATA[:1234])
    found = intake.find("anna", record.id)
    assert (found.state, found.received_bytes) == ("receiving", 1234)


def test_killed_after_the_last_byte_it_is_finished_by_the_next_look(
    intake: Intake, blobs: BlobStore
) -> None:
    record = arrived(intake)
    found = intake.find("anna", record.id)
    assert (found.state, found.sha256) == ("stored", SHA256)
    assert blobs.get_bytes(record.blob_key) == DATA
    assert intake.parts.size_bytes(record.id) is None


@pytest.mark.parametrize("somebody_looked", [False, True])
def test_killed_after_the_move_it_is_finished_by_the_next_look(
    intake: Intake, blobs: BlobStore, somebody_looked: bool
) -> None:
    record = arrived(intake)
    blobs.put_file(record.blob_key, intake.parts.path(record.id))
    if somebody_looked:
        with intake.parts.held(record.id):
            pass  # which makes a new, empty file
    found = intake.find("anna", record.id)
    assert (found.state, found.sha256) == ("stored", SHA256)
    assert intake.parts.size_bytes(record.id) is None


def test_finishing_what_was_deleted_meanwhile_leaves_nothing(intake: Intake, blobs: FileBlobs) -> None:
    record = arrived(intake)
    with intake.parts.held(record.id) as part:
        intake.drop("anna", record.id)
        with pytest.raises(NotFound):
            intake.finish(record, part)
    assert list(blobs.keys()) == []
    assert list(intake.parts.folder.iterdir()) == []


def test_two_writers_cannot_hold_one_upload(intake: Intake) -> None:
    record = arrived(intake, b"")
    with intake.parts.held(record.id), pytest.raises(UploadBusy), intake.parts.held(record.id):
        pass


def test_an_expired_upload_is_not_found(intake: Intake) -> None:
    record = arrived(intake, b"x")
    intake.records.receiving("anna", record.id, 1, now() - timedelta(seconds=1))
    with pytest.raises(NotFound, match="expired"):
        intake.find("anna", record.id)


def test_a_local_file_is_taken_whole(intake: Intake, blobs: BlobStore, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(DATA)
    record = intake.take_file("anna", "a.wav", None, source)
    assert (record.state, record.sha256, record.size_bytes) == ("stored", SHA256, len(DATA))
    assert blobs.get_bytes(record.blob_key) == DATA
    assert not source.exists()


def test_limits_hold_before_anything_is_kept(intake: Intake, blobs: FileBlobs, tmp_path: Path) -> None:
    with pytest.raises(UploadTooLarge):
        intake.announce("anna", "a", None, 10_001)
    intake.announce("anna", "a", None, 10_000)
    source = tmp_path / "source"
    source.write_bytes(b"x" * 5001)
    with pytest.raises(QuotaExceeded):
        intake.take_file("anna", "a", None, source)
    assert list(blobs.keys()) == []


def test_files_have_no_presigned_uploads_and_keep_no_record_of_one(intake: Intake) -> None:
    with pytest.raises(NotFound):
        intake.presign("anna", "a", None, 10, 60)
    assert intake.records.list("anna", limit=9) == []


def test_an_id_cannot_be_a_path(intake: Intake) -> None:
    with pytest.raises(ValueError, match="not the id"):
        intake.parts.path("../keys")


def test_a_presigned_upload_is_measured_and_moved_out_of_reach(
    database: Database, settings: Settings, s3_server: S3Server
) -> None:
    import httpx

    blobs = open_blobs(s3_settings(s3_server, "intake"), settings.data_path)
    intake = Intake(database, blobs, settings)
    presigned = intake.presign("anna", "a.wav", None, len(DATA), 60)
    with pytest.raises(NotFound, match="arrived"):
        intake.complete_presigned("anna", presigned.record.id)
    assert httpx.put(presigned.url, content=DATA).is_success
    record = intake.complete_presigned("anna", presigned.record.id)
    assert (record.state, record.sha256, record.size_bytes) == ("stored", SHA256, len(DATA))
    httpx.put(presigned.url, content=b"another")  # the address still works, and changes nothing
    assert blobs.get_bytes(record.blob_key) == DATA
    assert intake.complete_presigned("anna", record.id) == record

    larger = intake.presign("anna", "b.wav", None, 10, 60)
    httpx.put(larger.url, content=b"x" * 11)
    with pytest.raises(UploadTooLarge):
        intake.complete_presigned("anna", larger.record.id)
    with pytest.raises(NotFound):
        intake.records.find("anna", larger.record.id)
