"""Records of files: what somebody sent or a job made, whose it is, and whether it is whole.

What lives here: `FileRecords`. What does not: the bytes (`blobs.py`, and `parts.py` while they arrive) and
what makes the two agree (`intake.py`).
"""

from __future__ import annotations

import mimetypes
import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal, cast

import sqlalchemy as sa
from sqlalchemy.engine import CursorResult
from sqlalchemy.orm import Session

from clearcast.errors import NotFound, QuotaExceeded
from clearcast.ids import new_id
from clearcast.settings import StorageSettings
from clearcast.storage.database import Database
from clearcast.storage.tables import File, Result, TranscriptLine, User, now

FileKind = Literal["upload", "result", "recording"]
FileState = Literal["receiving", "stored"]

MAX_NAME_CHARACTERS = 200
TRANSCRIPT_TYPE = "application/json"
UNKNOWN_TYPE = "application/octet-stream"
_SPOKEN = ("meeting", "transcript")  # kinds of results that search knows
BATCH = 200  # rows that a sweep takes at a time

_MEDIA_TYPE = re.compile(r"[a-z0-9][a-z0-9!#$&^_.+-]{0,63}/[a-z0-9][a-z0-9!#$&^_.+-]{0,63}")
_KNOWN_TYPES = mimetypes.MimeTypes()  # the same on every machine: not the system's own tables
_TYPES = {
    "wav": "audio/wav",
    "flac": "audio/flac",
    "mp3": "audio/mpeg",
    "ogg": "audio/ogg",
    "opus": "audio/ogg",
    "m4a": "audio/mp4",
    "webm": "video/webm",
    "mkv": "video/x-matroska",
    "json": TRANSCRIPT_TYPE,
}


@dataclass(frozen=True, slots=True)
class FileRecord:
    """One row of `files`. `expires_at` is that of an unfinished upload; see `kept_until` for the others."""

    id: str
    owner_id: str
    kind: FileKind
    name: str
    media_type: str
    state: FileState
    size_bytes: int
    received_bytes: int
    sha256: str | None
    blob_key: str
    duration_s: float | None
    job_id: str | None
    created_at: datetime
    expires_at: datetime | None

    @property
    def is_stored(self) -> bool:
        return self.state == "stored"

    @property
    def is_transcript(self) -> bool:
        return self.media_type == TRANSCRIPT_TYPE and self.kind != "recording"

    def kept_until(self, storage: StorageSettings) -> datetime | None:
        """When the sweeper takes it; None for never."""
        if not self.is_stored:
            return self.expires_at
        kept_s = storage.transcript_retention_s if self.is_transcript else storage.audio_retention_s
        if self.kind == "recording":
            kept_s = storage.recording_retention_s
        return None if kept_s is None else self.created_at + timedelta(seconds=kept_s)


class FileRecords:
    """The table `files`. Every method but the sweeper's names the owner; all of them block."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def create(
        self,
        owner_id: str,
        *,
        name: str,
        size_bytes: int,
        media_type: str | None = None,
        kind: FileKind = "upload",
        quota_bytes: int | None = None,
        expires_at: datetime | None = None,
        job_id: str | None = None,
        also: Callable[[Session, str], None] = lambda _session, _file_id: None,
    ) -> FileRecord:
        """A record of what is about to arrive; its whole size counts from now on.

        `quota_bytes` is what people may keep who have no quota of their own; None asks nobody. `also` gets
        the file's id within the same transaction. Raises QuotaExceeded, NotFound when there is no such
        owner, and what `also` raises.
        """
        file_id = new_id("file")
        file = File(
            id=file_id,
            owner_id=owner_id,
            kind=kind,
            name=clean_name(name),
            media_type=media_type_of(name, media_type),
            state="receiving",
            size_bytes=size_bytes,
            received_bytes=0,
            sha256=None,
            blob_key=f"files/{file_id}",
            job_id=job_id,
            created_at=now(),
            expires_at=expires_at,
        )
        with self._database.writing() as session:
            # The lock makes those wait who would fill the same quota at the same time.
            owner = session.get(User, owner_id, with_for_update=True)
            if owner is None:
                raise NotFound("There is no such account.")
            if quota_bytes is not None:
                _check_quota(session, owner, quota_bytes, size_bytes)
            session.add(file)
            session.flush()
            also(session, file_id)
            return _record(file)

    def check_quota(self, owner_id: str, quota_bytes: int, size_bytes: int = 0) -> None:
        """Raises QuotaExceeded when so much more would be too much, NotFound without such an owner."""
        with self._database.reading() as session:
            owner = session.get(User, owner_id)
            if owner is None:
                raise NotFound("There is no such account.")
            _check_quota(session, owner, quota_bytes, size_bytes)

    def receiving(
        self, owner_id: str, file_id: str, received_bytes: int, expires_at: datetime | None
    ) -> None:
        """Note how much has arrived. Does nothing when the file is whole, or gone."""
        self._update(
            owner_id,
            file_id,
            File.state == "receiving",
            received_bytes=received_bytes,
            expires_at=expires_at,
        )

    def complete(
        self, owner_id: str, file_id: str, *, size_bytes: int, sha256: str, duration_s: float | None = None
    ) -> FileRecord:
        """The bytes are in the blob store. Saying so again changes nothing. Raises NotFound."""
        self._update(
            owner_id,
            file_id,
            sa.true(),
            state="stored",
            size_bytes=size_bytes,
            received_bytes=size_bytes,
            sha256=sha256,
            duration_s=duration_s,
            expires_at=None,
        )
        return self.find(owner_id, file_id)

    def find(self, owner_id: str, file_id: str) -> FileRecord:
        """Raises NotFound, also when it is somebody else's."""
        with self._database.reading() as session:
            file = session.scalar(sa.select(File).where(File.owner_id == owner_id, File.id == file_id))
            if file is None:
                raise _missing()
            return _record(file)

    def find_all(self, owner_id: str, file_ids: Sequence[str]) -> dict[str, FileRecord]:
        """Those of the files that there are and that are the owner's, by their ids."""
        query = sa.select(File).where(File.owner_id == owner_id, File.id.in_(file_ids))
        with self._database.reading() as session:
            return {file.id: _record(file) for file in session.scalars(query)}

    def list(
        self, owner_id: str, *, limit: int, after: str | None = None, kind: FileKind | None = None
    ) -> list[FileRecord]:
        """The newest first; `after` is the last one of the page before."""
        query = sa.select(File).where(File.owner_id == owner_id).order_by(File.id.desc()).limit(limit)
        if after is not None:
            query = query.where(File.id < after)
        if kind is not None:
            query = query.where(File.kind == kind)
        with self._database.reading() as session:
            return [_record(file) for file in session.scalars(query)]

    def delete(self, owner_id: str, file_id: str) -> FileRecord:
        """Forget the file and what search knows of it; the caller deletes its blob. Raises NotFound."""
        with self._database.writing() as session:
            file = session.scalar(sa.select(File).where(File.owner_id == owner_id, File.id == file_id))
            if file is None:
                raise _missing()
            if file.job_id is not None:
                _forget_lines(session, file)
            session.delete(file)
            return _record(file)

    def used_bytes(self, owner_id: str) -> int:
        """What counts against the owner's quota; unfinished uploads count whole."""
        with self._database.reading() as session:
            return _used_bytes(session, owner_id)

    def expired(self, at: datetime, storage: StorageSettings) -> Iterator[FileRecord]:
        """Everybody's files whose time is over, for the sweeper, which deletes each by its owner.

        Those it leaves come again only in the next sweep.
        """
        last = ""
        while True:
            with self._database.reading() as session:
                query = sa.select(File).where(File.id > last, _is_over(at, storage))
                page = [_record(file) for file in session.scalars(query.order_by(File.id).limit(BATCH))]
            yield from page
            if len(page) < BATCH:
                return
            last = page[-1].id

    def unknown_keys(self, keys: Sequence[str]) -> set[str]:
        """Those of `keys` that belong to no file of anybody, for the sweeper."""
        with self._database.reading() as session:
            known = set(session.scalars(sa.select(File.blob_key).where(File.blob_key.in_(keys))))
        return set(keys) - known

    def not_receiving(self, file_ids: Sequence[str]) -> set[str]:
        """Those of `file_ids` that are no unfinished upload of anybody, for the sweeper."""
        with self._database.reading() as session:
            query = sa.select(File.id).where(File.id.in_(file_ids), File.state == "receiving")
            return set(file_ids) - set(session.scalars(query))

    def _update(
        self, owner_id: str, file_id: str, condition: sa.ColumnElement[bool], **values: Any
    ) -> None:
        with self._database.writing() as session:
            statement = sa.update(File).where(File.owner_id == owner_id, File.id == file_id, condition)
            cast(CursorResult[Any], session.execute(statement.values(**values)))


def clean_name(name: str) -> str:
    """The last part of a path, without control characters and of bounded length; "file" if none is left."""
    last = re.split(r"[/\\]", name)[-1]
    plain = "".join(
        letter for letter in last if unicodedata.category(letter) not in {"Cc", "Cs", "Zl", "Zp"}
    )
    plain = plain.strip()
    if plain in {"", ".", ".."}:
        return "file"
    if len(plain) <= MAX_NAME_CHARACTERS:
        return plain
    stem, dot, suffix = plain.rpartition(".")
    if not dot or len(suffix) > 16:
        return plain[:MAX_NAME_CHARACTERS]
    return stem[: MAX_NAME_CHARACTERS - len(suffix) - 1] + dot + suffix


def media_type_of(name: str, given: str | None = None) -> str:
    """The given media type where it is one and says something, else what the name's ending tells."""
    plain = (given or "").partition(";")[0].strip().lower()
    if _MEDIA_TYPE.fullmatch(plain) and plain != UNKNOWN_TYPE:
        return plain
    _, dot, suffix = name.lower().rpartition(".")
    return _TYPES.get(suffix) or _KNOWN_TYPES.types_map[True].get(dot + suffix, UNKNOWN_TYPE)


def _forget_lines(session: Session, file: File) -> None:
    """Take what was said out of search, when the file is a document that holds it."""
    task = sa.select(Result.number).where(
        Result.job_id == file.job_id, Result.file_id == file.id, Result.kind.in_(_SPOKEN)
    )
    session.execute(
        sa.delete(TranscriptLine).where(
            TranscriptLine.owner_id == file.owner_id,
            TranscriptLine.job_id == file.job_id,
            TranscriptLine.number.in_(task),
        )
    )


def _check_quota(session: Session, owner: User, quota_bytes: int, size_bytes: int) -> None:
    allowed = quota_bytes if owner.quota_bytes is None else owner.quota_bytes
    used = _used_bytes(session, owner.id)
    if used + size_bytes > allowed:
        raise QuotaExceeded(
            f"You keep {used / 1e6:.1f} MB of the {allowed / 1e6:g} MB that you may.",
            hint="Delete files that are no longer needed.",
            used_bytes=used,
            quota_bytes=allowed,
        )


def _used_bytes(session: Session, owner_id: str) -> int:
    total = sa.func.coalesce(sa.func.sum(File.size_bytes), 0)
    return int(session.scalar(sa.select(total).where(File.owner_id == owner_id)) or 0)


def _is_over(at: datetime, storage: StorageSettings) -> sa.ColumnElement[bool]:
    """Retention is reckoned from the settings of today, so that a shorter one holds for what is there."""
    is_recording, is_transcript = File.kind == "recording", File.media_type == TRANSCRIPT_TYPE
    cases = [sa.and_(File.state == "receiving", File.expires_at <= at)]
    for kind, kept_s in (
        (is_recording, storage.recording_retention_s),
        (sa.and_(is_transcript, sa.not_(is_recording)), storage.transcript_retention_s),
        (sa.not_(sa.or_(is_transcript, is_recording)), storage.audio_retention_s),
    ):
        if kept_s is not None:
            limit = at - timedelta(seconds=kept_s)
            cases.append(sa.and_(File.state == "stored", kind, File.created_at <= limit))
    return sa.or_(*cases)


def _record(file: File) -> FileRecord:
    return FileRecord(
        id=file.id,
        owner_id=file.owner_id,
        kind=cast(FileKind, file.kind),
        name=file.name,
        media_type=file.media_type,
        state=cast(FileState, file.state),
        size_bytes=file.size_bytes,
        received_bytes=file.received_bytes,
        sha256=file.sha256,
        blob_key=file.blob_key,
        duration_s=file.duration_s,
        job_id=file.job_id,
        created_at=file.created_at,
        expires_at=file.expires_at,
    )


def _missing() -> NotFound:
    return NotFound("You have no such file.", hint="See GET /v1/files.")
