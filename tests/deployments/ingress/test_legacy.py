"""The upload addresses of the earlier platform, over pipelines that the test gives."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import httpx
import pytest

from clearcast.services import Services
from clearcast.speech.transcript import Segment, Transcript
from clearcast.testing.services import fake_services
from pipelines.recipe import Recipe, RecipeOptions, Source, SpeechResult
from pipelines.recipes import all_recipes
from pipelines.stages import StageHook, StageProgress
from tests.deployments.ingress.loopback import MakeApp, connect, wav
from tests.deployments.ingress.runner import working

UPLOADS = {
    "enhance": "/api/denoise/upload/",
    "separate": "/api/vocal-separation/upload/",
    "boost": "/api/audio-boost/upload/",
    "extract": "/api/speaker-extraction/upload/",
}


class AnyOptions(RecipeOptions):
    mode: str | None = None
    stems: tuple[str, ...] = ()
    reference_file_id: str | None = None


class Stand(Recipe):
    """Stands for a pipeline; its result says what was asked for."""

    name = "stand"
    summary = "Nothing."
    Options = AnyOptions
    stage_types: Mapping[str, Any] = {}
    weights: Mapping[str, float] = {"work": 1.0}

    def __init__(self, name: str) -> None:
        self.name = name  # type: ignore[misc]

    async def run(
        self,
        services: Services,
        source: Source,
        options: AnyOptions,
        progress: StageProgress,
        stage: StageHook,
    ) -> Mapping[str, SpeechResult]:
        text = f"mode {options.mode}, stems {options.stems}"
        return {"sound": Transcript((Segment(0.0, 1.0, text),), "en", source.duration_s, ())}


@pytest.fixture
def pipelines(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in UPLOADS:
        monkeypatch.setitem(all_recipes(), name, Stand(name))  # type: ignore[arg-type]


async def upload(client: httpx.AsyncClient, pipeline: str, **fields: str) -> httpx.Response:
    files = {"file": ("song.wav", wav(300), "audio/wav")}
    if pipeline == "extract":
        files["reference"] = ("teacher.wav", wav(500), "audio/wav")
    return await client.post(UPLOADS[pipeline], files=files, data=fields)


@pytest.mark.parametrize(
    ("pipeline", "fields", "said"),
    [
        ("enhance", {}, "mode None, stems ()"),
        ("enhance", {"boost": "5"}, "mode 5x, stems ()"),
        ("separate", {"stem": "music"}, "stems ('accompaniment',)"),
        ("separate", {"stem": "drums"}, "stems ('drums',)"),
        ("boost", {"boost": "3"}, "mode 3x, stems ()"),
        ("extract", {"boost": "2"}, "mode 2x, stems ()"),
    ],
)
async def test_an_upload_becomes_a_job_to_poll_and_then_a_download(
    make_app: MakeApp, key: str, pipelines: None, pipeline: str, fields: dict[str, str], said: str
) -> None:
    services = fake_services()
    app = make_app(services)
    async with working(app, services), connect(app, key) as client:
        answer = await upload(client, pipeline, **fields)
        assert answer.status_code == 202, answer.text
        job = answer.json()
        assert (job["status"], job["download_url"]) == ("queued", None)
        assert job["status_url"] == answer.headers["Location"]
        async with asyncio.timeout(30):
            while job["status"] in {"queued", "running"}:
                await asyncio.sleep(0.05)
                job = (await client.get(job["status_url"])).json()
        assert (job["status"], job["progress"], job["error"]) == ("succeeded", 100, None)
        assert said in (await client.get(job["download_url"])).text
        options = (await client.get(f"/v1/jobs/{job['job_id']}")).json()["options"]
        names = {file["id"]: file["name"] for file in (await client.get("/v1/files")).json()["files"]}
        if pipeline == "extract":
            assert names[options["reference_file_id"]] == "teacher.wav"


@pytest.mark.parametrize("pipeline", UPLOADS)
async def test_a_pipeline_that_is_not_there_is_told_before_the_upload_is_read(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch, pipeline: str
) -> None:
    monkeypatch.delitem(all_recipes(), pipeline, raising=False)  # type: ignore[arg-type]
    answer = await client.post(UPLOADS[pipeline], content=b"not even a form")
    assert (answer.status_code, answer.json()["code"]) == (501, "pipeline_missing")


@pytest.mark.parametrize(
    ("pipeline", "fields"),
    [
        ("enhance", {"boost": "6"}),
        ("boost", {}),
        ("separate", {"stem": "choir"}),
        ("boost", {"volume": "2"}),
    ],
)
async def test_what_cannot_be_is_refused_and_nothing_is_kept(
    client: httpx.AsyncClient, pipelines: None, pipeline: str, fields: dict[str, str]
) -> None:
    answer = await upload(client, pipeline, **fields)
    assert (answer.status_code, answer.json()["code"]) == (422, "option_invalid")
    assert (await client.get("/v1/files")).json()["files"] == []


async def test_a_job_without_its_reference_is_refused_and_nothing_is_kept(
    client: httpx.AsyncClient, pipelines: None
) -> None:
    answer = await client.post(UPLOADS["extract"], files={"file": ("song.wav", wav(300), "audio/wav")})
    assert (answer.status_code, answer.json()["code"]) == (400, "request_malformed")
    assert (await client.get("/v1/files")).json()["files"] == []
