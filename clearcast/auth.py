"""API keys: who may call. Kept as hashes in one JSON file; the key itself is shown once and never stored.

What lives here: making, listing, revoking and recognising keys. What does not: how a key travels in a
request (`deployments/ingress/access.py`).

A key holds 256 random bits, so one round of SHA-256 protects it: there is nothing to guess by trying
(slow hashes such as Argon2 are for passwords).
"""

from __future__ import annotations

import base64
import fcntl
import hashlib
import hmac
import json
import os
import re
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from clearcast.errors import NotFound, OptionInvalid, SettingsInvalid

KEY_PREFIX = "cc_"
KEY_BYTES = 32
FILE_MODE = 0o600
FILE_VERSION = 1
_OWNER_ID = re.compile(r"[a-z0-9_-]{1,64}")  # as `storage.voice_store` names an owner's files


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """What is known of a key without knowing the key. `id` names it in lists and for `revoke`."""

    id: str
    owner: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class _Entry:
    record: KeyRecord
    digest: bytes


class KeyFile:
    """The keys in the file `path`, which need not exist yet.

    Several processes may use one file: changes are made under a lock and replace the file as a whole, and
    readers notice a replaced file by its inode, size and time.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._entries: tuple[_Entry, ...] = ()
        self._seen: tuple[int, int, int] | None = None

    def create(self, owner: str) -> str:
        """Make a key for `owner` and return it; it cannot be had again. Raises OptionInvalid."""
        _check_owner(owner)
        key = KEY_PREFIX + base64.urlsafe_b64encode(secrets.token_bytes(KEY_BYTES)).rstrip(b"=").decode()
        record = KeyRecord("key_" + secrets.token_hex(6), owner, datetime.now(UTC).replace(microsecond=0))
        with self._changing() as entries:
            self._write((*entries, _Entry(record, _digest(key))))
        return key

    def list(self) -> tuple[KeyRecord, ...]:
        """All keys, oldest first. Raises SettingsInvalid when the file is damaged."""
        return tuple(entry.record for entry in self._read())

    def revoke(self, key_id: str) -> None:
        """Make a key worthless from now on. Raises NotFound."""
        with self._changing() as entries:
            kept = tuple(entry for entry in entries if entry.record.id != key_id)
            if len(kept) == len(entries):
                raise NotFound(f"There is no key {key_id!r}.", hint="List them: clearcast keys list")
            self._write(kept)

    def owner_of(self, key: str) -> str | None:
        """Whose key this is, or None. Takes the same time whether and wherever it matches."""
        digest = _digest(key)
        owner: str | None = None
        for entry in self._read():
            if hmac.compare_digest(entry.digest, digest):
                owner = entry.record.owner
        return owner

    def _read(self) -> tuple[_Entry, ...]:
        try:
            status = self.path.stat()
        except FileNotFoundError:
            self._entries, self._seen = (), None
            return ()
        seen = (status.st_ino, status.st_size, status.st_mtime_ns)
        if seen != self._seen:
            self._entries = _parsed(self.path.read_text(encoding="utf-8"))
            self._seen = seen
        return self._entries

    @contextmanager
    def _changing(self) -> Iterator[tuple[_Entry, ...]]:
        """The entries, with every other writer kept out until the end."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        # The lock is a file of its own: the key file is replaced, and a lock on it would go with it.
        lock = os.open(self.path.with_name(self.path.name + ".lock"), os.O_RDWR | os.O_CREAT, FILE_MODE)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield self._read()
        finally:
            os.close(lock)

    def _write(self, entries: Sequence[_Entry]) -> None:
        content = {"version": FILE_VERSION, "keys": [_as_json(entry) for entry in entries]}
        text = json.dumps(content, indent=2)
        fresh = self.path.with_name(f".{self.path.name}.{secrets.token_hex(4)}")
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, FILE_MODE)
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(text + "\n")
                file.flush()
                os.fsync(file.fileno())
            fresh.replace(self.path)
        finally:
            fresh.unlink(missing_ok=True)


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()


def _check_owner(owner: str) -> None:
    if _OWNER_ID.fullmatch(owner) is None:
        raise OptionInvalid("An owner has 1 to 64 of the characters a-z, 0-9, _ and -.")


def _as_json(entry: _Entry) -> dict[str, str]:
    return {
        "id": entry.record.id,
        "owner": entry.record.owner,
        "created_at": entry.record.created_at.isoformat(),
        "sha256": entry.digest.hex(),
    }


def _parsed(text: str) -> tuple[_Entry, ...]:
    try:
        content: dict[str, Any] = json.loads(text)
        if content["version"] != FILE_VERSION:
            raise ValueError("unknown version")
        return tuple(
            _Entry(
                KeyRecord(str(item["id"]), str(item["owner"]), datetime.fromisoformat(item["created_at"])),
                bytes.fromhex(item["sha256"]),
            )
            for item in content["keys"]
        )
    except (ValueError, KeyError, TypeError) as error:
        raise SettingsInvalid(
            "The key file is damaged.", hint="Restore it from a backup, or delete it and make new keys."
        ) from error
