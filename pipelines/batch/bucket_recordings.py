"""Recordings in buckets that jobs may be about: who may name which, which there are, and their bytes.

What lives here: the one rule of what a job may read outside the server's own store, and reading it. What
does not: the server's own store (`blobs.py`), places in general (`places.py`), and the sources of a batch
of one's own (`sources.py`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path, PurePosixPath

from clearcast.audio.media_files import MEDIA_SUFFIXES, is_hidden
from clearcast.errors import Forbidden, NotFound, OptionInvalid
from clearcast.settings import Settings
from clearcast.storage.files import clean_name
from clearcast.storage.intake import too_large
from clearcast.storage.places import S3, open_place, split_address

MOST_OBJECTS = 100_000  # that are looked at below one address, recordings or not


@dataclass(frozen=True, slots=True)
class BucketRecording:
    """`address` is `s3://BUCKET/KEY`, `name` what to show: the key below what was asked for."""

    address: str
    name: str


class BucketRecordings:
    """What one owner's jobs may read below the prefixes of `jobs.s3_sources`. Everything here blocks."""

    def __init__(self, settings: Settings, owner_id: str) -> None:
        self._settings = settings
        self._allowed = [
            prefix.replace("{owner}", owner_id).rstrip("/") for prefix in settings.jobs.s3_sources
        ]

    def find(self, address: str, most: int) -> Sequence[BucketRecording]:
        """The recordings at an address or below it, by their endings, hidden ones left out, in order.

        Raises Forbidden for what may not be read, NotFound where there are none, OptionInvalid for more
        than `most`, ServiceUnavailable.
        """
        self._check(address)
        found = list(islice(self._recordings(address.rstrip("/")), most + 1))
        if not found:
            raise NotFound(f"There are no recordings in {address!r}.", field="sources")
        if len(found) > most:
            raise _too_many(f"Below {address!r} are more recordings than a job can take.")
        return sorted(found, key=lambda recording: recording.address)

    def fetch(self, address: str, target: Path) -> None:
        """Copy a recording to `target`. Raises Forbidden, NotFound, UploadTooLarge, ServiceUnavailable."""
        self._check(address)  # again: what was allowed when the job came may not be any more
        bucket, key = split_address(address)
        place = open_place(bucket, self._settings.storage)
        facts = place.look(key)
        if facts is None:
            raise NotFound("The recording is not in its bucket any more.")
        if facts.size_bytes > self._settings.audio.max_upload_bytes:
            raise too_large(self._settings.audio.max_upload_bytes)
        place.fetch(key, target)

    def _check(self, address: str) -> None:
        bucket, *parts = address.removeprefix(S3).rstrip("/").split("/")
        if not address.startswith(S3) or not bucket:
            raise OptionInvalid("A source is s3://BUCKET/PREFIX.", field="sources")
        # Some services keep objects as files, and would follow these.
        if any(part in {"", ".", ".."} for part in (bucket, *parts)) or not self._is_allowed(address):
            raise Forbidden(
                "Jobs of yours may not read from there.",
                hint="The server's operator says from where, in jobs.s3_sources.",
                field="sources",
            )

    def _is_allowed(self, address: str) -> bool:
        return any(f"{address.rstrip('/')}/".startswith(f"{prefix}/") for prefix in self._allowed)

    def _recordings(self, address: str) -> Iterator[BucketRecording]:
        bucket, key = split_address(address)
        if PurePosixPath(key).suffix.lower() in MEDIA_SUFFIXES:
            if open_place(bucket, self._settings.storage).look(key) is not None:
                yield BucketRecording(address, clean_name(key))
            return
        for number, found in enumerate(open_place(address, self._settings.storage).entries()):
            if number >= MOST_OBJECTS:
                raise _too_many(f"{address!r} has more than {MOST_OBJECTS} objects.")
            name = PurePosixPath(found.name)
            if name.suffix.lower() in MEDIA_SUFFIXES and not is_hidden(name):
                yield BucketRecording(f"{address}/{found.name}", _shown(name))


def _shown(name: PurePosixPath) -> str:
    """With its folders, each part of it as names of files are shown."""
    return "/".join(clean_name(part) for part in name.parts)


def _too_many(message: str) -> OptionInvalid:
    return OptionInvalid(message, hint="Name a longer prefix, several times if need be.", field="sources")
