"""Recordings in buckets that jobs may be about: who may name which, which there are, and their bytes.

What lives here: what a job may read outside the server's own store, and reading it. What does not: the rule
who may name what (`allowed_prefixes.py`), the server's own store (`blobs.py`), places in general
(`places.py`), and the sources of a batch of one's own (`sources.py`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Any

from clearcast.audio.media_files import MEDIA_SUFFIXES, is_hidden
from clearcast.errors import FileFormatInvalid, NotFound, OptionInvalid
from clearcast.settings import Settings
from clearcast.storage.files import clean_name
from clearcast.storage.intake import too_large
from clearcast.storage.places import S3, Found, Place, open_place, split_address
from pipelines.batch.allowed_prefixes import allowed_sources
from pipelines.batch.manifest import is_manifest, read_manifest

MOST_OBJECTS = 100_000  # that are looked at below one address, recordings or not
MOST_MANIFEST_BYTES = 16 << 20


@dataclass(frozen=True, slots=True)
class BucketRecording:
    """`address` is `s3://BUCKET/KEY`, `name` what to show: the key below what was asked for. `options`: its
    own, where a manifest gives some."""

    address: str
    name: str
    options: Mapping[str, Any] = field(default_factory=dict)


class BucketRecordings:
    """What one owner's jobs may read below the prefixes of `jobs.s3_sources`. Everything here blocks."""

    def __init__(self, settings: Settings, owner_id: str) -> None:
        self._settings = settings
        self._allowed = allowed_sources(settings, owner_id)

    def find(self, address: str, most: int) -> Sequence[BucketRecording]:
        """The recordings at an address or below it, by their endings, hidden ones left out, in order; of a
        manifest (`.csv`, `.jsonl`) those that it names, in its order.

        Raises Forbidden for what may not be read, NotFound where there are none, OptionInvalid for more
        than `most`, FileFormatInvalid for a manifest that cannot be read, ServiceUnavailable.
        """
        self._allowed.check(address)
        found = list(islice(self._recordings(address.rstrip("/")), most + 1))
        if not found:
            raise NotFound(f"There are no recordings in {address!r}.", field="sources")
        if len(found) > most:
            raise _too_many(f"Below {address!r} are more recordings than a job can take.")
        if is_manifest(address):
            return found
        return sorted(found, key=lambda recording: recording.address)

    def named(self, address: str, options: Mapping[str, Any]) -> BucketRecording:
        """The recording at an address; whether it is there is seen when its turn comes.

        Raises Forbidden, OptionInvalid.
        """
        self._allowed.check(address)
        return BucketRecording(address, clean_name(address), options)

    def fetch(self, address: str, target: Path) -> None:
        """Copy a recording to `target`. Raises Forbidden, NotFound, UploadTooLarge, ServiceUnavailable."""
        place, key, facts = self._found(address)
        if facts.size_bytes > self._settings.audio.max_upload_bytes:
            raise too_large(self._settings.audio.max_upload_bytes)
        place.fetch(key, target)

    def look(self, address: str) -> Found:
        """The size and version of a recording. Raises Forbidden, NotFound, ServiceUnavailable."""
        return self._found(address)[2]

    def _found(self, address: str) -> tuple[Place, str, Found]:
        self._allowed.check(address)  # again: what was allowed when the job came may not be any more
        place, key = self._opened(address)
        facts = place.look(key)
        if facts is None:
            raise NotFound("The recording is not in its bucket any more.")
        return place, key, facts

    def _opened(self, address: str) -> tuple[Place, str]:
        """The bucket, and the key in it."""
        bucket, key = split_address(address)
        return open_place(bucket, self._settings.storage), key

    def _recordings(self, address: str) -> Iterator[BucketRecording]:
        bucket, key = split_address(address)
        if is_manifest(key):
            yield from self._listed(address)
            return
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

    def _listed(self, address: str) -> Iterator[BucketRecording]:
        """What a manifest names: addresses, or keys from the manifest's own folder. Whether they are there
        is seen when their turn comes."""
        place, key = self._opened(address)
        facts = place.look(key)
        if facts is not None and facts.size_bytes > MOST_MANIFEST_BYTES:
            raise FileFormatInvalid(f"A manifest has at most {MOST_MANIFEST_BYTES} bytes.", field="sources")
        for entry in read_manifest(PurePosixPath(key).name, place.read(key) or b""):
            file = entry.file
            recording = file if file.startswith(S3) else f"{address.rpartition('/')[0]}/{file}"
            named = self.named(recording, entry.options)
            yield replace(named, name=_shown(PurePosixPath(file))) if entry.is_below else named


def _shown(name: PurePosixPath) -> str:
    """With its folders, each part of it as names of files are shown."""
    return "/".join(clean_name(part) for part in name.parts)


def _too_many(message: str) -> OptionInvalid:
    return OptionInvalid(message, hint="Name a longer prefix, several times if need be.", field="sources")
