"""Records of files on SQLite and on PostgreSQL."""

from __future__ import annotations

import itertools
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest

from clearcast.errors import NotFound, QuotaExceeded
from clearcast.settings import StorageSettings
from clearcast.storage.database import Database
from clearcast.storage.files import FileRecord, FileRecords, clean_name, media_type_of
from tests.storage.people import add_user

NOW = datetime(2026, 5, 1, tzinfo=UTC)


@pytest.fixture
def records(database: Database) -> FileRecords:
    add_user(database, "anna")
    add_user(database, "bela")
    return FileRecords(database)


def stored(
    records: FileRecords, owner: str = "anna", name: str = "a.wav", size_bytes: int = 10
) -> FileRecord:
    record = records.create(owner, name=name, size_bytes=size_bytes)
    return records.complete(owner, record.id, size_bytes=size_bytes, sha256="0" * 64)


def test_a_file_is_received_and_then_stored(records: FileRecords) -> None:
    record = records.create("anna", name="talk.mp3", size_bytes=100, expires_at=NOW)
    assert (record.state, record.received_bytes, record.media_type) == ("receiving", 0, "audio/mpeg")
    records.receiving("anna", record.id, 60, NOW + timedelta(hours=1))
    found = records.find("anna", record.id)
    assert (found.received_bytes, found.expires_at) == (60, NOW + timedelta(hours=1))
    done = records.complete("anna", record.id, size_bytes=100, sha256="ab" * 32)
    assert (done.state, done.received_bytes, done.sha256, done.expires_at) == (
        "stored",
        100,
        "ab" * 32,
        None,
    )
    assert records.complete("anna", record.id, size_bytes=100, sha256="ab" * 32) == done
    records.receiving("anna", record.id, 10, NOW)  # late news of a part
    assert records.find("anna", record.id) == done


def test_other_peoples_files_are_not_found(records: FileRecords) -> None:
    record = stored(records)
    for attempt in (
        lambda: records.find("bela", record.id),
        lambda: records.delete("bela", record.id),
        lambda: records.complete("bela", record.id, size_bytes=1, sha256="x"),
        lambda: records.find("anna", "file_none"),
    ):
        with pytest.raises(NotFound):
            attempt()
    records.receiving("bela", record.id, 1, NOW)
    assert records.list("bela", limit=10) == []
    assert records.find("anna", record.id) == record
    assert records.used_bytes("bela") == 0


def test_nobody_has_no_files(records: FileRecords) -> None:
    with pytest.raises(NotFound):
        records.create("nobody", name="a", size_bytes=1)


def test_pages_hold_everything_once_the_newest_first(records: FileRecords) -> None:
    made = [stored(records, name=f"{number}.wav").id for number in range(7)]
    stored(records, owner="bela")
    pages, after = [], None
    while page := records.list("anna", limit=3, after=after):
        pages.append([record.id for record in page])
        after = page[-1].id
    assert [len(page) for page in pages] == [3, 3, 1]
    assert list(itertools.chain(*pages)) == sorted(made, reverse=True)


def test_the_list_can_be_of_one_kind(records: FileRecords) -> None:
    stored(records)
    result = records.create("anna", name="a.json", size_bytes=1, kind="result", job_id="job_1")
    assert [record.id for record in records.list("anna", limit=9, kind="result")] == [result.id]


def test_the_quota_counts_what_is_announced_and_frees_what_is_deleted(records: FileRecords) -> None:
    first = records.create("anna", name="a", size_bytes=60, quota_bytes=100)
    with pytest.raises(QuotaExceeded) as caught:
        records.create("anna", name="b", size_bytes=41, quota_bytes=100)
    assert caught.value.fields == {"used_bytes": 60, "quota_bytes": 100}
    records.create("bela", name="b", size_bytes=41, quota_bytes=100)
    records.create("anna", name="b", size_bytes=40, quota_bytes=100)
    assert records.used_bytes("anna") == 100
    assert records.delete("anna", first.id) == first
    assert records.used_bytes("anna") == 40


def test_a_quota_of_ones_own_comes_first(records: FileRecords, database: Database) -> None:
    add_user(database, "carl", quota_bytes=5)
    with pytest.raises(QuotaExceeded):
        records.create("carl", name="a", size_bytes=6, quota_bytes=100)
    records.create("carl", name="a", size_bytes=6)  # nobody asked for the quota


def test_a_quota_holds_when_many_announce_at_once(records: FileRecords) -> None:
    def announce(_: int) -> bool:
        try:
            records.create("anna", name="a", size_bytes=10, quota_bytes=55)
        except QuotaExceeded:
            return False
        return True

    with ThreadPoolExecutor(6) as pool:
        assert sum(pool.map(announce, range(20))) == 5


def test_what_is_over_comes_by_kind_and_by_the_settings_of_today(records: FileRecords) -> None:
    upload = records.create("anna", name="half.wav", size_bytes=9, expires_at=NOW)
    sound, text = stored(records), stored(records, "bela", "a.json")

    def over(at: datetime, **settings: float | None) -> set[str]:
        storage = StorageSettings.model_validate(
            {"audio_retention_s": None, "transcript_retention_s": None} | settings
        )
        return {record.id for record in records.expired(at, storage)}

    created = max(sound.created_at, text.created_at)
    assert over(NOW - timedelta(seconds=1)) == set()
    assert over(NOW) == {upload.id}
    later = created + timedelta(seconds=100)
    assert over(later, audio_retention_s=100) - {upload.id} == {sound.id}
    assert over(later, transcript_retention_s=100) - {upload.id} == {text.id}
    assert over(later, audio_retention_s=200, transcript_retention_s=200) - {upload.id} == set()


def test_a_file_tells_how_long_it_is_kept(records: FileRecords) -> None:
    storage = StorageSettings(audio_retention_s=60, transcript_retention_s=None)
    sound, text = stored(records), stored(records, name="a.json")
    assert sound.kept_until(storage) == sound.created_at + timedelta(seconds=60)
    assert text.kept_until(storage) is None
    upload = records.create("anna", name="a", size_bytes=1, expires_at=NOW)
    assert upload.kept_until(storage) == NOW


def test_many_expired_files_come_page_by_page_each_once(records: FileRecords) -> None:
    made = {records.create("anna", name="a", size_bytes=1, expires_at=NOW).id for _ in range(450)}
    found = [record.id for record in records.expired(NOW, StorageSettings())]
    assert len(found) == 450
    assert set(found) == made


def test_keys_without_a_record_are_told(records: FileRecords) -> None:
    record = stored(records)
    assert records.unknown_keys([record.blob_key, "files/other"]) == {"files/other"}
    waiting = records.create("anna", name="a", size_bytes=1)
    assert records.not_receiving([waiting.id, record.id, "file_x"]) == {record.id, "file_x"}


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("talk.wav", "talk.wav"),
        ("C:\\talks\\گفتگو.mp3", "گفتگو.mp3"),
        ("../../etc/passwd", "passwd"),
        ("a\r\nSet-Cookie: x", "aSet-Cookie: x"),
        ("", "file"),
        ("..", "file"),
        ("\x00", "file"),
        ("x" * 300 + ".wav", "x" * 196 + ".wav"),
        ("x" * 300, "x" * 200),
    ],
)
def test_names_are_made_harmless(given: str, kept: str) -> None:
    assert clean_name(given) == kept


@pytest.mark.parametrize(
    ("name", "given", "told"),
    [
        ("a.wav", None, "audio/wav"),
        ("a.m4a", "application/octet-stream", "audio/mp4"),
        ("a.wav", "audio/x-wav; rate=8000", "audio/x-wav"),
        ("a", "nonsense\r\nX: y", "application/octet-stream"),
        ("a.xyz", None, "application/octet-stream"),
    ],
)
def test_media_types_are_what_is_said_or_what_the_name_tells(
    name: str, given: str | None, told: str
) -> None:
    assert media_type_of(name, given) == told
