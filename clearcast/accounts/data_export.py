"""Everything that is kept about a person, as one zip archive, made while it is sent.

What lives here: the archive. Memory stays flat: records are read by pages, blobs by pieces. What does not:
erasure (`data_rights.py`).

    account.json       the account and its keys, without secrets
    friends.json       friends, requests, blocks
    voices.json        enrolled voices, as `clearcast voices import` takes them
    rooms.json         live rooms with their invitations, tokens (without secrets) and recordings
    jobs.json          jobs with their tasks and results
    transcripts.json   every utterance
    files.json         what files there are; files/<id>/<name> are their bytes
    audit.json         the person's lines of the audit log
"""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Iterator, Set
from dataclasses import asdict
from datetime import date
from typing import Any

import sqlalchemy as sa

from clearcast.accounts.api_keys import ApiKeys
from clearcast.accounts.friends import Friends
from clearcast.errors import NotFound
from clearcast.storage.blobs import BlobStore
from clearcast.storage.database import Database
from clearcast.storage.tables import (
    AuditLine,
    File,
    Job,
    Result,
    Room,
    RoomInvite,
    RoomRecording,
    RoomRecordingFile,
    RoomToken,
    Table,
    Task,
    TranscriptLine,
    User,
)
from clearcast.storage.voice_store import VoiceStore

PAGE_ROWS = 200
_SECRET = frozenset({"password_hash", "name_key", "blob_key", "idempotency_key", "request_sha256", "place"})


class _Sink:
    """What `zipfile` has written and nobody has taken yet. It cannot seek, so sizes follow the data."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []

    def write(self, data: bytes) -> int:
        self._pieces.append(bytes(data))
        return len(data)

    def flush(self) -> None:
        pass

    def take(self) -> bytes:
        taken = b"".join(self._pieces)
        self._pieces.clear()
        return taken


class DataExport:
    def __init__(self, database: Database, blobs: BlobStore, voices: VoiceStore) -> None:
        self._database = database
        self._blobs = blobs
        self._voices = voices

    def pieces(self, user_id: str) -> Iterator[bytes]:
        """The archive of this person. Raises NotFound."""
        sink = _Sink()
        with zipfile.ZipFile(sink, "w") as archive:  # type: ignore[call-overload]  # needs write() only
            for name, content in self._documents(user_id):
                yield from _entry(archive, sink, name, content, zipfile.ZIP_DEFLATED)
            for row in self._rows(File, user_id):
                if self._blobs.stat(row.blob_key) is not None:
                    name = f"files/{row.id}/{_safe(row.name)}"
                    # Sound is compressed already.
                    yield from _entry(archive, sink, name, self._bytes(row), zipfile.ZIP_STORED)
        yield sink.take()

    def _documents(self, user_id: str) -> Iterator[tuple[str, Iterator[bytes]]]:
        account = self._account(user_id)
        friends = asdict(Friends(self._database).circle(user_id))
        yield "account.json", iter([_json(account)])
        yield "friends.json", iter([_json(friends)])
        yield "voices.json", iter([self._voices.export(user_id).encode()])
        yield "rooms.json", _array(map(self._room, self._rows(Room, user_id)))
        yield "jobs.json", _array(map(self._job, self._rows(Job, user_id)))
        yield "transcripts.json", _array(map(_fields, self._rows(TranscriptLine, user_id)))
        yield "files.json", _array(map(_fields, self._rows(File, user_id)))
        yield "audit.json", _array(map(_fields, self._rows(AuditLine, user_id)))

    def _account(self, user_id: str) -> dict[str, Any]:
        with self._database.reading() as session:
            user = session.get(User, user_id)
        if user is None:
            raise NotFound("There is no such person.")
        keys = [asdict(record) for record in ApiKeys(self._database).list(user_id)]
        return {**_fields(user), "has_password": user.password_hash is not None, "keys": keys}

    def _job(self, job: Job) -> dict[str, Any]:
        tasks = sa.select(Task).where(Task.job_id == job.id).order_by(Task.number)
        results = sa.select(Result).where(Result.job_id == job.id).order_by(Result.number, Result.name)
        with self._database.reading() as session:
            return {
                **_fields(job),
                "tasks": [_fields(task) for task in session.scalars(tasks)],
                "results": [_fields(result) for result in session.scalars(results)],
            }

    def _room(self, room: Room) -> dict[str, Any]:
        def of(table: Any, *order: Any) -> sa.Select[Any]:
            return sa.select(table).where(table.room_id == room.id).order_by(*order)

        kept = (
            sa.select(RoomRecordingFile)
            .join(RoomRecording, RoomRecording.id == RoomRecordingFile.recording_id)
            .where(RoomRecording.room_id == room.id)
            .order_by(RoomRecordingFile.file_id)
        )
        with self._database.reading() as session:
            invites = session.scalars(of(RoomInvite, RoomInvite.name_key))
            tokens = session.scalars(of(RoomToken, RoomToken.id))
            recordings = session.scalars(of(RoomRecording, RoomRecording.id))
            return {
                **_fields(room),
                "invites": [{"name": one.name, "created_at": one.created_at} for one in invites],
                "tokens": [_fields(token, {"sha256"}) for token in tokens],
                "recordings": [_fields(recording) for recording in recordings],
                "recording_files": [_fields(file) for file in session.scalars(kept)],
            }

    def _rows(self, table: Any, user_id: str) -> Iterator[Any]:
        """The person's rows of a table that has `id` and `owner_id`, in the order of their ids."""
        last: Any = None
        while True:
            query = sa.select(table).where(table.owner_id == user_id).order_by(table.id).limit(PAGE_ROWS)
            if last is not None:
                query = query.where(table.id > last)
            with self._database.reading() as session:
                rows = session.scalars(query).all()
            yield from rows
            if len(rows) < PAGE_ROWS:
                return
            last = rows[-1].id

    def _bytes(self, row: File) -> Iterator[bytes]:
        try:
            yield from self._blobs.read(row.blob_key)
        except NotFound:
            return  # expired a moment ago


def _entry(
    archive: zipfile.ZipFile, sink: _Sink, name: str, content: Iterator[bytes], compression: int
) -> Iterator[bytes]:
    info = zipfile.ZipInfo(name)
    info.compress_type = compression
    info.external_attr = 0o600 << 16
    with archive.open(info, "w", force_zip64=True) as entry:
        for piece in content:
            entry.write(piece)
            yield sink.take()


def _array(items: Iterator[Any]) -> Iterator[bytes]:
    opening = b"[\n"
    for item in items:
        yield opening + _json(item)
        opening = b",\n"
    yield b"[]\n" if opening == b"[\n" else b"\n]\n"


def _json(content: Any) -> bytes:
    return json.dumps(content, ensure_ascii=False, default=_text).encode()


def _text(value: Any) -> str:
    assert isinstance(value, date), type(value)
    return value.isoformat()


def _fields(row: Table, secret: Set[str] = frozenset()) -> dict[str, Any]:
    columns = sa.inspect(type(row)).columns.keys()
    return {name: getattr(row, name) for name in columns if name not in _SECRET | secret}


def _safe(name: str) -> str:
    """A file name that no unpacker can be led astray with."""
    return re.sub(r"[^\w .()-]", "_", name.strip(". "))[:120] or "file"
