"""Our ECAPA voiceprints are SpeechBrain's own, and nothing is fetched, linked or copied on the way."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from clearcast.audio.recording import SAMPLE_RATE_HZ, FloatAudio
from clearcast.engines.embed.contract import EmbeddingEngine
from clearcast.engines.engine import EngineContext, make_engine
from clearcast.engines.placeholders import forget_placeholders
from clearcast.errors import ModelCorrupt, ModelMissing, SettingsInvalid
from clearcast.testing.checkpoints.ecapa import write_ecapa


@pytest.fixture(scope="module")
def upstream(ecapa_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    from speechbrain.inference.classifiers import EncoderClassifier

    forget_placeholders()
    return EncoderClassifier.from_hparams(
        source=str(ecapa_folder),
        savedir=str(tmp_path_factory.mktemp("speechbrain")),
        overrides={"pretrained_path": str(ecapa_folder)},
        run_opts={"device": "cpu"},
    )


@pytest.fixture(scope="module")
def utterances(conversation: FloatAudio) -> list[FloatAudio]:
    """Speech of unequal length, two of them equal."""
    lengths_s = (3.0, 0.5, 5.0, 3.0)
    return [
        conversation[round((7 + index) * SAMPLE_RATE_HZ) :][: round(length_s * SAMPLE_RATE_HZ)]
        for index, length_s in enumerate(lengths_s)
    ]


def ecapa(folder: Path, context: EngineContext, **options: Any) -> EmbeddingEngine:
    return make_engine(
        EmbeddingEngine, "ecapa", {"model": str(folder), "device": "cpu", **options}, context
    )


def unit(vectors: torch.Tensor) -> np.ndarray[Any, Any]:
    return torch.nn.functional.normalize(vectors, dim=-1).numpy()


def test_a_voiceprint_equals_upstreams(
    upstream: Any, ecapa_folder: Path, no_models: EngineContext, utterances: list[FloatAudio]
) -> None:
    ours = ecapa(ecapa_folder, no_models).embed(utterances)
    for vector, utterance in zip(ours, utterances, strict=True):
        theirs = unit(upstream.encode_batch(torch.tensor(utterance)[None])[0, 0])
        assert float(vector @ theirs) > 0.99999
        np.testing.assert_allclose(vector, theirs, atol=1e-5)


def test_a_padded_batch_equals_upstreams_padded_batch(
    upstream: Any, ecapa_folder: Path, no_models: EngineContext, utterances: list[FloatAudio]
) -> None:
    ours = ecapa(ecapa_folder, no_models, pad_batches=True).embed(utterances)
    sounds = [torch.tensor(utterance) for utterance in utterances]
    padded = torch.nn.utils.rnn.pad_sequence(sounds, batch_first=True)
    lengths = torch.tensor([len(sound) / padded.shape[1] for sound in sounds])
    theirs = unit(upstream.encode_batch(padded, lengths)[:, 0])
    np.testing.assert_allclose(ours, theirs, atol=1e-5)


def test_small_batches_change_nothing(
    ecapa_folder: Path, no_models: EngineContext, utterances: list[FloatAudio]
) -> None:
    at_once = ecapa(ecapa_folder, no_models).embed(utterances)
    one_by_one = ecapa(ecapa_folder, no_models, batch_s=0.1).embed(utterances)
    np.testing.assert_allclose(one_by_one, at_once, atol=1e-5)


def test_loading_opens_no_connection_and_leaves_the_folders_alone(
    ecapa_folder: Path, no_models: EngineContext, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.chdir(tmp_path)
    before = sorted(ecapa_folder.iterdir())
    ecapa(ecapa_folder, no_models).load()
    assert sorted(ecapa_folder.iterdir()) == before
    assert not list(tmp_path.iterdir())


def test_the_published_model_is_read_from_the_models_folder(ecapa_folder: Path, adopt_model: Any) -> None:
    context = adopt_model("embed", "ecapa", "spkrec-ecapa-voxceleb", ecapa_folder)
    engine = make_engine(EmbeddingEngine, "ecapa", {"device": "cpu"}, context)
    engine.load()
    assert engine.model_name == "spkrec-ecapa-voxceleb"


def test_an_unknown_model_name_is_refused(no_models: EngineContext) -> None:
    engine = make_engine(EmbeddingEngine, "ecapa", {"model": "ecapa-huge"}, no_models)
    with pytest.raises(SettingsInvalid, match="ecapa-huge"):
        engine.load()


def test_a_folder_that_is_not_there_is_missing(no_models: EngineContext, tmp_path: Path) -> None:
    with pytest.raises(ModelMissing):
        ecapa(tmp_path / "nowhere", no_models).load()


@pytest.mark.parametrize("damage", ["removed", "garbage"])
def test_a_damaged_folder_is_corrupt(no_models: EngineContext, tmp_path: Path, damage: str) -> None:
    folder = write_ecapa(tmp_path / "ecapa")
    weights = folder / "embedding_model.ckpt"
    weights.unlink() if damage == "removed" else weights.write_bytes(b"not weights")
    with pytest.raises(ModelCorrupt):
        ecapa(folder, no_models).load()
