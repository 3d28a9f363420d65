"""Sweeping: what nobody may or can use any more is removed.

What lives here: one sweep, made to be called again and again: unfinished uploads whose time is over, sound,
transcripts and voices past their retention, bytes without a record. What does not: when it is called.

A sweep may be killed at any moment and may run in several processes at once: each step leaves what the next
sweep finishes, and removing what is gone already does nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from itertools import islice
from typing import Any, cast

import sqlalchemy as sa
from sqlalchemy.engine import CursorResult

from clearcast.errors import NotFound, UploadBusy
from clearcast.settings import Settings
from clearcast.storage.blobs import BlobStore
from clearcast.storage.database import Database
from clearcast.storage.files import BATCH, FileRecord, FileRecords
from clearcast.storage.intake import INCOMING, Intake
from clearcast.storage.tables import Job, TranscriptLine, User
from clearcast.storage.voice_store import VoiceStore

logger = logging.getLogger(__name__)

ORPHAN_AGE = timedelta(days=1)
"""Bytes without a record are left alone for so long: one cannot look at both at the same moment."""


@dataclass(frozen=True, slots=True)
class Swept:
    """How many of each were removed."""

    uploads: int = 0
    recordings: int = 0
    transcripts: int = 0
    transcript_lines: int = 0
    voices: int = 0
    parts: int = 0
    blobs: int = 0


def sweep(database: Database, blobs: BlobStore, settings: Settings, now: datetime) -> Swept:
    """Remove whatever is over at `now` (UTC). Blocking; raises ServiceUnavailable."""
    intake = Intake(database, blobs, settings)
    dropped = [
        record for record in intake.records.expired(now, settings.storage) if _is_dropped(intake, record)
    ]
    uploads = sum(not record.is_stored for record in dropped)
    transcripts = sum(record.is_stored and record.is_transcript for record in dropped)
    swept = Swept(
        uploads=uploads,
        recordings=len(dropped) - uploads - transcripts,
        transcripts=transcripts,
        transcript_lines=_forget_lines(database, settings.storage.transcript_retention_s, now),
        voices=expire_voices(
            VoiceStore(settings.data_path), _owner_ids(database), now, settings.storage.voice_retention_s
        ),
        parts=_remove_parts(intake, now),
        blobs=_remove_blobs(intake.records, blobs, now),
    )
    counts = {name: count for name, count in asdict(swept).items() if count}
    if counts:
        logger.info("swept", extra=counts)
    return swept


def expire_voices(
    store: VoiceStore, owner_ids: Iterable[str], now: datetime, retention_s: float | None
) -> int:
    """Erase the voices enrolled longer ago than that; the audit log says so of each. Gives their number."""
    if retention_s is None:
        return 0
    limit = now - timedelta(seconds=retention_s)
    return sum(len(store.erase_older(owner_id, limit)) for owner_id in owner_ids)


def _is_dropped(intake: Intake, record: FileRecord) -> bool:
    """Whether the file is gone by our hand; an upload to which a part is arriving now is not."""
    try:
        if record.is_stored:
            intake.drop(record.owner_id, record.id)
        else:
            with intake.parts.held(record.id):
                intake.drop(record.owner_id, record.id)
    except (NotFound, UploadBusy):
        return False
    return True


def _forget_lines(database: Database, retention_s: float | None, now: datetime) -> int:
    """What search knows of transcripts goes with them."""
    if retention_s is None:
        return 0
    # Not by the line's own time, which is that of the recording.
    limit = now - timedelta(seconds=retention_s)
    old = TranscriptLine.job_id.in_(sa.select(Job.id).where(Job.created_at <= limit))
    with database.writing() as session:
        result = session.execute(sa.delete(TranscriptLine).where(old))
        return cast(CursorResult[Any], result).rowcount


def _owner_ids(database: Database) -> list[str]:
    with database.reading() as session:
        return list(session.scalars(sa.select(User.id)))


def _remove_parts(intake: Intake, now: datetime) -> int:
    """Parts of uploads that are finished, dropped or never announced."""
    limit_s = (now - ORPHAN_AGE).timestamp()
    old = {file_id for file_id, changed_s in intake.parts.ids() if changed_s <= limit_s}
    orphans = intake.records.not_receiving(sorted(old)) if old else set()
    for file_id in orphans:
        intake.parts.drop(file_id)
    return len(orphans)


def _remove_blobs(records: FileRecords, blobs: BlobStore, now: datetime) -> int:
    """Blobs of files whose record is gone, and presigned uploads that nobody may complete any more."""
    removed = 0
    for keys in _batches(blobs.keys("files/")):
        removed += sum(_is_removed(blobs, key, now) for key in records.unknown_keys(keys))
    for keys in _batches(blobs.keys(INCOMING)):
        waiting = {key.removeprefix(INCOMING) for key in keys}
        orphans = records.not_receiving(sorted(waiting))
        removed += sum(_is_removed(blobs, INCOMING + file_id, now) for file_id in orphans)
    return removed


def _is_removed(blobs: BlobStore, key: str, now: datetime) -> bool:
    found = blobs.stat(key)
    if found is None or found.modified_at > now - ORPHAN_AGE:
        return False
    blobs.delete(key)
    return True


def _batches(keys: Iterator[str]) -> Iterator[list[str]]:
    while batch := list(islice(keys, BATCH)):
        yield batch
