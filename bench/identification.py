"""Identification on the shared pairs: the right voice, strangers let in, how often it is not sure.

Every speaker's enrolment is compared with 3 s of another stretch of every speaker. The open set is all of
these against five enrolled voices at a time, drawn 2,000 times with a fixed seed.
"""

from __future__ import annotations

import json
import random
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bench._shared import shared_audio
from bench.row import Row
from clearcast.audio.recording import FloatAudio, Recording
from clearcast.audio.sandbox import prepare_sync
from clearcast.engines.embed.contract import EmbeddingEngine
from clearcast.engines.engine import EngineContext, make_engine
from clearcast.engines.voice_activity.contract import VoiceActivityEngine
from clearcast.settings import load_settings

TEST_S = 3.0
ENROLLED = 5
DRAWS = 2000

Scores = npt.NDArray[np.float32]


def rows() -> Iterator[Row]:
    folder = shared_audio()
    if folder is None:
        return
    context = EngineContext(models_dir=folder)
    engine = make_engine(EmbeddingEngine, "resemblyzer", {}, context)
    scores = score_matrix(folder, engine, context)
    case = f"resemblyzer, {TEST_S:g} s clean, {len(scores)} speakers"
    top1 = float(np.mean(scores.argmax(axis=1) == np.arange(len(scores))))
    yield Row("identification", case, "top-1", 100 * top1, "%")
    yield Row("identification", case, "equal error rate", 100 * equal_error_rate(scores), "%")
    case = f"resemblyzer, {ENROLLED} enrolled, default threshold"
    calibration = engine.calibration
    identified, uncertain, accepted = open_set(
        scores, calibration.accept_score, calibration.uncertain_score
    )
    yield Row("identification", case, "identified", 100 * identified, "%")
    yield Row("identification", case, "enrolled but uncertain", 100 * uncertain, "%")
    yield Row("identification", case, "strangers accepted", 100 * accepted, "%")


def score_matrix(folder: Path, engine: EmbeddingEngine, context: EngineContext) -> Scores:
    """Cosine of each speaker's test (row) with each speaker's enrolment (column)."""
    finder = make_engine(VoiceActivityEngine, "silero", {}, context)
    items = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))["items"]
    enrolment, test = {}, {}
    for item in items:
        if item["task"] == "identification_enrol":
            enrolment[item["truth"]["speaker"]] = speech(folder / item["file"], finder)
        elif item["task"] == "identification_test":
            sound = speech(folder / item["file"], finder)
            test[item["truth"]["speaker"]] = sound[: round(TEST_S * 16_000)]
    names = sorted(enrolment)
    known = engine.embed([enrolment[name] for name in names])
    return engine.embed([test[name] for name in names]) @ known.T


def speech(file: Path, finder: VoiceActivityEngine) -> FloatAudio:
    """What is said in a file, pauses cut out."""
    with tempfile.TemporaryDirectory() as folder:
        made = prepare_sync(file, Path(folder) / "audio.wav", load_settings("local").audio)
        with Recording.open(made.path) as recording:
            spans = finder.detect(recording)
            return np.concatenate([recording.read(span.start_s, span.end_s) for span in spans])


def equal_error_rate(scores: Scores) -> float:
    """Where as many of the right are refused as of the wrong are let in."""
    same = np.eye(len(scores), dtype=bool)
    right, wrong = scores[same], scores[~same]
    thresholds = np.sort(scores.ravel())
    refused = np.asarray([(right < threshold).mean() for threshold in thresholds])
    let_in = np.asarray([(wrong >= threshold).mean() for threshold in thresholds])
    at = int(np.abs(refused - let_in).argmin())
    return float((refused[at] + let_in[at]) / 2)


def open_set(scores: Scores, accept: float, uncertain: float) -> tuple[float, float, float]:
    """Shares: enrolled and identified, enrolled but "uncertain", strangers accepted."""
    draw = random.Random(2)
    counts = np.zeros(5)
    for _ in range(DRAWS):
        gallery = draw.sample(range(len(scores)), ENROLLED)
        for person, row in enumerate(scores[:, gallery]):
            best = int(row.argmax())
            if person in gallery:
                right = gallery[best] == person
                counts[:3] += (1, right and row[best] >= accept, uncertain <= row[best] < accept)
            else:
                counts[3:] += (1, row[best] >= accept)
    return counts[1] / counts[0], counts[2] / counts[0], counts[4] / counts[3]
