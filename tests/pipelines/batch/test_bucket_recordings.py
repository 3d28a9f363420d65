"""What jobs may read from buckets, and what not."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import pytest

from clearcast.errors import Forbidden, NotFound, OptionInvalid, UploadTooLarge
from clearcast.settings import Settings
from pipelines.batch.bucket_recordings import BucketRecordings
from tests.servers import S3Server, s3_client
from tests.storage.test_places import settings_of

OWNER = "usr_anna"


@pytest.fixture
def settings(s3_server: S3Server, tmp_path: Path) -> Settings:
    client = s3_client(s3_server, "talks")
    for key in ("all/b.mp3", "all/week 9/a.wav", "all/notes.txt", "all/.x/y.wav", "all-too/c.wav"):
        client.put_object("talks", key, BytesIO(key.encode()), len(key))
    client.put_object("talks", f"own/{OWNER}/d.wav", BytesIO(b"d"), 1)
    settings = Settings(data_dir=tmp_path)
    jobs = settings.jobs.model_copy(update={"s3_sources": ("s3://talks/all", "s3://talks/own/{owner}/")})
    return settings.model_copy(update={"storage": settings_of(s3_server), "jobs": jobs})


def test_every_recording_below_a_prefix_is_found_once(settings: Settings) -> None:
    found = BucketRecordings(settings, OWNER).find("s3://talks/all/", most=2)
    assert [(one.address, one.name) for one in found] == [
        ("s3://talks/all/b.mp3", "b.mp3"),
        ("s3://talks/all/week 9/a.wav", "week 9/a.wav"),
    ]
    [one] = BucketRecordings(settings, OWNER).find("s3://talks/all/week 9/a.wav", most=2)
    assert one.name == "a.wav"


@pytest.mark.parametrize(
    "address",
    [
        *("s3://talks", "s3://talks/all-too", "s3://talks/all/../own/usr_ben", "s3://talks/all//x"),
        *("s3://talks/own", "s3://talks/own/usr_ben", "s3://talks/own/{owner}", "s3://elsewhere/all"),
    ],
)
def test_nothing_beside_the_allowed_prefixes_is_read(settings: Settings, address: str) -> None:
    bucket = BucketRecordings(settings, OWNER)
    with pytest.raises(Forbidden):
        bucket.find(address, most=10)
    with pytest.raises(Forbidden):
        bucket.fetch(f"{address}/c.wav", Path("/unused"))


@pytest.mark.parametrize("address", ["/etc", "file:///etc", "s3:///x", "", "talks/all"])
def test_what_is_no_bucket_is_no_source(settings: Settings, address: str) -> None:
    with pytest.raises(OptionInvalid):
        BucketRecordings(settings, OWNER).find(address, most=10)


def test_each_account_has_its_own(settings: Settings) -> None:
    [found] = BucketRecordings(settings, OWNER).find(f"s3://talks/own/{OWNER}", most=10)
    with pytest.raises(Forbidden):
        BucketRecordings(settings, "usr_ben").find(f"s3://talks/own/{OWNER}", most=10)
    with pytest.raises(Forbidden):
        BucketRecordings(settings, "usr_ben").fetch(found.address, Path("/unused"))


def test_none_and_too_many_are_said_at_once(settings: Settings) -> None:
    bucket = BucketRecordings(settings, OWNER)
    with pytest.raises(NotFound):
        bucket.find("s3://talks/all/empty", most=10)
    with pytest.raises(NotFound):
        bucket.find("s3://talks/all/none.wav", most=10)
    with pytest.raises(OptionInvalid):
        bucket.find("s3://talks/all", most=1)


def test_a_recording_is_fetched_within_the_limits_of_uploads(settings: Settings, tmp_path: Path) -> None:
    BucketRecordings(settings, OWNER).fetch("s3://talks/all/week 9/a.wav", tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == b"all/week 9/a.wav"
    audio = settings.audio.model_copy(update={"max_upload_bytes": 5})
    small = settings.model_copy(update={"audio": audio})
    with pytest.raises(UploadTooLarge):
        BucketRecordings(small, OWNER).fetch("s3://talks/all/b.mp3", tmp_path / "copy")
    with pytest.raises(NotFound):
        BucketRecordings(settings, OWNER).fetch("s3://talks/all/gone.wav", tmp_path / "copy")
