"""Files of a batch that lie in a bucket, and results that go to one."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

from minio import Minio

from clearcast.storage.places import open_place
from clearcast.testing.media import write_tone_wav
from clearcast.testing.services import fake_services
from pipelines.batch.file_work import FileWork
from pipelines.batch.plan import BatchOrder, plan_batch
from pipelines.batch.sources import find_items
from tests.pipelines.batch.conftest import again
from tests.servers import S3Server


def test_from_a_bucket_to_a_bucket(order: BatchOrder, s3_server: S3Server, tmp_path: Path) -> None:
    client = Minio(
        s3_server.endpoint, s3_server.access_key, s3_server.secret_key, secure=False, region="us-east-1"
    )
    client.make_bucket("archive")
    storage = order.settings.storage.model_validate(
        {
            "s3_endpoint": s3_server.endpoint,
            "s3_is_secure": False,
            "s3_access_key": s3_server.access_key,
            "s3_secret_key": s3_server.secret_key,
        }
    )
    settings = order.settings.model_copy(update={"storage": storage})
    order = replace(order, destination="s3://archive/text", settings=settings)
    raw = open_place("s3://archive/raw", storage)
    raw.put("week 1/talk.wav", write_tone_wav(tmp_path / "talk.wav"))
    raw.put("notes.txt", write_tone_wav(tmp_path / "notes.txt"))
    (item,) = find_items(["s3://archive/raw"], order.destination, storage)
    assert (item.source, item.name) == ("s3://archive/raw/week 1/talk.wav", "week 1/talk")
    record = asyncio.run(FileWork(order, fake_services()).do(item))
    assert record is not None and record.outcome == "done"
    written = {found.name for found in open_place(order.destination, storage).entries()}
    assert written == {"week 1/talk.transcript.json", ".batch/transcription/week 1/talk.json"}
    # The destination lies beside the source here; were it below, it would be no source.
    assert plan_batch(again(order), [item]).todo == ()
    assert list(order.work_path.iterdir()) == []


def test_a_manifest_may_name_objects(s3_server: S3Server, order: BatchOrder, tmp_path: Path) -> None:
    storage = order.settings.storage.model_validate(
        {
            "s3_endpoint": s3_server.endpoint,
            "s3_is_secure": False,
            "s3_access_key": s3_server.access_key,
            "s3_secret_key": s3_server.secret_key,
        }
    )
    (tmp_path / "list.csv").write_text("file\ns3://archive/none.wav\n")
    (item,) = find_items([str(tmp_path / "list.csv")], order.destination, storage)
    assert (item.source, item.name, item.size_bytes) == ("s3://archive/none.wav", "none", 0)
