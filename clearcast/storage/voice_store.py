"""Where enrolled voices are kept between requests: one file per owner.

What lives here: `VoiceStore`, safe for several processes at once. What does not: the voices themselves and
their file format (`voices`), and who may ask for whose (`auth`).

Files, all readable by the service's own user alone:

    <data_dir>/voices/<owner id>.json    the owner's `VoiceBook`, as it would be exported
    <data_dir>/voices/<owner id>.lock    held while the book is changed
    <data_dir>/audit.log                 one JSON line for each voice erased; no names, no voiceprints
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import re
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from clearcast.errors import OptionInvalid, StorageFull, UploadTooLarge
from clearcast.storage.voices import (
    MAX_FILE_BYTES,
    Voice,
    VoiceBook,
    VoiceSample,
    load_voices,
    name_key,
    read_voices,
    voice_record,
    write_voices,
)

_OWNER_ID = re.compile(r"[a-z0-9_-]{1,64}")
ImportMode = Literal["merge", "replace"]


@dataclass(frozen=True, slots=True)
class Erasure:
    """Proof that a voice is gone.

    Attributes:
        name: the name it had; not in the audit log.
        samples: how many voiceprints it had.
        record_sha256: SHA-256 of the voice as `record_hash` writes it. Who holds an export can show with it
            what was erased; without one it tells nothing about the person.
        erased_at: UTC.
    """

    owner_id: str
    name: str
    samples: int
    record_sha256: str
    erased_at: datetime


class VoiceStore:
    """Voices by owner. Owners never see each other's.

    This class is the contract of voice storage: callers use these methods only, and a store over SQL will
    have the same ones with the same meaning, errors and promises:

    - A change is whole or not there at all, whenever the process is killed, and it is on disk on return.
    - Changes from several processes and threads happen one after the other; none is lost.
    - Reading never waits and sees the book before or after a change, never in between.
    - `erase` leaves neither name nor voiceprint behind and gives proof.

    Every method raises OptionInvalid for an owner id other than 1–64 of a–z, 0–9, "_" and "-"; those that
    change something raise UploadTooLarge or StorageFull when there is no room.
    """

    def __init__(self, data_dir: Path) -> None:
        self._folder = data_dir / "voices"
        self._audit_path = data_dir / "audit.log"

    def book(self, owner_id: str) -> VoiceBook:
        """All voices of the owner; an empty book when there are none."""
        path = self._path(owner_id)
        return load_voices(path) if path.exists() else VoiceBook()

    def list(self, owner_id: str) -> tuple[Voice, ...]:
        """All voices of the owner, in the order of their names."""
        return tuple(sorted(self.book(owner_id), key=lambda voice: name_key(voice.name)))

    def get(self, owner_id: str, name: str) -> Voice:
        """Raises NotFound."""
        return self.book(owner_id).get(name)

    def put_sample(self, owner_id: str, name: str, sample: VoiceSample) -> Voice:
        """Add a sample to the voice, which is made when there is none; one it has already changes nothing.

        Raises OptionInvalid for a name that cannot be, Conflict for a sample of another dimension.
        """
        return self._change(owner_id, lambda book: book.add_sample(name, sample)).get(name)

    def rename(self, owner_id: str, name: str, new_name: str) -> Voice:
        """Raises NotFound, OptionInvalid, or Conflict when another voice has the new name."""
        return self._change(owner_id, lambda book: book.rename(name, new_name)).get(new_name)

    def erase(self, owner_id: str, name: str) -> Erasure:
        """Remove the voice with all its samples. Raises NotFound."""
        with self._locked(owner_id):
            book = self.book(owner_id)
            voice = book.get(name)
            self._write(owner_id, book.remove(name))
            return self._log_erasures(owner_id, [voice])[0]

    def erase_older(self, owner_id: str, enrolled_before: datetime) -> tuple[Erasure, ...]:
        """Remove the voices enrolled before that moment, as `erase` does.

        A voice that came from a file without its time counts from the first time it is looked at here.
        """
        if not self._path(owner_id).exists():
            return ()
        with self._locked(owner_id):
            book = self.book(owner_id)
            gone = [voice for voice in book if voice.created_at and voice.created_at < enrolled_before]
            if not gone and all(voice.created_at for voice in book):
                return ()
            now = datetime.now(UTC)
            kept = [
                replace(voice, created_at=voice.created_at or now) for voice in book if voice not in gone
            ]
            self._write(owner_id, VoiceBook(tuple(kept)))
            return self._log_erasures(owner_id, gone)

    def export(self, owner_id: str) -> str:
        """The owner's voices as a voices file."""
        return write_voices(self.book(owner_id))

    def import_(self, owner_id: str, content: str | bytes, mode: ImportMode = "merge") -> VoiceBook:
        """Take in a voices file of either schema: add to what is there, or put it in its place.

        With "replace", voices whose record is not in the new book are erased, as the audit log then says.
        Raises FileFormatInvalid, OptionInvalid for another mode, Conflict for samples of another dimension.
        """
        if mode not in {"merge", "replace"}:
            raise OptionInvalid(f"The import mode is {mode!r}; it can be merge or replace.")
        incoming = read_voices(content)
        if mode == "merge":
            return self._change(owner_id, lambda book: book.merge(incoming))
        with self._locked(owner_id):
            kept = {record_hash(voice) for voice in incoming}
            gone = [voice for voice in self.book(owner_id) if record_hash(voice) not in kept]
            self._write(owner_id, incoming)
            self._log_erasures(owner_id, gone)
        return incoming

    def _path(self, owner_id: str) -> Path:
        if _OWNER_ID.fullmatch(owner_id) is None:
            raise OptionInvalid("An owner id has 1 to 64 of the characters a-z, 0-9, _ and -.")
        return self._folder / f"{owner_id}.json"

    def _change(self, owner_id: str, change: Callable[[VoiceBook], VoiceBook]) -> VoiceBook:
        with self._locked(owner_id):
            book = change(self.book(owner_id))
            self._write(owner_id, book)
            return book

    @contextmanager
    def _locked(self, owner_id: str) -> Iterator[None]:
        """Hold the owner's lock. The kernel lets go of it when the process dies (flock(2))."""
        path = self._path(owner_id).with_suffix(".lock")
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with _locked_file(path):
            # What a killed writer left half-written holds voiceprints; nobody else writes now.
            for leftover in self._folder.glob(f"{owner_id}.*.partial"):
                leftover.unlink()
            yield

    def _write(self, owner_id: str, book: VoiceBook) -> None:
        """Replace the file in one step: a whole copy is on disk before it takes the name (rename(2))."""
        path = self._path(owner_id)
        content = write_voices(book).encode()
        if len(content) > MAX_FILE_BYTES:
            raise UploadTooLarge(f"The voices would take more than {MAX_FILE_BYTES // 1_000_000} MB.")
        # mkstemp gives mode 0600.
        descriptor, name = tempfile.mkstemp(dir=self._folder, prefix=f"{owner_id}.", suffix=".partial")
        partial = Path(name)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            partial.replace(path)
        except OSError as error:
            partial.unlink(missing_ok=True)
            if error.errno in {errno.ENOSPC, errno.EDQUOT}:
                raise StorageFull("The disk is full; the voices are as they were.") from error
            raise
        _sync_folder(self._folder)

    def _log_erasures(self, owner_id: str, voices: Iterable[Voice]) -> tuple[Erasure, ...]:
        now = datetime.now(UTC)
        erasures = tuple(
            Erasure(owner_id, voice.name, len(voice.samples), record_hash(voice), now) for voice in voices
        )
        with _locked_file(self._audit_path) as descriptor:
            for erasure in erasures:
                _append_line(descriptor, _audit_line(erasure))
            os.fsync(descriptor)
        return erasures


def record_hash(voice: Voice) -> str:
    """SHA-256 of the voice's record in a voices file, as JSON with sorted names and no spaces, in UTF-8."""
    record = json.dumps(voice_record(voice), ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(record.encode()).hexdigest()


def _audit_line(erasure: Erasure) -> str:
    facts = {
        "time": erasure.erased_at.isoformat(),
        "event": "voice_erased",
        "owner": erasure.owner_id,
        "record_sha256": erasure.record_sha256,
        "samples": erasure.samples,
    }
    return json.dumps(facts) + "\n"


def _append_line(descriptor: int, line: str) -> None:
    """Append to an open file, on a line of its own even where a killed process left half of one."""
    size_bytes = os.fstat(descriptor).st_size
    is_cut = size_bytes > 0 and os.pread(descriptor, 1, size_bytes - 1) != b"\n"
    os.write(descriptor, ("\n" * is_cut + line).encode())


@contextmanager
def _locked_file(path: Path) -> Iterator[int]:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield descriptor
    finally:
        os.close(descriptor)


def _sync_folder(folder: Path) -> None:
    """Make a rename in the folder last (fsync(2): a file's own sync does not cover its name)."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
