"""Blobs in an S3 service, through the minio client.

What lives here: one store over one bucket, which is made at first use. S3 promises what we do: an object
is whole or not there. What does not: which service it is (`storage.s3_*` in the settings).
"""

from __future__ import annotations

import io
import secrets
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import urllib3
from minio import Minio
from minio.commonconfig import CopySource
from minio.error import MinioException, S3Error
from urllib3.exceptions import HTTPError

from clearcast.errors import NotFound, ServiceUnavailable, SettingsInvalid, StorageFull
from clearcast.storage.blob_files import room_on_disk
from clearcast.storage.blobs import READ_BYTES, BlobStat, BlobStore, check_key

if TYPE_CHECKING:
    from clearcast.settings import StorageSettings

# The smallest that S3 takes; parts are sent one after the other, so one is in memory at a time.
PART_BYTES = 5 << 20
CONNECT_S = 5.0
READ_S = 60.0
_TRIES = 3
_PAUSE_S = 0.2

_MISSING = {"NoSuchKey", "NoSuchObject", "NoSuchBucket"}
_FULL = {"XMinioStorageFull", "QuotaExceeded", "XMinioAdminBucketQuotaExceeded", "InsufficientCapacity"}
_OURS_ALREADY = {"BucketAlreadyOwnedByYou", "BucketAlreadyExists"}


class S3Blobs(BlobStore):
    """Blobs in the bucket that `storage.blobs_url` names. Raises SettingsInvalid."""

    def __init__(self, settings: StorageSettings) -> None:
        self.bucket = settings.blobs_url.partition("://")[2].strip("/")
        self._region = settings.s3_region
        self._bucket_is_there = False
        self._lock = threading.Lock()
        try:
            self._client = Minio(
                settings.s3_endpoint,
                access_key=settings.s3_access_key.get_secret_value(),
                secret_key=settings.s3_secret_key.get_secret_value(),
                secure=settings.s3_is_secure,
                region=settings.s3_region,
                http_client=urllib3.PoolManager(
                    timeout=urllib3.Timeout(connect=CONNECT_S, read=READ_S),
                    retries=urllib3.Retry(
                        total=_TRIES, backoff_factor=_PAUSE_S, status_forcelist=(500, 502, 503, 504)
                    ),
                    maxsize=16,
                ),
            )
        except ValueError as error:
            raise SettingsInvalid(
                f"The S3 service cannot be used: {error}.",
                hint="See storage.s3_endpoint and its neighbours.",
            ) from error
        if not self.bucket:
            raise SettingsInvalid("storage.blobs_url names no bucket.", hint="Write s3://BUCKET.")

    def put_file(self, key: str, source: Path) -> None:
        with self._reached():
            self._client.fput_object(
                self.bucket, self._checked(key), str(source), part_size=PART_BYTES, num_parallel_uploads=1
            )
        source.unlink()

    def put_bytes(self, key: str, data: bytes) -> None:
        with self._reached():
            self._client.put_object(
                self.bucket,
                self._checked(key),
                io.BytesIO(data),
                len(data),
                part_size=PART_BYTES,
                num_parallel_uploads=1,
            )

    def stat(self, key: str) -> BlobStat | None:
        try:
            with self._reached():
                facts = self._client.stat_object(self.bucket, self._checked(key))
        except NotFound:
            return None
        if facts.size is None or facts.last_modified is None:
            raise ServiceUnavailable("The S3 service does not tell the size of an object.")
        return BlobStat(facts.size, facts.last_modified)

    def read(self, key: str, start: int = 0, length: int | None = None) -> Iterator[bytes]:
        found = self.stat(key)
        if found is None:
            raise NotFound("The stored bytes are gone.")
        left = max(0, found.size_bytes - start)
        return self._pieces(key, start, left if length is None else min(left, length))

    def _pieces(self, key: str, start: int, length: int) -> Iterator[bytes]:
        if length == 0:
            return
        left = length
        with (
            self._reached(),
            closing(self._client.get_object(self.bucket, key, offset=start, length=length)) as answer,
        ):
            # Some services answer a range with 200, so the status tells nothing: the count must be right.
            for piece in answer.stream(READ_BYTES):
                left -= len(piece)
                if left < 0:
                    raise ServiceUnavailable("The S3 service sent other bytes than it was asked for.")
                yield piece
            if left:
                raise ServiceUnavailable("The S3 service broke off in the middle of an object.")
            answer.release_conn()

    def fetch(self, key: str, target: Path) -> None:
        partial = target.with_name(f".{target.name}-{secrets.token_hex(4)}")
        try:
            with room_on_disk(), partial.open("wb") as file:
                for piece in self.read(key):
                    file.write(piece)
            partial.replace(target)
        finally:
            partial.unlink(missing_ok=True)

    def move(self, key: str, target: str) -> None:
        with self._reached():
            source = CopySource(self.bucket, self._checked(key))
            self._client.copy_object(self.bucket, self._checked(target), source)
        self.delete(key)

    def delete(self, key: str) -> None:
        with self._reached():
            self._client.remove_object(self.bucket, self._checked(key))

    def keys(self, prefix: str = "") -> Iterator[str]:
        for key, _ in self.entries(prefix):
            yield key

    def entries(self, prefix: str = "") -> Iterator[tuple[str, BlobStat]]:
        """Every blob whose key begins with `prefix`, with what is known of it, in any order."""
        with self._reached():
            for found in self._client.list_objects(self.bucket, prefix=prefix, recursive=True):
                if found.object_name is None or found.size is None or found.last_modified is None:
                    continue  # not an object but what it lies in
                yield found.object_name, BlobStat(found.size, found.last_modified)

    def presigned_put(self, key: str, expires_s: int) -> str | None:
        with self._reached():
            return self._client.presigned_put_object(
                self.bucket, self._checked(key), timedelta(seconds=expires_s)
            )

    def presigned_get(self, key: str, expires_s: int) -> str | None:
        with self._reached():
            return self._client.presigned_get_object(
                self.bucket, self._checked(key), timedelta(seconds=expires_s)
            )

    def _checked(self, key: str) -> str:
        return check_key(key)

    @contextmanager
    def _reached(self) -> Iterator[None]:
        """The bucket is there, and what fails is raised in our terms."""
        try:
            self._make_bucket()
            yield
        except S3Error as error:
            raise _known(error) from error
        except (HTTPError, MinioException, ConnectionError, TimeoutError) as error:
            raise _unreachable() from error

    def _make_bucket(self) -> None:
        if self._bucket_is_there:
            return
        with self._lock:
            try:
                if not self._client.bucket_exists(self.bucket):
                    self._client.make_bucket(self.bucket, self._region)
            except S3Error as error:
                if error.code not in _OURS_ALREADY:
                    raise
            except ValueError as error:
                raise SettingsInvalid(f"The bucket cannot be used: {error}.") from error
            self._bucket_is_there = True


def _known(error: S3Error) -> NotFound | StorageFull | ServiceUnavailable:
    if error.code in _MISSING:
        return NotFound("The stored bytes are gone.")
    if error.code in _FULL:
        return StorageFull("The S3 service has no room left.", hint="Ask its operator for more.")
    return ServiceUnavailable(
        f"The S3 service refused ({error.code}).", hint="See storage.s3_access_key and its neighbours."
    )


def _unreachable() -> ServiceUnavailable:
    return ServiceUnavailable("The S3 service cannot be reached.", hint="Its operator finds out why.")
