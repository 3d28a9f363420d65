"""Taking files in: from the announcement to a record that says "stored", whatever is killed in between.

What lives here: the steps that keep record, part file and blob in agreement. The record comes first and
goes first, so bytes without a record are rubbish, which the sweeper may remove. What does not: HTTP.

Each step may be repeated: after a kill, the next request for the upload (or the sweeper) does what is left.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

from sqlalchemy.orm import Session

from clearcast.errors import NotFound, StorageFull, UploadBusy, UploadTooLarge
from clearcast.settings import Settings
from clearcast.storage.blobs import BlobStore
from clearcast.storage.database import Database
from clearcast.storage.files import FileRecord, FileRecords
from clearcast.storage.parts import PartFile, PartFiles
from clearcast.storage.tables import now

INCOMING = "incoming/"
"""Where presigned uploads arrive: their sender may write there until the address expires."""


@dataclass(frozen=True, slots=True)
class Presigned:
    record: FileRecord
    url: str


class Intake:
    """Everything here blocks."""

    def __init__(self, database: Database, blobs: BlobStore, settings: Settings) -> None:
        self.records = FileRecords(database)
        self.parts = unfinished_uploads(settings)
        self._blobs = blobs
        self._settings = settings

    def announce(self, owner_id: str, name: str, media_type: str | None, size_bytes: int) -> FileRecord:
        """A record for an upload of this size. Raises UploadTooLarge, QuotaExceeded."""
        most = self._settings.audio.max_upload_bytes
        if size_bytes > most:
            raise too_large(most)
        return self.records.create(
            owner_id,
            name=name,
            media_type=media_type,
            size_bytes=size_bytes,
            quota_bytes=self._settings.storage.quota_bytes,
            expires_at=self.expiry(),
        )

    def expiry(self) -> datetime:
        """When an upload is dropped to which something happens now."""
        return now() + timedelta(seconds=self._settings.storage.upload_expiry_s)

    def find(self, owner_id: str, file_id: str) -> FileRecord:
        """The upload as it is. One whose last byte arrived just before a kill is finished now.

        `received_bytes` is what lies on the disk. Raises NotFound, also when it has expired.
        """
        record = self.records.find(owner_id, file_id)
        if record.is_stored:
            return record
        if record.expires_at is not None and record.expires_at <= now():
            raise NotFound("The upload has expired.", hint="Begin it again.")
        size = self.parts.size_bytes(file_id)
        if size == record.size_bytes or (not size and self._has_blob(record)):
            try:
                with self.parts.held(file_id) as part:
                    return self.finish(record, part)
            except UploadBusy:
                return self.records.find(owner_id, file_id)  # another request is finishing it
        return replace(record, received_bytes=size or 0)

    def finish(self, record: FileRecord, part: PartFile) -> FileRecord:
        """The last byte is in `part`, which the caller holds: to the blob store with it."""
        if part.size_bytes < record.size_bytes and self._has_blob(record):
            # Killed after the file was moved and before the record said so: `held` made a new, empty file.
            self.parts.drop(record.id)
            sha256 = _sha256(self._blobs.read(record.blob_key))
        else:
            try:
                with part.path.open("rb") as file:
                    sha256 = hashlib.file_digest(file, "sha256").hexdigest()
                self._blobs.put_file(record.blob_key, part.path)
            except FileNotFoundError as error:
                raise NotFound("The upload was deleted.") from error
        return self._complete(record, record.size_bytes, sha256)

    def take_file(self, owner_id: str, name: str, media_type: str | None, source: Path) -> FileRecord:
        """Take in a whole local file, which is gone afterwards. Raises UploadTooLarge, QuotaExceeded."""
        return self._move_in(self.announce(owner_id, name, media_type, source.stat().st_size), source)

    def take_recording(
        self, owner_id: str, name: str, source: Path, link: Callable[[Session, str], None]
    ) -> FileRecord:
        """As `take_file`, for what a live room left: of any size, also beyond the quota, against which it
        counts. `link` notes with the record what the file belongs to.

        Raises NotFound when there is no such owner, StorageFull, what `link` raises.
        """
        record = self.records.create(
            owner_id,
            name=name,
            size_bytes=source.stat().st_size,
            kind="recording",
            expires_at=self.expiry(),
            also=link,
        )
        return self._move_in(record, source)

    def presign(
        self, owner_id: str, name: str, media_type: str | None, size_bytes: int, expires_s: int
    ) -> Presigned:
        """An address to put the bytes to.

        Raises UploadTooLarge, QuotaExceeded, NotFound where the store has no such addresses.
        """
        record = self.announce(owner_id, name, media_type, size_bytes)
        url = self._blobs.presigned_put(INCOMING + record.id, expires_s)
        if url is None:
            self.drop(owner_id, record.id)
            raise NotFound(
                "This server keeps files by itself, so there are no presigned addresses.",
                hint="Upload in parts: POST /v1/uploads.",
            )
        return Presigned(record, url)

    def complete_presigned(self, owner_id: str, file_id: str) -> FileRecord:
        """The sender says that all is there. Raises NotFound when it is not, UploadTooLarge."""
        record = self.records.find(owner_id, file_id)
        if record.is_stored:
            return record
        incoming = self._blobs.stat(INCOMING + file_id)
        if incoming is not None and incoming.size_bytes > record.size_bytes:
            self.drop(owner_id, file_id)
            raise too_large(record.size_bytes)
        if incoming is not None:
            # To a key that the address does not reach: nobody can change the bytes once they are measured.
            self._blobs.move(INCOMING + file_id, record.blob_key)
        found = self._blobs.stat(record.blob_key)
        if found is None:
            raise NotFound(
                "Nothing has arrived at the presigned address.", hint="PUT the file there first."
            )
        if found.size_bytes > record.size_bytes:
            self.drop(owner_id, file_id)
            raise too_large(record.size_bytes)
        return self._complete(record, found.size_bytes, _sha256(self._blobs.read(record.blob_key)))

    def drop(self, owner_id: str, file_id: str) -> FileRecord:
        """Remove a file and its bytes, finished or not. Raises NotFound."""
        record = self.records.delete(owner_id, file_id)
        if not record.is_stored:
            self.parts.drop(file_id)
            self._blobs.delete(INCOMING + file_id)
        self._blobs.delete(record.blob_key)
        return record

    def resume_recording(self, record: FileRecord, source: Path) -> FileRecord:
        """Go on with a `take_recording` that was killed. Raises NotFound when no sound is left."""
        if record.is_stored:
            source.unlink(missing_ok=True)
            return record
        if source.exists():
            return self._move_in(record, source)
        found = self._blobs.stat(record.blob_key)  # killed between the file's move and the record's word
        if found is None:
            raise NotFound("The sound of this recording is gone.")
        return self._complete(record, found.size_bytes, _sha256(self._blobs.read(record.blob_key)))

    def _move_in(self, record: FileRecord, source: Path) -> FileRecord:
        try:
            size_bytes = source.stat().st_size
            with source.open("rb") as file:
                sha256 = hashlib.file_digest(file, "sha256").hexdigest()
            self._blobs.put_file(record.blob_key, source)
            return self._complete(record, size_bytes, sha256)
        except StorageFull:
            self.drop(record.owner_id, record.id)
            raise

    def _complete(self, record: FileRecord, size_bytes: int, sha256: str) -> FileRecord:
        try:
            return self.records.complete(record.owner_id, record.id, size_bytes=size_bytes, sha256=sha256)
        except NotFound:
            self._blobs.delete(record.blob_key)  # its owner deleted it meanwhile
            raise

    def _has_blob(self, record: FileRecord) -> bool:
        found = self._blobs.stat(record.blob_key)
        return found is not None and found.size_bytes == record.size_bytes


def unfinished_uploads(settings: Settings) -> PartFiles:
    """Where uploads lie while their parts arrive."""
    return PartFiles(settings.data_path / "uploads")


def too_large(max_bytes: int) -> UploadTooLarge:
    return UploadTooLarge(
        f"This upload may hold {max_bytes / 1e6:g} MB.",
        hint="Send a compressed format, or raise audio.max_upload_bytes.",
        max_bytes=max_bytes,
    )


def _sha256(pieces: Iterable[bytes]) -> str:
    digest = hashlib.sha256()
    for piece in pieces:
        digest.update(piece)
    return digest.hexdigest()
