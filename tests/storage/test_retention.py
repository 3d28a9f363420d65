"""The sweeper, on SQLite and on PostgreSQL."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
import sqlalchemy as sa

from clearcast.settings import Settings, StorageSettings
from clearcast.storage.blob_files import FileBlobs
from clearcast.storage.database import Database
from clearcast.storage.files import FileRecord
from clearcast.storage.intake import Intake
from clearcast.storage.retention import Swept, sweep
from clearcast.storage.tables import Job, TranscriptLine
from clearcast.storage.voice_store import VoiceStore
from clearcast.storage.voices import VoiceBook, VoiceSample, write_voices
from tests.storage.people import add_user

LATER = datetime.now(UTC) + timedelta(days=3)
DAY_S = 86400.0


class Place:
    """A server's records and bytes, with what is kept for how long."""

    def __init__(self, database: Database, folder: Path) -> None:
        self.database = database
        self.blobs = FileBlobs(folder / "blobs")
        self.settings = Settings(data_dir=folder / "data")
        self.intake = Intake(database, self.blobs, self.settings)
        self.voices = VoiceStore(self.settings.data_path)

    def store(self, name: str) -> FileRecord:
        source = self.settings.data_path / "source"
        source.parent.mkdir(exist_ok=True)
        source.write_bytes(b"sound")
        return self.intake.take_file("anna", name, None, source)

    def sweep(self, now: datetime = LATER, **kept_s: float | None) -> Swept:
        storage = {"audio_retention_s": None, "upload_expiry_s": 9 * DAY_S} | kept_s
        changed = self.settings.model_copy(update={"storage": StorageSettings.model_validate(storage)})
        return sweep(self.database, self.blobs, changed, now)


@pytest.fixture
def place(database: Database, tmp_path: Path) -> Place:
    add_user(database, "anna")
    add_user(database, "bela")
    return Place(database, tmp_path)


def left(place: Place) -> set[str]:
    return {record.name for record in place.intake.records.list("anna", limit=99)}


def test_a_sweep_of_what_is_all_in_use_removes_nothing(place: Place) -> None:
    place.store("a.wav")
    place.store("a.json")
    assert place.sweep() == Swept()
    assert left(place) == {"a.wav", "a.json"}
    assert len(list(place.blobs.keys())) == 2


def test_each_kind_goes_after_its_own_time_and_a_second_sweep_finds_nothing(place: Place) -> None:
    place.store("a.wav")
    place.store("a.json")
    assert place.sweep(audio_retention_s=DAY_S) == Swept(recordings=1)
    assert left(place) == {"a.json"}
    assert place.sweep(audio_retention_s=DAY_S) == Swept()
    assert place.sweep(transcript_retention_s=DAY_S) == Swept(transcripts=1)
    assert left(place) == set()
    assert list(place.blobs.keys()) == []


def test_recordings_of_rooms_stay_unless_a_setting_says_otherwise(place: Place) -> None:
    place.store("a.wav")
    for name in ("mix.opus", "events.json"):
        source = place.settings.data_path / "source"
        source.write_bytes(b"sound")
        record = place.intake.take_recording("anna", name, source, lambda _session, _file_id: None)
        assert record.kept_until(StorageSettings()) is None
        assert record.kept_until(
            StorageSettings(recording_retention_s=60.0)
        ) == record.created_at + timedelta(seconds=60)
    assert place.sweep(audio_retention_s=DAY_S, transcript_retention_s=DAY_S) == Swept(recordings=1)
    assert left(place) == {"mix.opus", "events.json"}
    assert place.sweep(recording_retention_s=DAY_S) == Swept(recordings=2)
    assert list(place.blobs.keys()) == []


def test_unfinished_uploads_go_when_their_time_is_over(place: Place) -> None:
    record = place.intake.announce("anna", "half.wav", None, 10)
    with place.intake.parts.held(record.id) as part:
        part.append(b"12345")
    assert place.sweep(datetime.now(UTC)) == Swept()
    with place.intake.parts.held(record.id):
        assert place.sweep() == Swept()  # a part is arriving now
    assert place.sweep() == Swept(uploads=1)
    assert left(place) == set()
    assert list(place.intake.parts.folder.iterdir()) == []


def test_bytes_without_a_record_go_after_a_day(place: Place) -> None:
    place.store("a.wav")
    unknown = place.intake.announce("bela", "b.wav", None, 10)
    place.intake.records.delete("bela", unknown.id)
    place.blobs.put_bytes(unknown.blob_key, b"orphan")
    place.blobs.put_bytes(f"incoming/{unknown.id}", b"orphan")
    place.blobs.put_bytes("jobs/job_1/stage", b"somebody else's")
    with place.intake.parts.held(unknown.id) as part:
        part.append(b"orphan")
    assert place.sweep(datetime.now(UTC)) == Swept()
    assert place.sweep() == Swept(parts=1, blobs=2)
    assert place.sweep() == Swept()
    assert left(place) == {"a.wav"}
    assert len(list(place.blobs.keys())) == 2


def test_a_presigned_upload_that_waits_is_left(place: Place) -> None:
    record = place.intake.announce("anna", "a.wav", None, 10)
    place.blobs.put_bytes(f"incoming/{record.id}", b"0123456789")
    os.utime(place.blobs.root / "incoming" / record.id, (0, 0))
    assert place.sweep(datetime.now(UTC)) == Swept()
    assert place.sweep() == Swept(uploads=1)
    assert list(place.blobs.keys()) == []


def test_what_search_knows_goes_with_the_transcripts(place: Place) -> None:
    with place.database.writing() as session:
        for job_id, age in (("job_old", 5), ("job_new", -2)):
            session.add(
                Job(
                    id=job_id,
                    owner_id="anna",
                    pipeline="meeting",
                    options={},
                    priority="normal",
                    state="succeeded",
                    created_at=datetime.now(UTC) - timedelta(days=age),
                )
            )
            session.flush()
            # Recorded ten years ago: what counts is since when it is kept here.
            moment = datetime.now(UTC) - timedelta(days=3650)
            line = TranscriptLine(
                owner_id="anna", job_id=job_id, number=0, start_s=0.0, end_s=1.0, text="hi", plain="hi"
            )
            line.created_at = moment
            session.add(line)
    assert place.sweep(transcript_retention_s=4 * DAY_S).transcript_lines == 1
    with place.database.reading() as session:
        assert session.scalars(sa.select(TranscriptLine.job_id)).all() == ["job_new"]


def sample() -> VoiceSample:
    return VoiceSample.from_vector(np.eye(256)[0], "resemblyzer")


def test_voices_are_erased_with_a_line_in_the_audit_log(place: Place) -> None:
    place.voices.put_sample("anna", "Sara", sample())
    place.voices.put_sample("bela", "Omid", sample())
    assert place.sweep() == Swept()
    assert place.sweep(datetime.now(UTC), voice_retention_s=DAY_S) == Swept()
    assert place.sweep(voice_retention_s=DAY_S) == Swept(voices=2)
    assert place.sweep(voice_retention_s=DAY_S) == Swept()
    assert place.voices.list("anna") == ()
    audit = (place.settings.data_path / "audit.log").read_text()
    assert audit.count("voice_erased") == 2
    assert "Sara" not in audit


def test_a_voice_of_unknown_age_counts_from_the_first_look(place: Place) -> None:
    book = VoiceBook().add_sample("Sara", sample())
    content = write_voices(book).replace(f'"{_time_of(book)}"', "null")
    place.voices.import_("anna", content)
    assert place.voices.get("anna", "Sara").created_at is None
    assert place.sweep(voice_retention_s=DAY_S) == Swept()
    dated = place.voices.get("anna", "Sara").created_at
    assert dated is not None
    assert place.sweep(voice_retention_s=DAY_S) == Swept(voices=1)


def _time_of(book: VoiceBook) -> str:
    created_at = book.get("Sara").created_at
    assert created_at is not None
    return created_at.isoformat()
