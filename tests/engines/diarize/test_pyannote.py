"""Our turns are pyannote's own for the same checkpoint and sound; nothing is reported or fetched."""

from __future__ import annotations

import os
import socket
import tempfile
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from clearcast.audio.recording import SAMPLE_RATE_HZ, FloatAudio, Recording, write_header
from clearcast.engines.diarize.contract import DiarizationEngine, DiarizeOptions, relabelled
from clearcast.engines.engine import EngineContext, make_engine
from clearcast.errors import ModelCorrupt, ModelMissing, SettingsInvalid
from clearcast.speech.provenance import Provenance
from clearcast.speech.turns import Diarization, Turn
from clearcast.testing.checkpoints.pyannote import write_version_31

# What upstream itself says in these tests, when it is called directly: means of turns of no length.
pytestmark = [
    pytest.mark.filterwarnings("ignore:std:UserWarning"),
    pytest.mark.filterwarnings("ignore:Mean of empty slice:RuntimeWarning"),
    pytest.mark.filterwarnings("ignore:invalid value encountered in divide:RuntimeWarning"),
    pytest.mark.filterwarnings("ignore:\\s*The detected number of speakers:UserWarning"),
]


@pytest.fixture(scope="module")
def recording(conversation: FloatAudio) -> Recording:
    return Recording.from_array(conversation[: 20 * SAMPLE_RATE_HZ])


@pytest.fixture(scope="module")
def version_31(tmp_path_factory: pytest.TempPathFactory, pyannote_folder: Path) -> Path:
    """A models folder with the three repositories of 3.1, as `clearcast models pull` leaves them."""
    base = tmp_path_factory.mktemp("version-31")
    parts = (base / "pipeline", base / "segmentation", base / "embedding")
    write_version_31(*parts, seed=2)
    return base


@pytest.fixture(scope="module")
def version_31_context(version_31: Path, adopt_model: Any) -> EngineContext:
    names = {
        "pyannote-3.1": "pipeline",
        "pyannote-segmentation-3.0": "segmentation",
        "pyannote-wespeaker-resnet34": "embedding",
    }
    for name, folder in names.items():
        context = adopt_model("diarize", "pyannote", name, version_31 / folder)
    return context


def pyannote(context: EngineContext, **options: Any) -> DiarizationEngine:
    return make_engine(DiarizationEngine, "pyannote", {"device": "cpu", **options}, context)


def upstream_turns(checkpoint: Path, recording: Recording, **counts: int) -> dict[bool, Diarization]:
    """What pyannote itself finds: with overlap under False, exclusive under True."""
    from pyannote.audio import Pipeline

    pipeline = Pipeline.from_pretrained(checkpoint)
    waveform = torch.tensor(recording.read())[None]
    output = pipeline({"waveform": waveform, "sample_rate": SAMPLE_RATE_HZ}, **counts)
    kinds = {False: output.speaker_diarization, True: output.exclusive_speaker_diarization}
    return {exclusive: _diarization(found, recording) for exclusive, found in kinds.items()}


def _diarization(annotation: Any, recording: Recording) -> Diarization:
    turns = tuple(
        Turn(segment.start, min(segment.end, recording.duration_s), label)
        for segment, _, label in annotation.itertracks(yield_label=True)
    )
    provenance = Provenance("diarize", "pyannote", "upstream")
    return relabelled(Diarization(turns, recording.duration_s, provenance))


def assert_same_turns(ours: Diarization, theirs: Diarization) -> None:
    assert [turn.speaker for turn in ours.turns] == [turn.speaker for turn in theirs.turns]
    assert [turn.start_s for turn in ours.turns] == pytest.approx([turn.start_s for turn in theirs.turns])
    assert [turn.end_s for turn in ours.turns] == pytest.approx([turn.end_s for turn in theirs.turns])


@pytest.mark.parametrize("counts", [{}, {"num_speakers": 2}, {"min_speakers": 3}], ids=str)
def test_community_turns_equal_upstreams(
    loaded_engine: Any, pyannote_folder: Path, recording: Recording, counts: dict[str, int]
) -> None:
    engine = loaded_engine(DiarizationEngine, "pyannote")
    for exclusive, theirs in upstream_turns(pyannote_folder, recording, **counts).items():
        ours = engine.diarize(recording, DiarizeOptions(exclusive=exclusive, **counts))
        assert ours.overlap_marked is not exclusive
        assert bool(ours.overlaps()) is not exclusive
        assert_same_turns(ours, theirs)


def test_version_31_turns_equal_upstreams(
    version_31: Path, version_31_context: EngineContext, pyannote_folder: Path, recording: Recording
) -> None:
    # Upstream alone cannot load 3.1 without a hub: it is given paths, and a PLDA it will not use.
    config = yaml.safe_load((version_31 / "pipeline" / "config.yaml").read_text())
    config["pipeline"]["params"] |= {
        "segmentation": str(version_31 / "segmentation" / "pytorch_model.bin"),
        "embedding": str(version_31 / "embedding" / "pytorch_model.bin"),
        "plda": {"checkpoint": str(pyannote_folder), "subfolder": "plda"},
    }
    rewritten = version_31 / "rewritten.yaml"
    rewritten.write_text(yaml.safe_dump(config))
    engine = pyannote(version_31_context, model="3.1")
    for exclusive, theirs in upstream_turns(rewritten, recording).items():
        ours = engine.diarize(recording, DiarizeOptions(exclusive=exclusive))
        assert ours.turns
        assert_same_turns(ours, theirs)


def test_loading_and_running_open_no_connection(
    version_31_context: EngineContext, recording: Recording, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    assert pyannote(version_31_context, model="3.1").diarize(recording).turns


def test_telemetry_is_off_even_where_the_environment_asks_for_it(
    pyannote_folder: Path, no_models: EngineContext, recording: Recording, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pyannote.audio.telemetry import metrics

    sent: list[str] = []
    monkeypatch.setattr(metrics.tracer, "start_as_current_span", sent.append)
    monkeypatch.setenv("PYANNOTE_METRICS_ENABLED", "1")
    pyannote(no_models, model=str(pyannote_folder)).diarize(recording)
    assert os.environ["PYANNOTE_METRICS_ENABLED"] == "0"
    assert not metrics.is_metrics_enabled()
    assert sent == []


def test_a_recording_on_disk_gives_the_same_turns_and_leaves_no_file(
    loaded_engine: Any, recording: Recording, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = loaded_engine(DiarizationEngine, "pyannote")
    path = tmp_path / "working.wav"
    pcm = (recording.read() * 32768).astype("<i2").tobytes()
    path.write_bytes(write_header(len(pcm)) + pcm)
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    with Recording.open(path) as on_disk:
        assert engine.diarize(on_disk).turns == engine.diarize(recording).turns
    assert not list(scratch.iterdir())


def test_the_gated_pipeline_tells_about_token_and_terms(no_models: EngineContext) -> None:
    with pytest.raises(ModelMissing) as caught:
        pyannote(no_models).load()
    hint = caught.value.hint or ""
    assert "CLEARCAST__MODELS__HUB_TOKEN" in hint
    assert "terms" in hint
    assert "clearcast models pull pyannote-community-1" in hint


def test_an_unknown_pipeline_name_is_refused(no_models: EngineContext) -> None:
    with pytest.raises(SettingsInvalid, match="community-9"):
        pyannote(no_models, model="community-9").load()


def test_a_reference_to_a_model_that_is_not_here_is_never_looked_up(
    pyannote_folder: Path, no_models: EngineContext, tmp_path: Path
) -> None:
    config = yaml.safe_load((pyannote_folder / "config.yaml").read_text())
    config["pipeline"]["params"]["embedding"] = "somebody/embedding"
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
    with pytest.raises(ModelMissing, match="refers to"):
        pyannote(no_models, model=str(tmp_path)).load()


@pytest.mark.parametrize(
    "change",
    [
        {"preprocessors": {"key": {"name": "os.system", "params": {"command": "true"}}}},
        {"pipeline": {"name": "pyannote.audio.pipelines.pyannoteai.sdk.SDK", "params": {}}},
        {"pipeline": "nothing"},
    ],
    ids=["preprocessors", "another pipeline", "no pipeline"],
)
def test_a_configuration_that_asks_for_more_than_diarization_is_refused(
    pyannote_folder: Path, no_models: EngineContext, tmp_path: Path, change: dict[str, Any]
) -> None:
    config = yaml.safe_load((pyannote_folder / "config.yaml").read_text())
    (tmp_path / "config.yaml").write_text(yaml.safe_dump({**config, **change}))
    with pytest.raises(ModelCorrupt):
        pyannote(no_models, model=str(tmp_path)).load()


def test_damaged_weights_are_corrupt(
    pyannote_folder: Path, no_models: EngineContext, tmp_path: Path
) -> None:
    for part in ("embedding", "plda"):
        (tmp_path / part).symlink_to(pyannote_folder / part)
    (tmp_path / "config.yaml").symlink_to(pyannote_folder / "config.yaml")
    (tmp_path / "segmentation").mkdir()
    (tmp_path / "segmentation" / "pytorch_model.bin").write_bytes(b"not weights")
    with pytest.raises(ModelCorrupt):
        pyannote(no_models, model=str(tmp_path)).load()


def test_warnings_of_the_process_are_as_before_after_a_run(
    loaded_engine: Any, recording: Recording
) -> None:
    before = list(warnings.filters)
    loaded_engine(DiarizationEngine, "pyannote").diarize(recording)
    assert list(warnings.filters) == before
