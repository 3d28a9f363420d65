"""Device, number format and batch where there is a GPU: chosen on a pretended one, as none is at hand."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import ctranslate2
import faster_whisper
import numpy as np
import pytest
import torch
from pyannote.audio import Pipeline

from clearcast.engines.diarize.contract import DiarizationEngine
from clearcast.engines.engine import EngineContext, make_engine
from clearcast.engines.model_choice import device_for
from clearcast.engines.transcribe import faster_whisper as whisper_file
from clearcast.engines.transcribe.contract import TranscriptionEngine
from clearcast.errors import SettingsInvalid


@pytest.mark.parametrize(
    ("wanted", "has_gpu", "given"),
    [("auto", True, "cuda"), ("auto", False, "cpu"), ("cpu", True, "cpu"), ("cuda", True, "cuda")],
)
def test_auto_takes_a_gpu_where_there_is_one(wanted: Any, has_gpu: bool, given: str) -> None:
    assert device_for(wanted, "Anything", has_gpu=has_gpu) == given


def test_a_model_that_is_set_to_a_gpu_never_takes_the_cpu_instead() -> None:
    with pytest.raises(SettingsInvalid, match="Anything is set to run on a GPU"):
        device_for("cuda", "Anything", has_gpu=False)


@pytest.fixture
def whisper_on_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict[str, Any]]:
    """Loads a Whisper where CTranslate2 sees one GPU; gives what the model was made with."""
    for name in ("config.json", "model.bin", "tokenizer.json"):
        (tmp_path / name).touch()
    made: dict[str, Any] = {}
    mel_bins = 80

    def make(*_folder: str, **options: Any) -> Any:
        made.update(options)
        heard = SimpleNamespace(mel_filters=np.zeros((mel_bins, 201)))
        return SimpleNamespace(feature_extractor=heard, model=SimpleNamespace(n_mels=mel_bins))

    monkeypatch.setattr(ctranslate2, "get_cuda_device_count", lambda: 1)
    monkeypatch.setattr(ctranslate2, "get_supported_compute_types", lambda _device: {"float16", "int8"})
    monkeypatch.setattr(faster_whisper, "WhisperModel", make)
    monkeypatch.setattr(whisper_file, "load_cublas", lambda: made.update(cublas=True))

    def load(**options: str) -> dict[str, Any]:
        made.clear()
        settings = {"model": f"{tmp_path}/", **options}
        make_engine(TranscriptionEngine, "faster_whisper", settings, EngineContext(tmp_path)).load()
        return made

    return load


def test_whisper_takes_the_gpu_with_its_format_and_cublas(
    whisper_on_gpu: Callable[..., dict[str, Any]],
) -> None:
    made = whisper_on_gpu(device="cuda", compute_type="float16")
    assert (made["device"], made["compute_type"], made["cublas"]) == ("cuda", "float16", True)
    assert whisper_on_gpu(device="auto")["device"] == "cuda"


def test_whisper_that_is_set_to_the_cpu_needs_no_cublas(
    whisper_on_gpu: Callable[..., dict[str, Any]],
) -> None:
    made = whisper_on_gpu(device="cpu")
    assert made["device"] == "cpu"
    assert "cublas" not in made


def test_whisper_is_refused_a_format_that_the_gpu_has_not(
    whisper_on_gpu: Callable[..., dict[str, Any]],
) -> None:
    with pytest.raises(SettingsInvalid, match="bfloat16 on this GPU"):
        whisper_on_gpu(device="cuda", compute_type="bfloat16")


@pytest.mark.parametrize(("has_gpu", "batch_size"), [(True, 32), (False, 1)])
def test_pyannote_takes_large_batches_on_a_gpu_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, has_gpu: bool, batch_size: int
) -> None:
    made: dict[str, Any] = {}
    pipeline = SimpleNamespace(to=lambda device: made.update(device=str(device)))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: has_gpu)
    monkeypatch.setattr(Pipeline, "from_pretrained", lambda config: made.update(config) or pipeline)
    engine = make_engine(DiarizationEngine, "pyannote", {"model": "community-1"}, EngineContext(tmp_path))
    monkeypatch.setattr(engine, "_config", lambda: {"pipeline": {"params": {"plda": "here"}}})
    engine.load()
    assert made["device"] == ("cuda" if has_gpu else "cpu")
    params = made["pipeline"]["params"]
    assert (params["segmentation_batch_size"], params["embedding_batch_size"]) == (batch_size, batch_size)
