"""Erasing a person with everything that is kept about them, with proof.

The first step closes the account and writes down what there is: a count of each kind, and one SHA-256 over
the ids and checksums. The others erase it, and can be done again any number of times: an erasure that was
killed half-way is finished by asking for it again, or by the next start of the service. What is left are
lines of the audit log, which hold no personal data. What does not live here: the export (`data_export.py`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from clearcast.accounts import audit
from clearcast.accounts.principal import LOCAL, PrincipalCache
from clearcast.errors import Conflict, NotFound
from clearcast.search.transcripts import TranscriptIndex
from clearcast.storage.blobs import BlobStore
from clearcast.storage.database import Database
from clearcast.storage.intake import INCOMING
from clearcast.storage.parts import PartFiles
from clearcast.storage.tables import (
    ApiKey,
    AuditLine,
    File,
    Job,
    OneTimeCode,
    QueueShare,
    RefreshToken,
    Result,
    Room,
    RoomRecording,
    RoomToken,
    Task,
    Tie,
    TranscriptLine,
    User,
    WebhookDelivery,
    now,
)
from clearcast.storage.voice_store import VoiceStore, record_hash

BATCH_FILES = 100


@dataclass(frozen=True, slots=True)
class Proof:
    """Attributes:
    counts: how many files, jobs, results, transcript lines, voices, keys, ties, rooms, recordings of rooms
        and room tokens there were.
    sha256: over one line "<kind> <id> <checksum>" for each of them, by kind and then by id.
    """

    user_id: str
    counts: dict[str, int]
    sha256: str
    erased_at: datetime


class DataRights:
    def __init__(
        self,
        database: Database,
        blobs: BlobStore,
        voices: VoiceStore,
        cache: PrincipalCache | None = None,
        parts: PartFiles | None = None,
    ) -> None:
        """`parts`: where unfinished uploads lie, if anywhere."""
        self._database = database
        self._blobs = blobs
        self._voices = voices
        self._cache = cache or PrincipalCache()
        self._parts = parts
        self._index = TranscriptIndex(database)

    def erase(self, user_id: str) -> Proof:
        """Erase this person, or finish it. Raises NotFound, and Conflict for whom nobody may erase."""
        facts = self._begin(user_id)
        self._cache.forget(user_id)
        for voice in self._voices.list(user_id):
            with suppress(NotFound):  # another process does the same
                self._voices.erase(user_id, voice.name)
        erased_at = None
        while erased_at is None:
            self._erase_files(user_id)
            self._erase_stages(user_id)
            erased_at = self._finish(user_id, facts)
        self._index.compact()
        return Proof(user_id, facts["counts"], facts["sha256"], erased_at)

    def unfinished(self) -> tuple[str, ...]:
        """Ids of those whose erasure was begun and not ended."""
        query = sa.select(User.id).where(
            User.id.in_(sa.select(AuditLine.owner_id).where(AuditLine.event == audit.ERASURE_BEGUN))
        )
        with self._database.reading() as session:
            return tuple(session.scalars(query))

    def _begin(self, user_id: str) -> dict[str, Any]:
        """Close the account and write down what there is. The facts of the first time count."""
        if user_id == LOCAL:
            raise Conflict("This person is everybody: without keys there is one account only.")
        voices = sorted(record_hash(voice) for voice in self._voices.list(user_id))
        with self._database.writing() as session:
            user = session.get(User, user_id)
            if user is None:
                raise NotFound("There is no such person.")
            begun = sa.select(AuditLine.facts).where(
                AuditLine.owner_id == user_id, AuditLine.event == audit.ERASURE_BEGUN
            )
            facts = session.scalar(begun.limit(1))
            if facts is None:
                facts = _inventory(session, user_id, voices)
                audit.note(session, audit.ERASURE_BEGUN, user_id, **facts)
            user.is_disabled, user.password_hash = True, None
            for table in (RefreshToken, OneTimeCode, ApiKey):
                session.execute(sa.delete(table).where(table.owner_id == user_id))
            tasks = sa.update(Task).where(Task.owner_id == user_id)
            session.execute(tasks.where(Task.state == "queued").values(state="cancelled"))
            session.execute(tasks.values(is_cancel_wanted=True))
            return facts

    def _erase_files(self, user_id: str) -> None:
        query = sa.select(File.id, File.blob_key, File.state).where(File.owner_id == user_id)
        while True:
            with self._database.reading() as session:
                files = session.execute(query.limit(BATCH_FILES)).all()
            if not files:
                return
            for row in files:
                # Before its record: no bytes are left without one.
                self._blobs.delete(row.blob_key)
                if row.state == "receiving":
                    self._blobs.delete(INCOMING + row.id)
                    if self._parts is not None:
                        self._parts.drop(row.id)
            with self._database.writing() as session:
                session.execute(sa.delete(File).where(File.id.in_([row.id for row in files])))

    def _erase_stages(self, user_id: str) -> None:
        """What unfinished jobs kept so as to go on; their runner stops, and removes what it still wrote."""
        unfinished = sa.select(Task.job_id).where(Task.owner_id == user_id, Task.state != "succeeded")
        with self._database.reading() as session:
            job_ids = session.scalars(unfinished.distinct()).all()
        for job_id in job_ids:
            for key in list(self._blobs.keys(f"jobs/{job_id}/")):
                self._blobs.delete(key)

    def _finish(self, user_id: str, facts: dict[str, Any]) -> datetime | None:
        """Erase all records; None when a file has come meanwhile, from work that was under way."""
        with self._database.writing() as session:
            # On PostgreSQL: jobs before their owner, as the runner does, so that none waits for the other.
            session.execute(sa.select(Job.id).where(Job.owner_id == user_id).with_for_update())
            user = session.get(User, user_id, with_for_update=True)  # no new rows of theirs
            if session.scalar(sa.select(File.id).where(File.owner_id == user_id).limit(1)) is not None:
                return None
            for table in (TranscriptLine, Result, Task, Job, WebhookDelivery, QueueShare):
                session.execute(sa.delete(table).where(table.owner_id == user_id))
            if user is not None:
                session.delete(user)  # keys, tokens, ties and rooms go with it
                audit.note(session, audit.USER_ERASED, user_id, **facts)
            return now()


def _inventory(session: Session, user_id: str, voices: list[str]) -> dict[str, Any]:
    counts: dict[str, int] = {}
    digest = hashlib.sha256()
    for kind, found in (
        ("files", _rows(session, sa.select(File.id, File.sha256), File.owner_id, user_id)),
        ("jobs", _rows(session, sa.select(Job.id), Job.owner_id, user_id)),
        ("keys", _rows(session, sa.select(ApiKey.id), ApiKey.owner_id, user_id)),
        ("recordings", _rows(session, sa.select(RoomRecording.id), RoomRecording.owner_id, user_id)),
        (
            "results",
            _rows(session, sa.select(Result.job_id, Result.number, Result.name), Result.owner_id, user_id),
        ),
        ("room_tokens", _rows(session, sa.select(RoomToken.id), RoomToken.owner_id, user_id)),
        ("rooms", _rows(session, sa.select(Room.id), Room.owner_id, user_id)),
        ("ties", _rows(session, sa.select(Tie.other_id), Tie.owner_id, user_id)),
        (
            "transcript_lines",
            _rows(session, sa.select(TranscriptLine.id), TranscriptLine.owner_id, user_id),
        ),
        ("voices", ((checksum,) for checksum in voices)),
    ):
        counts[kind] = 0
        for row in found:
            counts[kind] += 1
            digest.update(f"{kind} {' '.join(str(value) for value in row if value is not None)}\n".encode())
    return {"counts": counts, "sha256": digest.hexdigest()}


def _rows(session: Session, query: Any, owner: Any, user_id: str) -> Iterator[Any]:
    columns = query.selected_columns
    ordered = query.where(owner == user_id).order_by(*columns).execution_options(yield_per=1000)
    yield from session.execute(ordered)
