"""The embedded diarizer: its steps, its promises about counts, and its quality on real speech."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from bench.diarization import add, new_score, recordings
from clearcast.audio.recording import SAMPLE_RATE_HZ, Recording
from clearcast.audio.sandbox import prepare_sync
from clearcast.engines.diarize import _clusters
from clearcast.engines.diarize._vbx import vbx
from clearcast.engines.diarize.contract import DiarizationEngine, DiarizeOptions
from clearcast.engines.embed._speaker_space import BACKEND, SpeakerSpace, fit
from clearcast.engines.engine import EngineContext, make_engine
from clearcast.errors import Cancelled, OptionInvalid
from clearcast.settings import load_settings


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> DiarizationEngine:
    context = EngineContext(models_dir=tmp_path_factory.mktemp("models"))
    made = make_engine(DiarizationEngine, "vbx", {}, context)
    made.load()
    return made


@pytest.fixture(scope="module")
def conversation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Recording]:
    ((audio, _),) = recordings()["sample conversation"]
    target = tmp_path_factory.mktemp("audio") / "sample.wav"
    with Recording.open(prepare_sync(audio, target, load_settings("local").audio).path) as recording:
        yield recording


def three_speakers(seed: int = 0, windows: int = 300) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Points of three speakers in turns of 20 windows, their labels, and the between-speaker variances."""
    draw = np.random.default_rng(seed)
    between = np.linspace(20.0, 1.0, 16)
    means = draw.normal(size=(3, 16)) * np.sqrt(between)
    truth = np.arange(windows) // 20 % 3
    return means[truth] + draw.normal(size=(windows, 16)), truth, between


def same_grouping(first: np.ndarray, second: np.ndarray) -> bool:
    pairs = {(int(a), int(b)) for a, b in zip(first, second, strict=True)}
    return len(pairs) == len(set(first)) == len(set(second))


def test_vbx_finds_the_speakers_behind_too_many_first_labels() -> None:
    points, truth, between = three_speakers()
    first = np.arange(len(points)) // 10  # thirty pieces
    assert same_grouping(vbx(points, between, first), truth)


def test_clustering_in_blocks_gives_what_one_block_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    points, truth, _ = three_speakers()
    assert same_grouping(_clusters.agglomerated(points, 60.0), truth)
    monkeypatch.setattr(_clusters, "BLOCK", 100)
    assert same_grouping(_clusters.agglomerated(points, 60.0), truth)


def test_a_speaker_that_only_flickers_is_not_steady() -> None:
    labels = np.asarray([0, 0, 0, 0, 1, 0, 0, 0, 0, 2, 2])
    stretch = np.asarray([0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1])
    assert list(_clusters.steady(labels, stretch, 4)) == [True, False, True]


def test_groups_can_be_joined_and_split_to_a_number() -> None:
    points, truth, _ = three_speakers()
    assert _clusters.merged(truth, points, 2).max() == 1
    assert same_grouping(_clusters.split(np.zeros(len(points), np.int64), points, 3), truth)
    one = np.zeros(1, np.int64)
    assert list(_clusters.split(one, points[:1], 4)) == [0]


def test_the_speaker_space_is_what_its_training_gives(shared_audio: Path) -> None:
    with np.load(shared_audio / "backend" / "lda_train.npz", allow_pickle=False) as file:
        fitted = fit(file["X"], file["Y"])
        some = file["X"][:200]
    shipped = SpeakerSpace.load()
    assert BACKEND.stat().st_size < 60_000
    near = np.abs(fitted.project(some)) - np.abs(shipped.project(some))  # a direction has no sign
    assert np.abs(near).max() < 1e-3


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_an_exact_number_of_speakers_is_kept(
    engine: DiarizationEngine, conversation: Recording, count: int
) -> None:
    found = engine.diarize(conversation, DiarizeOptions(num_speakers=count))
    assert len(found.speakers) == count


def test_bounds_are_kept(engine: DiarizationEngine, conversation: Recording) -> None:
    assert len(engine.diarize(conversation, DiarizeOptions(min_speakers=3)).speakers) >= 3
    assert len(engine.diarize(conversation, DiarizeOptions(max_speakers=1)).speakers) == 1


@pytest.mark.parametrize("values", [{"num_speakers": 0}, {"min_speakers": 3, "max_speakers": 2}])
def test_numbers_that_contradict_are_refused(values: dict[str, int]) -> None:
    with pytest.raises(OptionInvalid):
        DiarizeOptions(**values)


def test_turns_do_not_overlap_and_lie_within_the_recording(
    engine: DiarizationEngine, conversation: Recording
) -> None:
    turns = engine.diarize(conversation).turns
    assert all(turn.duration_s > 0.05 for turn in turns)
    assert turns[-1].end_s <= conversation.duration_s
    assert all(a.end_s <= b.start_s + 1e-9 for a, b in pairwise(turns))


@pytest.mark.parametrize("seconds", [0.0, 0.05, 5.0])
def test_where_nobody_speaks_there_are_no_turns(engine: DiarizationEngine, seconds: float) -> None:
    silence = np.zeros(round(seconds * SAMPLE_RATE_HZ), np.float32)
    assert engine.diarize(Recording.from_array(silence)).turns == ()


def test_it_stops_when_the_listener_raises(engine: DiarizationEngine, conversation: Recording) -> None:
    def stop(fraction: float) -> None:
        if fraction > 0.1:
            raise Cancelled("enough")

    with pytest.raises(Cancelled):
        engine.diarize(conversation, progress=stop)


def test_the_sample_conversation_has_two_speakers(engine: DiarizationEngine) -> None:
    ((audio, reference),) = recordings()["sample conversation"]
    score = new_score()
    assert add(score, engine, audio, reference) <= 0.05
    assert score.counts == [0]


def test_shared_meetings_are_told_apart(engine: DiarizationEngine, shared_audio: Path) -> None:
    score = new_score()
    for audio, reference in recordings()["meetings"]:
        add(score, engine, audio, reference)
    assert abs(score.metric) <= 0.065
    assert sum(off == 0 for off in score.counts) >= 8


def test_far_field_excerpts_stay_below_half_wrong(engine: DiarizationEngine, shared_audio: Path) -> None:
    score = new_score()
    for audio, reference in recordings()["far-field"]:
        add(score, engine, audio, reference)
    assert abs(score.metric) <= 0.5
