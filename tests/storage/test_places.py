"""Folders and buckets that people name: one contract over both."""

from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import pytest
from minio import Minio
from pydantic import SecretStr

from clearcast.errors import ClearCastError, NotFound, OptionInvalid, SettingsInvalid
from clearcast.settings import StorageSettings
from clearcast.storage.places import Bucket, Folder, Place, open_place, split_address
from tests.servers import S3Server


@pytest.fixture(params=["folder", "bucket"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    if request.param == "folder":
        yield open_place(str(tmp_path / "place"), StorageSettings())
        return
    server: S3Server = request.getfixturevalue("s3_server")
    client = Minio(server.endpoint, server.access_key, server.secret_key, secure=False, region="us-east-1")
    if not client.bucket_exists("radio"):
        client.make_bucket("radio")
    # What lies beside the prefix is none of the place's business.
    client.put_object("radio", "other/x.wav", BytesIO(b"x"), 1)
    yield open_place(f"s3://radio/{tmp_path.name}/", settings_of(server))


def settings_of(server: S3Server) -> StorageSettings:
    return StorageSettings(
        s3_endpoint=server.endpoint,
        s3_is_secure=False,
        s3_access_key=SecretStr(server.access_key),
        s3_secret_key=SecretStr(server.secret_key),
    )


def put(place: Place, name: str, content: bytes, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(content)
    place.put(name, source)
    assert not source.exists()


def test_what_is_put_is_listed_looked_at_read_and_fetched(place: Place, tmp_path: Path) -> None:
    names = ["a.wav", "talks/سلام (1).wav"]
    for name in names:
        put(place, name, name.encode(), tmp_path)
    listed = {found.name: found for found in place.entries()}
    assert sorted(listed) == names
    for name in names:
        assert place.look(name) == listed[name]
        assert listed[name].size_bytes == len(name.encode())
        assert place.read(name) == name.encode()
        assert place.fetch(name, tmp_path / "copy").read_bytes() == name.encode()
    assert [found.name for found in place.entries("talks")] == names[1:]


def test_putting_again_replaces(place: Place, tmp_path: Path) -> None:
    put(place, "a.wav", b"old", tmp_path)
    put(place, "a.wav", b"newer", tmp_path)
    assert place.read("a.wav") == b"newer"
    assert len(list(place.entries())) == 1


def test_what_is_not_there_is_told(place: Place, tmp_path: Path) -> None:
    assert place.look("none.wav") is None
    assert place.read("none.wav") is None
    assert list(place.entries()) == []
    with pytest.raises(NotFound):
        place.fetch("none.wav", tmp_path / "copy")


def test_a_missing_bucket_is_not_made(s3_server: S3Server, tmp_path: Path) -> None:
    place = open_place("s3://nowhere/x", settings_of(s3_server))
    assert place.look("a") is None
    with pytest.raises(ClearCastError):
        list(place.entries())
    assert not (s3_server.folder / "nowhere").exists()


def test_addresses() -> None:
    settings = StorageSettings(s3_endpoint="127.0.0.1:1")
    assert isinstance(open_place("/tmp", settings), Folder)
    assert isinstance(open_place("s3://bucket", settings), Bucket)
    with pytest.raises(OptionInvalid):
        open_place("s3://", settings)
    with pytest.raises(SettingsInvalid):
        open_place("s3://bucket", StorageSettings())
    assert split_address("s3://bucket/a/b.wav") == ("s3://bucket", "a/b.wav")
    assert split_address("/a/b.wav") == ("/a", "b.wav")
