"""`/v1/models`: what runs here, in OpenAI's form."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest
from openai import AsyncOpenAI
from openai.types import Model

from clearcast.engines.engine import SERVICES
from clearcast.settings import EngineChoice, EngineSettings, ModelSettings
from tests.deployments.ingress.loopback import MakeApp, connect, listening


async def test_the_sdk_lists_every_service_of_the_profile(make_app: MakeApp, key: str) -> None:
    async with listening(make_app()) as url, AsyncOpenAI(base_url=f"{url}/v1", api_key=key) as sdk:
        models = [model async for model in await sdk.models.list()]
        alias = await sdk.models.retrieve("whisper-1")
    for model in models:
        Model.model_validate(model.model_dump(), strict=True)
    described = {model.model_extra["service"]: model for model in models if model.model_extra}
    assert set(described) == set(SERVICES)
    extra = described["transcribe"].model_extra
    assert extra is not None
    assert (described["transcribe"].id, extra["model"], extra["quality"]) == (
        "pocketsphinx",
        "en-us",
        "rough",
    )
    assert all(model.model_extra and model.model_extra["ready"] for model in models)
    assert alias.id == "pocketsphinx"


async def test_a_model_whose_files_are_missing_is_not_ready(
    make_app: MakeApp, key: str, tmp_path: Path
) -> None:
    whisper = EngineChoice(engine="faster_whisper", options={"model": "small"})
    app = make_app(engines=EngineSettings(transcribe=whisper), models=ModelSettings(dir=tmp_path))
    async with connect(app, key) as client:
        model = (await client.get("/v1/models/faster_whisper")).json()
    assert model["ready"] is False
    assert "small" in (model["model"], *model["aliases"])


@pytest.mark.parametrize("name", ["nothing", "a/b", "WHISPER-1"])
async def test_an_unknown_model_is_not_found(client: httpx.AsyncClient, name: str) -> None:
    answer = await client.get(f"/v1/models/{name}")
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
