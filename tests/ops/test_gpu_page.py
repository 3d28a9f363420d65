"""What the page about GPUs says is so in the profiles and the engines."""

from __future__ import annotations

from pathlib import Path

import pytest

from clearcast.engines.engine import engine_class
from clearcast.settings import load_settings
from deployments.app import MODELS

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "gpu.md").read_text(encoding="utf-8")
ON_GPU = ("transcribe", "diarize", "embed", "separate", "extract")
DEPLOYMENT = {
    "transcribe": "transcriber",
    "diarize": "diarizer",
    "embed": "embedder",
    "separate": "separator",
    "extract": "extractor",
}


def test_the_page_says_that_nothing_was_measured() -> None:
    assert "**Not yet measured.**" in PAGE


@pytest.mark.parametrize("profile", ["gpu", "cluster"])
@pytest.mark.parametrize("service", ON_GPU)
def test_every_engine_of_the_table_runs_on_a_gpu_and_its_replica_reserves_a_share(
    profile: str, service: str
) -> None:
    settings = load_settings(profile)
    choice = getattr(settings.engines, service)
    assert f"| {service} | {choice.engine} | `device: cuda`" in PAGE
    assert choice.options["device"] == "cuda", "never the CPU instead"
    assert engine_class(service, choice.engine)
    assert 0 < getattr(settings.serve, DEPLOYMENT[service]).num_gpus < 1


@pytest.mark.parametrize("profile", ["gpu", "cluster"])
def test_what_is_not_in_the_table_takes_no_gpu(profile: str) -> None:
    serve = load_settings(profile).serve
    others = set(MODELS) - set(DEPLOYMENT.values())
    assert {name for name in others if getattr(serve, name).num_gpus} == set()
