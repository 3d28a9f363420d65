"""What live rooms left behind: recordings, and which file of one is what. Every query names the owner.

What lives here: the records, and taking a recording's file in, which may be tried again and makes no second
one. What does not: writing sound while it is spoken (`streaming/recorder.py`), and what becomes of it when
the room empties (`deployments/live`).
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal, cast

import sqlalchemy as sa
from sqlalchemy.orm import Session

from clearcast.errors import NotFound
from clearcast.ids import new_id
from clearcast.storage.database import Database
from clearcast.storage.files import FileRecord
from clearcast.storage.intake import Intake
from clearcast.storage.rooms import no_room
from clearcast.storage.tables import File, Room, RoomRecording, RoomRecordingFile, now

RecordingState = Literal["running", "storing", "stored", "failed"]
FileRole = Literal["mix", "original", "cleaned", "events", "captions"]


@dataclass(frozen=True, slots=True)
class RecordedPart:
    """What one file of a recording is.

    Attributes:
        participant_id: whose voice it is; empty for the mix, the events and the captions.
        participant: the name that one had then.
        part: from 0; long recordings are cut into several.
    """

    role: FileRole
    participant_id: str = ""
    participant: str = ""
    part: int = 0


@dataclass(frozen=True, slots=True)
class RecordedFile:
    """A stored file of a recording."""

    file_id: str
    part: RecordedPart
    name: str
    media_type: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class RecordingRecord:
    """One row of `room_recordings` with its stored files.

    Attributes:
        failure: why it ended by itself, or what it lacks; None when it is whole.
        job_id: the meeting that is made of it.
    """

    id: str
    room_id: str
    owner_id: str
    started_at: datetime
    ended_at: datetime | None
    state: RecordingState
    failure: str | None
    job_id: str | None
    files: tuple[RecordedFile, ...] = ()


class RoomRecordings:
    """Everything here blocks."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def start(
        self,
        owner_id: str,
        room_id: str,
        recording_id: str | None = None,
        started_at: datetime | None = None,
    ) -> RecordingRecord:
        """Raises NotFound when the owner has no such room."""
        row = RoomRecording(
            id=recording_id or new_recording_id(),
            room_id=room_id,
            owner_id=owner_id,
            started_at=started_at or now(),
        )
        with self._database.writing() as session:
            _check_room(session, owner_id, room_id)
            session.add(row)
            session.flush()
            return _record(row, ())

    def move(
        self,
        owner_id: str,
        recording_id: str,
        state: RecordingState,
        job_id: str | None = None,
        *,
        ended_at: datetime | None = None,
        failure: str | None = None,
    ) -> RecordingRecord:
        """The recording is in this state now; the first one after "running" is its end, now or `ended_at`.

        A failure, once noted, stays. Raises NotFound.
        """
        with self._database.writing() as session:
            row = _owned(session, owner_id, recording_id)
            row.state = state
            if state != "running" and row.ended_at is None:
                row.ended_at = ended_at or now()
            row.job_id = job_id or row.job_id
            row.failure = row.failure or failure
            return _record(row, _files(session, owner_id, [row.id]).get(row.id, ()))

    def get(self, owner_id: str, recording_id: str) -> RecordingRecord:
        """Raises NotFound."""
        with self._database.reading() as session:
            row = _owned(session, owner_id, recording_id)
            return _record(row, _files(session, owner_id, [row.id]).get(row.id, ()))

    def list(
        self, owner_id: str, room_id: str, *, limit: int, after: str | None = None
    ) -> tuple[RecordingRecord, ...]:
        """The newest first; `after` is the last one of the page before. Raises NotFound."""
        query = sa.select(RoomRecording).where(
            RoomRecording.owner_id == owner_id, RoomRecording.room_id == room_id
        )
        if after is not None:
            query = query.where(RoomRecording.id < after)
        with self._database.reading() as session:
            _check_room(session, owner_id, room_id)
            rows = session.scalars(query.order_by(RoomRecording.id.desc()).limit(limit)).all()
            files = _files(session, owner_id, [row.id for row in rows])
            return tuple(_record(row, files.get(row.id, ())) for row in rows)

    def owner_of(self, recording_id: str) -> str | None:
        """Whose recording this is, for a node that finds its sound on the disk; None when it was erased."""
        with self._database.reading() as session:
            return session.scalar(sa.select(RoomRecording.owner_id).where(RoomRecording.id == recording_id))

    def erase_room(self, intake: Intake, owner_id: str, room_id: str) -> None:
        """Forget the room with its invitations, tokens and recordings, and their files. Raises NotFound.

        Whoever still stores a part of a recording gets NotFound.
        """
        query = (
            sa.select(RoomRecordingFile.file_id)
            .join(RoomRecording, RoomRecording.id == RoomRecordingFile.recording_id)
            .where(RoomRecording.owner_id == owner_id, RoomRecording.room_id == room_id)
        )
        while True:
            with self._database.writing() as session:
                room = _locked_room(session, owner_id, room_id)
                file_ids = session.scalars(query).all()
                if not file_ids:
                    session.delete(room)
                    return
            for file_id in file_ids:
                with suppress(NotFound):  # another request does the same
                    intake.drop(owner_id, file_id)

    def keep(
        self, intake: Intake, recording: RecordingRecord, part: RecordedPart, name: str, source: Path
    ) -> FileRecord:
        """Take in the local file `source`, which is gone afterwards; it counts against the owner's quota,
        and is kept beyond it: what was said cannot be said again.

        Doing it again, as after a kill, makes no second file of the same part. Raises StorageFull (the file
        stays where it is), and NotFound when the recording or its owner was erased.
        """
        owner_id = recording.owner_id
        known = self._file_of(recording, part)
        if known is not None:
            return intake.resume_recording(intake.records.find(owner_id, known), source)
        return intake.take_recording(
            owner_id, name, source, lambda session, file_id: _link(session, recording, part, file_id)
        )

    def _file_of(self, recording: RecordingRecord, part: RecordedPart) -> str | None:
        key = (recording.id, part.role, part.participant_id, part.part)
        with self._database.reading() as session:
            _owned(session, recording.owner_id, recording.id)
            row = session.get(RoomRecordingFile, key)
            return None if row is None else row.file_id


def new_recording_id() -> str:
    return new_id("rec")


def _link(session: Session, recording: RecordingRecord, part: RecordedPart, file_id: str) -> None:
    _locked_room(session, recording.owner_id, recording.room_id)
    _owned(session, recording.owner_id, recording.id)
    session.add(
        RoomRecordingFile(
            recording_id=recording.id,
            role=part.role,
            participant_id=part.participant_id,
            participant=part.participant,
            part=part.part,
            file_id=file_id,
        )
    )


def _check_room(session: Session, owner_id: str, room_id: str) -> None:
    query = sa.select(Room.id).where(Room.owner_id == owner_id, Room.id == room_id)
    if session.scalar(query) is None:
        raise no_room()


def _locked_room(session: Session, owner_id: str, room_id: str) -> Room:
    """The room; one of those who link files and erase it waits for the other."""
    query = sa.select(Room).where(Room.owner_id == owner_id, Room.id == room_id)
    room = session.scalar(query.with_for_update())
    if room is None:
        raise no_room()
    return room


def _owned(session: Session, owner_id: str, recording_id: str) -> RoomRecording:
    row = session.scalar(
        sa.select(RoomRecording).where(RoomRecording.owner_id == owner_id, RoomRecording.id == recording_id)
    )
    if row is None:
        raise NotFound("There is no such recording.")
    return row


def _files(
    session: Session, owner_id: str, recording_ids: list[str]
) -> dict[str, tuple[RecordedFile, ...]]:
    query = (
        sa.select(RoomRecordingFile, File)
        .join(File, File.id == RoomRecordingFile.file_id)
        .where(
            RoomRecordingFile.recording_id.in_(recording_ids),
            File.owner_id == owner_id,
            File.state == "stored",
        )
        .order_by(RoomRecordingFile.role, RoomRecordingFile.participant_id, RoomRecordingFile.part)
    )
    found: dict[str, tuple[RecordedFile, ...]] = {}
    for row, file in session.execute(query):
        part = RecordedPart(cast(FileRole, row.role), row.participant_id, row.participant, row.part)
        one = RecordedFile(file.id, part, file.name, file.media_type, file.size_bytes)
        found[row.recording_id] = (*found.get(row.recording_id, ()), one)
    return found


def _record(row: RoomRecording, files: tuple[RecordedFile, ...]) -> RecordingRecord:
    return RecordingRecord(
        id=row.id,
        room_id=row.room_id,
        owner_id=row.owner_id,
        started_at=row.started_at,
        ended_at=row.ended_at,
        state=cast(RecordingState, row.state),
        failure=row.failure,
        job_id=row.job_id,
        files=files,
    )
