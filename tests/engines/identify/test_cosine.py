"""Identification by cosine: verdicts, several samples, and its quality on real speech."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bench.identification import open_set, score_matrix
from clearcast.engines.embed.contract import Calibration, EmbeddingEngine
from clearcast.engines.engine import EngineContext, make_engine
from clearcast.engines.identify.contract import IdentificationEngine
from clearcast.storage.voices import Voice, VoiceSample

CALIBRATION = Calibration(accept_score=0.8, uncertain_score=0.65)
CONTEXT = EngineContext(models_dir=Path())


@pytest.fixture
def engine() -> IdentificationEngine:
    return make_engine(IdentificationEngine, "cosine", {}, CONTEXT)


def at(angle_deg: float) -> np.ndarray:
    radians = np.deg2rad(angle_deg)
    return np.asarray([np.cos(radians), np.sin(radians)], np.float32)


def voice(name: str, *angles_deg: float, model: str = "m") -> Voice:
    return Voice(name, tuple(VoiceSample(at(angle), model) for angle in angles_deg))


@pytest.mark.parametrize(
    ("angle_deg", "verdict"),
    [(0, "identified"), (36, "identified"), (38, "uncertain"), (49, "uncertain"), (50, "unknown")],
)
def test_the_score_decides_the_verdict(
    engine: IdentificationEngine, angle_deg: float, verdict: str
) -> None:
    match = engine.identify(at(angle_deg), [voice("Ada", 0)], "m", CALIBRATION)
    assert match.verdict == verdict
    assert match.best is not None
    assert match.best.score == pytest.approx(np.cos(np.deg2rad(angle_deg)), abs=1e-6)
    assert match.name == ("Ada" if verdict == "identified" else None)


def test_the_runner_up_is_shown(engine: IdentificationEngine) -> None:
    match = engine.identify(at(10), [voice("Bo", 60), voice("Ada", 0)], "m", CALIBRATION)
    assert match.best is not None
    assert match.runner_up is not None
    assert (match.best.name, match.runner_up.name) == ("Ada", "Bo")


def test_several_samples_make_a_voice_surer(engine: IdentificationEngine) -> None:
    alone = engine.identify(at(0), [voice("Ada", 30)], "m", CALIBRATION)
    several = engine.identify(at(0), [voice("Ada", 30, -30)], "m", CALIBRATION)
    assert alone.best is not None
    assert several.best is not None
    assert several.best.score > alone.best.score


def test_samples_of_another_model_are_not_compared(engine: IdentificationEngine) -> None:
    match = engine.identify(at(0), [voice("Ada", 0, model="other")], "m", CALIBRATION)
    assert (match.verdict, match.best) == ("not_compared", None)
    assert engine.identify(at(0), [], "m", CALIBRATION).verdict == "not_compared"


def test_equal_scores_always_give_the_same_name(engine: IdentificationEngine) -> None:
    voices = [voice("Bo", 0), voice("Ada", 0)]
    names = {engine.identify(at(0), order, "m", CALIBRATION).name for order in (voices, voices[::-1])}
    assert names == {"Ada"}


def test_three_seconds_tell_enrolled_voices_from_strangers(shared_audio: Path) -> None:
    embedder = make_engine(EmbeddingEngine, "resemblyzer", {}, CONTEXT)
    scores = score_matrix(shared_audio, embedder, CONTEXT)
    assert (scores.argmax(axis=1) == np.arange(len(scores))).mean() >= 0.99
    calibration = embedder.calibration
    identified, _, accepted = open_set(scores, calibration.accept_score, calibration.uncertain_score)
    assert identified >= 0.97
    assert accepted <= 0.05
