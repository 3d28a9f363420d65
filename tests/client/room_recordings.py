"""A recording of a room on the tests' platform, as the live gateway leaves one."""

from __future__ import annotations

from pathlib import Path

from clearcast.storage.blobs import open_blobs
from clearcast.storage.database import Database
from clearcast.storage.intake import Intake
from clearcast.storage.room_recordings import RecordedPart, RoomRecordings
from clearcast.storage.rooms import RoomRecords
from tests.platform_server import Platform, make_settings


def record(platform: Platform, room_id: str, folder: Path) -> str:
    """The id of a new recording with a mix and one voice, of bytes that are no sound."""
    # The environment of a test of the command line names a folder of its own, and would win.
    settings = make_settings(platform.folder).model_copy(update={"data_dir": platform.folder})
    database = Database(settings.database_url)
    recordings = RoomRecordings(database)
    intake = Intake(database, open_blobs(settings.storage, settings.data_path), settings)
    owner_id = RoomRecords(database).find(room_id).owner_id
    recording = recordings.start(owner_id, room_id)
    for part in (RecordedPart("mix"), RecordedPart("original", "p1", "Sara")):
        source = folder / f"{part.role}.opus"
        source.write_bytes(f"OggS {part.role}".encode())
        recordings.keep(intake, recording, part, source.name, source)
    recordings.move(owner_id, recording.id, "stored")
    database.close()
    return recording.id
