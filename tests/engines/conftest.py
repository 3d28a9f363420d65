"""What the engine tests share: real speech, format-true checkpoints, and loaded engines by name."""

from __future__ import annotations

import warnings
import wave
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from clearcast.audio.recording import SAMPLE_RATE_HZ, FloatAudio, Recording
from clearcast.engines.engine import Engine, EngineContext, engine_class, make_engine
from clearcast.errors import ModelGated, ModelMissing
from clearcast.models.pull import adopt
from clearcast.sample import sample_conversation
from clearcast.settings import ModelSettings, Settings
from clearcast.testing.checkpoints.deepfilternet import write_deepfilternet2
from clearcast.testing.checkpoints.demucs import write_demucs
from clearcast.testing.checkpoints.ecapa import write_ecapa
from clearcast.testing.checkpoints.pyannote import write_community
from clearcast.testing.checkpoints.sepformer import write_sepformer
from clearcast.testing.checkpoints.whisper import WhisperShape, write_whisper

MakeEngine = Callable[..., Any]


@pytest.fixture(scope="session")
def no_models(tmp_path_factory: pytest.TempPathFactory) -> EngineContext:
    """A machine on which nothing was downloaded."""
    return EngineContext(tmp_path_factory.mktemp("no-models"))


@pytest.fixture(scope="session")
def conversation() -> FloatAudio:
    """Half a minute of two people talking, 16 kHz."""
    with wave.open(str(sample_conversation().audio)) as file:
        assert file.getframerate() == SAMPLE_RATE_HZ
        samples = np.frombuffer(file.readframes(file.getnframes()), "<i2")
    return samples.astype(np.float32) / np.float32(32768.0)


@pytest.fixture(scope="session")
def some_speech(conversation: FloatAudio) -> Recording:
    """Four seconds in which somebody talks most of the time."""
    return Recording.from_array(conversation[7 * SAMPLE_RATE_HZ : 11 * SAMPLE_RATE_HZ])


@pytest.fixture(scope="session")
def whisper_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import ctranslate2

    # Text that looks poor is drawn again at random; without a seed every session would draw otherwise.
    ctranslate2.set_random_seed(0)
    return write_whisper(tmp_path_factory.mktemp("checkpoints") / "whisper-test")


@pytest.fixture(scope="session")
def english_whisper_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    shape = WhisperShape(multilingual=False)
    return write_whisper(tmp_path_factory.mktemp("checkpoints") / "whisper-english", shape)


@pytest.fixture(scope="session")
def ecapa_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_ecapa(tmp_path_factory.mktemp("checkpoints") / "ecapa-test")


@pytest.fixture(scope="session")
def pyannote_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    with warnings.catch_warnings():
        # Where ffmpeg is not installed pyannote warns at import; no file is decoded through it here.
        warnings.filterwarnings("ignore", message=r"\s*torchcodec is not installed correctly")
        # Seed 2 gives silence, overlap and two voices.
        return write_community(tmp_path_factory.mktemp("checkpoints") / "pyannote-test", seed=2)


@pytest.fixture(scope="session")
def deepfilternet2_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("checkpoints") / "deepfilternet2-test"
    return write_deepfilternet2(folder, conv_channels=16, hidden=64)


@pytest.fixture(scope="session")
def demucs_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_demucs(tmp_path_factory.mktemp("checkpoints") / "htdemucs-test")


@pytest.fixture(scope="session")
def sepformer_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_sepformer(tmp_path_factory.mktemp("checkpoints") / "sepformer-test")


CHECKPOINTS = {
    ("embed", "ecapa"): "ecapa_folder",
    ("separate", "demucs"): "demucs_folder",
    ("denoise", "deepfilternet2"): "deepfilternet2_folder",
    ("diarize", "pyannote"): "pyannote_folder",
    ("transcribe", "faster_whisper"): "whisper_folder",
    ("extract", "sepformer"): "sepformer_folder",
}
"""Engines that read downloaded weights, and the fixture with a checkpoint of random ones."""


@pytest.fixture(scope="session")
def loaded_engine(request: pytest.FixtureRequest, no_models: EngineContext) -> MakeEngine:
    """`loaded_engine(kind, name)`: one engine per test session, with a checkpoint where it needs one.

    An engine whose models are not at hand skips the test, saying so.
    """
    engines: dict[tuple[str, str], Engine] = {}

    def load(kind: type[Engine], name: str) -> Engine:
        key = (kind.service, name)
        if key not in engines:
            fixture = CHECKPOINTS.get(key)
            options = {"model": str(request.getfixturevalue(fixture)), "device": "cpu"} if fixture else {}
            engines[key] = make_engine(kind, name, options, no_models)
        try:
            engines[key].load()
        except (ModelMissing, ModelGated) as error:
            pytest.skip(f"{kind.service}/{name}: {error}")
        return engines[key]

    return load


@pytest.fixture(scope="session")
def has_real_weights() -> Callable[[Engine], bool]:
    """Whether what an engine says means anything: random weights hear speakers in silence too."""
    return lambda engine: (engine.service, engine.engine_name()) not in CHECKPOINTS


@pytest.fixture(scope="session")
def adopt_model(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, str, str, Path], EngineContext]:
    """`adopt_model(service, engine, model, folder)` puts a folder into a models folder of its own under a
    published name, as `clearcast models pull --from` does."""
    models_dir = tmp_path_factory.mktemp("models")
    settings = Settings(models=ModelSettings(dir=models_dir))

    def put(service: str, engine: str, model: str, folder: Path) -> EngineContext:
        specs = {spec.name: spec for spec in engine_class(service, engine).catalogue()}
        adopt(specs[model], folder, settings)
        return EngineContext(models_dir)

    return put
