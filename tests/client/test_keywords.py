"""Jobs that spot keywords, over HTTP: objects for Python, tables for everything else."""

from __future__ import annotations

from pathlib import Path

import pytest

import clearcast
from clearcast.errors import OptionInvalid
from tests.deployments.ingress.loopback import wav
from tests.platform_server import Platform


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    path = tmp_path / "monday.wav"
    path.write_bytes(wav(300, 900, seconds=2))
    return path


async def test_keywords_come_as_objects_and_as_tables(platform: Platform, recording: Path) -> None:
    with clearcast.Client(platform.url, platform.key) as client:
        job = client.jobs.wait(client.jobs.submit("classify", recording).id)
        assert job.state == "succeeded"
        [result] = job.results
        assert (result.name, result.kind) == ("keywords", "keywords")
        found = client.jobs.keywords(job.id)
        assert [word.label for word in found.words] == ["yes"]
        table = client.jobs.result(job.id, "keywords", format="csv").decode()
        assert table.splitlines()[0] == "file,start,end,label,probability,error"
        assert ",yes,0.9000," in table
        text = client.jobs.result(job.id, "keywords", format="txt").decode()
        assert text.rstrip("\n").split("\t")[3] == "yes"
        with pytest.raises(OptionInvalid):
            client.jobs.result(job.id, "keywords", format="srt")
    async with clearcast.AsyncClient(platform.url, platform.key) as other:
        assert await other.jobs.keywords(job.id) == found


def test_only_keywords_become_csv(platform: Platform, recording: Path) -> None:
    with clearcast.Client(platform.url, platform.key) as client:
        job = client.jobs.wait(client.jobs.submit("transcription", recording).id)
        with pytest.raises(OptionInvalid):
            client.jobs.result(job.id, format="csv")


@pytest.mark.parametrize(
    "wrong", [{"min_silence_s": 0}, {"silence_db": 0}, {"window_s": 99}, {"min_probability": 2}, {"no": 1}]
)
def test_nonsense_is_refused_before_it_is_queued(
    platform: Platform, recording: Path, wrong: dict[str, float]
) -> None:
    with clearcast.Client(platform.url, platform.key) as client, pytest.raises(OptionInvalid):
        client.jobs.submit("classify", recording, options=wrong)
