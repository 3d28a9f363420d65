"""What every blob store promises, on a real disk and on a real S3 server."""

from __future__ import annotations

import hashlib
import json
import random
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest

from clearcast.errors import NotFound, ServiceUnavailable, SettingsInvalid
from clearcast.settings import StorageSettings
from clearcast.storage.blob_files import FileBlobs
from clearcast.storage.blobs import BlobStore, open_blobs
from tests.servers import S3Server

MB = 1 << 20
BIG = random.Random(1).randbytes(12 * MB + 5)  # three parts on S3

_numbers = iter(range(1_000_000))


def s3_settings(server: S3Server, bucket: str) -> StorageSettings:
    return StorageSettings.model_validate(
        {
            "blobs_url": f"s3://{bucket}",
            "s3_endpoint": server.endpoint,
            "s3_is_secure": False,
            "s3_access_key": server.access_key,
            "s3_secret_key": server.secret_key,
        }
    )


@pytest.fixture(params=["file", "s3"])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> StorageSettings:
    if request.param == "file":
        return StorageSettings(blobs_url=f"file://{tmp_path / 'blobs'}")
    return s3_settings(request.getfixturevalue("s3_server"), f"bucket-{next(_numbers)}")


@pytest.fixture
def blobs(settings: StorageSettings, tmp_path: Path) -> BlobStore:
    return open_blobs(settings, tmp_path)


def source(tmp_path: Path, data: bytes) -> Path:
    path = tmp_path / "source"
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("data", [b"", b"sound", BIG], ids=["empty", "small", "big"])
def test_a_file_that_was_put_is_there_whole_and_its_source_is_gone(
    blobs: BlobStore, tmp_path: Path, data: bytes
) -> None:
    path = source(tmp_path, data)
    blobs.put_file("files/one", path)
    assert not path.exists()
    assert blobs.get_bytes("files/one") == data
    found = blobs.stat("files/one")
    assert found is not None
    assert found.size_bytes == len(data)
    assert abs(datetime.now(UTC) - found.modified_at) < timedelta(minutes=1)


def test_putting_again_replaces(blobs: BlobStore, tmp_path: Path) -> None:
    blobs.put_bytes("one", b"first")
    blobs.put_bytes("one", b"second")
    assert blobs.get_bytes("one") == b"second"
    blobs.put_file("one", source(tmp_path, b"third"))
    assert blobs.get_bytes("one") == b"third"


@pytest.mark.parametrize(
    ("start", "length"), [(0, 1), (3, 4), (5 * MB - 1, 2), (MB, None), (12 * MB, 100), (20 * MB, 3), (0, 0)]
)
def test_any_range_can_be_read(blobs: BlobStore, start: int, length: int | None) -> None:
    blobs.put_bytes("big", BIG)
    pieces = list(blobs.read("big", start, length))
    assert b"".join(pieces) == BIG[start : None if length is None else start + length]
    assert all(len(piece) <= MB for piece in pieces)


def test_what_is_not_there_is_not_found(blobs: BlobStore, tmp_path: Path) -> None:
    assert blobs.stat("none") is None
    blobs.delete("none")
    with pytest.raises(NotFound):
        list(blobs.read("none"))
    with pytest.raises(NotFound):
        blobs.fetch("none", tmp_path / "copy")
    with pytest.raises(NotFound):
        blobs.move("none", "other")
    assert [path.name for path in tmp_path.iterdir() if path.name != "blobs"] == []


def test_a_fetched_copy_is_the_same(blobs: BlobStore, tmp_path: Path) -> None:
    blobs.put_bytes("big", BIG)
    blobs.fetch("big", tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == BIG


def test_a_moved_blob_has_its_new_key_alone(blobs: BlobStore) -> None:
    blobs.put_bytes("incoming/one", BIG)
    blobs.put_bytes("files/one", b"old")
    blobs.move("incoming/one", "files/one")
    assert blobs.get_bytes("files/one") == BIG
    assert blobs.stat("incoming/one") is None


def test_keys_are_listed_by_their_beginning_and_go_with_their_blobs(blobs: BlobStore) -> None:
    for key in ("files/a", "files/b", "results/c"):
        blobs.put_bytes(key, b"x")
    assert set(blobs.keys()) == {"files/a", "files/b", "results/c"}
    assert set(blobs.keys("files/")) == {"files/a", "files/b"}
    blobs.delete("files/a")
    assert set(blobs.keys("files/")) == {"files/b"}


@pytest.mark.parametrize("key", ["", "/a", "../a", "a/../b", "a//b", "a b", ".hidden", "a/"])
def test_keys_that_lead_elsewhere_are_refused(blobs: BlobStore, key: str) -> None:
    with pytest.raises(ValueError, match="not a blob key"):
        blobs.put_bytes(key, b"x")


WRITER = """
import sys
from pathlib import Path
from clearcast.settings import StorageSettings
from clearcast.storage.blobs import open_blobs
blobs = open_blobs(StorageSettings.model_validate_json(sys.stdin.readline()), Path("/unused"))
source = Path(sys.argv[1])
if sys.argv[2] == "copied":  # as if the source lay on another disk
    blobs._is_beside = lambda source: False
for number in range(10**6):
    source.write_bytes(bytes([number % 251]) * (12 << 20))
    print(number, flush=True)
    blobs.put_file("one", source)
"""


@pytest.mark.parametrize("way", ["renamed", "copied"])
def test_a_writer_killed_in_the_middle_leaves_a_whole_blob_or_none(
    blobs: BlobStore, settings: StorageSettings, tmp_path: Path, way: str
) -> None:
    secrets = {
        name: getattr(settings, name).get_secret_value() for name in ("s3_access_key", "s3_secret_key")
    }
    line = json.dumps(settings.model_dump(mode="json", exclude={"database_url"}) | secrets) + "\n"
    whole = {hashlib.sha256(bytes([number]) * (12 * MB)).digest() for number in range(251)}
    for round_ in range(5):
        command = [sys.executable, "-c", WRITER, str(tmp_path / "source"), way]
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        ) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(line)
            for _ in range(round_ % 2 + 1):
                process.stdout.readline()
            # The moment of the kill is what varies; nothing waits for it.
            time.sleep(random.Random(round_).uniform(0, 0.03))
            process.kill()
        found = blobs.stat("one")
        if found is not None:
            assert found.size_bytes == 12 * MB
            assert hashlib.sha256(blobs.get_bytes("one")).digest() in whole
        assert set(blobs.keys()) <= {"one"}


def test_a_client_puts_and_gets_by_itself_at_a_presigned_address(s3_server: S3Server) -> None:
    blobs = open_blobs(s3_settings(s3_server, "presigned"), Path("/unused"))
    address = blobs.presigned_put("incoming/one", 60)
    assert address is not None
    assert httpx.put(address, content=b"sound").status_code == 200
    assert blobs.get_bytes("incoming/one") == b"sound"
    address = blobs.presigned_get("incoming/one", 60)
    assert address is not None
    assert httpx.get(address).content == b"sound"
    assert httpx.get(address.split("?", maxsplit=1)[0]).status_code in {400, 403}


def test_files_have_no_presigned_addresses(tmp_path: Path) -> None:
    blobs = FileBlobs(tmp_path)
    assert blobs.presigned_put("one", 60) is None
    assert blobs.presigned_get("one", 60) is None


def test_a_service_that_is_away_or_refuses_is_unavailable(s3_server: S3Server) -> None:
    wrong = s3_settings(s3_server, "bucket").model_copy(update={"s3_endpoint": "127.0.0.1:9"})
    with pytest.raises(ServiceUnavailable, match="cannot be reached"):
        open_blobs(wrong, Path("/unused")).put_bytes("one", b"x")
    thief = S3Server(s3_server.endpoint, s3_server.access_key, "anothersecretkey", s3_server.folder)
    with pytest.raises(ServiceUnavailable, match="refused"):
        open_blobs(s3_settings(thief, "bucket"), Path("/unused")).put_bytes("one", b"x")


@pytest.mark.parametrize("url", ["ftp://host", "s3://", "nonsense"])
def test_other_addresses_are_refused(url: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsInvalid):
        open_blobs(StorageSettings(blobs_url=url, s3_endpoint="127.0.0.1:9"), tmp_path)


def test_leftovers_of_a_killed_writer_are_not_blobs(tmp_path: Path) -> None:
    blobs = FileBlobs(tmp_path)
    blobs.put_bytes("files/one", b"x")
    (tmp_path / "files" / ".partial-0123").write_bytes(b"half")
    assert list(blobs.keys()) == ["files/one"]
