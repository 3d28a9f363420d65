"""The voices are SpeechBrain's own for the same samples, and nothing is fetched, linked or copied."""

from __future__ import annotations

import re
import socket
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from clearcast.audio.recording import SAMPLE_RATE_HZ, FloatAudio
from clearcast.audio.sinc import resample
from clearcast.engines.engine import EngineContext, make_engine
from clearcast.engines.extract._untangle import levels_of
from clearcast.engines.extract.contract import ExtractionEngine
from clearcast.engines.extract.sepformer import SepformerEngine
from clearcast.engines.placeholders import forget_placeholders
from clearcast.errors import ModelCorrupt, ModelMissing, SettingsInvalid
from clearcast.testing.checkpoints.sepformer import SepformerShape, write_sepformer
from tests.engines.extract.conftest import Preferring, order

MODEL_RATE_HZ = 8_000


@pytest.fixture(scope="module")
def upstream(sepformer_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    from speechbrain.inference.separation import SepformerSeparation

    forget_placeholders()
    return SepformerSeparation.from_hparams(
        source=str(sepformer_folder),
        savedir=str(tmp_path_factory.mktemp("speechbrain")),
        run_opts={"device": "cpu"},
    )


@pytest.fixture(scope="module")
def mix(conversation: FloatAudio) -> FloatAudio:
    """Four seconds of people talking, 8 kHz."""
    samples = conversation[7 * SAMPLE_RATE_HZ : 11 * SAMPLE_RATE_HZ, np.newaxis]
    return resample(samples, SAMPLE_RATE_HZ, MODEL_RATE_HZ)[:, 0]


def sepformer(folder: Path, context: EngineContext, **options: Any) -> SepformerEngine:
    settings = {"model": str(folder), "device": "cpu", **options}
    engine = make_engine(ExtractionEngine, "sepformer", settings, context)
    assert isinstance(engine, SepformerEngine)
    return engine


@pytest.mark.parametrize("count", [3_200, 8_001, 32_000])
def test_the_voices_of_a_window_equal_upstreams(
    upstream: Any, sepformer_folder: Path, no_models: EngineContext, mix: FloatAudio, count: int
) -> None:
    engine = sepformer(sepformer_folder, no_models)
    engine.load()
    theirs = upstream.separate_batch(torch.tensor(mix[None, :count]))[0].numpy()
    assert np.abs(theirs).max() > 1e-4
    np.testing.assert_allclose(engine._separate(mix[:count]), theirs, atol=1e-5)


@pytest.mark.parametrize("stream", [0, 1])
def test_what_is_written_is_upstreams_stream_at_its_level(
    extract: Any,
    upstream: Any,
    sepformer_folder: Path,
    no_models: EngineContext,
    mix: FloatAudio,
    stream: int,
) -> None:
    engine = sepformer(sepformer_folder, no_models)
    found, report = extract(
        engine, mix[:, None], MODEL_RATE_HZ, order(crowded=[(1.5, 2.5)]), Preferring(stream)
    )
    window = slice(4_000, 28_000)  # a second before, a second after
    theirs = upstream.separate_batch(torch.tensor(mix[None, window]))[0].numpy()
    level = levels_of(theirs, mix[window, None])[0, stream]
    within = slice(12_100, 19_900)
    expected = level * theirs[8_100:15_900, stream]
    np.testing.assert_allclose(found[within, 0], expected, atol=1e-5)
    assert report.passages[0].score == pytest.approx(0.8)
    assert report.passages[0].bandwidth_hz == 4_000


def test_voiceprints_are_made_of_the_window_at_16_khz(
    extract: Any, sepformer_folder: Path, no_models: EngineContext, mix: FloatAudio
) -> None:
    embed = Preferring()
    engine = sepformer(sepformer_folder, no_models)
    assert engine.needs_voiceprints
    extract(engine, mix[:, None], MODEL_RATE_HZ, order(crowded=[(1.5, 2.0)]), embed)
    (utterances,) = embed.heard
    assert [len(utterance) for utterance in utterances] == [round(2.5 * SAMPLE_RATE_HZ)] * 2
    loudness = float(np.sqrt(np.mean(mix[4_000:24_000] ** 2)))
    for utterance in utterances:
        assert utterance.dtype == np.float32
        assert float(np.sqrt(np.mean(utterance**2))) == pytest.approx(loudness, rel=0.2)


def test_loading_opens_no_connection_and_leaves_the_folders_alone(
    sepformer_folder: Path, no_models: EngineContext, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.chdir(tmp_path)
    before = sorted(sepformer_folder.iterdir())
    sepformer(sepformer_folder, no_models).load()
    assert sorted(sepformer_folder.iterdir()) == before
    assert not list(tmp_path.iterdir())


def test_the_published_model_is_read_from_the_models_folder(
    sepformer_folder: Path, adopt_model: Any
) -> None:
    context = adopt_model("extract", "sepformer", "sepformer-libri2mix", sepformer_folder)
    engine = make_engine(ExtractionEngine, "sepformer", {"device": "cpu"}, context)
    engine.load()
    assert engine.model_name == "sepformer-libri2mix"


def test_an_unknown_model_name_is_refused(no_models: EngineContext) -> None:
    engine = make_engine(ExtractionEngine, "sepformer", {"model": "sepformer-huge"}, no_models)
    with pytest.raises(SettingsInvalid, match="sepformer-huge"):
        engine.load()


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_said(sepformer_folder: Path, no_models: EngineContext) -> None:
    with pytest.raises(SettingsInvalid, match="GPU"):
        sepformer(sepformer_folder, no_models, device="cuda").load()


def test_a_folder_that_is_not_there_is_missing(no_models: EngineContext, tmp_path: Path) -> None:
    with pytest.raises(ModelMissing):
        sepformer(tmp_path / "nowhere", no_models).load()


@pytest.mark.parametrize("damage", ["removed", "garbage", "of another shape"])
def test_a_damaged_folder_is_corrupt(no_models: EngineContext, tmp_path: Path, damage: str) -> None:
    folder = write_sepformer(tmp_path / "sepformer")
    weights = folder / "masknet.ckpt"
    if damage == "removed":
        weights.unlink()
    elif damage == "garbage":
        weights.write_bytes(b"not weights")
    else:
        other = write_sepformer(tmp_path / "other", SepformerShape(channels=32))
        weights.write_bytes((other / "masknet.ckpt").read_bytes())
    with pytest.raises(ModelCorrupt, match=re.escape(str(folder))):
        sepformer(folder, no_models).load()


def test_a_model_of_one_voice_takes_nothing_apart(no_models: EngineContext, tmp_path: Path) -> None:
    folder = write_sepformer(tmp_path / "single", SepformerShape(voices=1))
    with pytest.raises(ModelCorrupt, match="not two"):
        sepformer(folder, no_models).load()
