"""Diarization by the embedded engine, number of speakers not given: errors on the shared meetings, on
far-field excerpts, and on the conversation that every machine has.

The diarization error rate counts missed, false and confused speech, overlap included, and forgives 0.25 s
on either side of a reference boundary (pyannote.metrics).
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench._shared import shared_audio
from bench.row import Row
from clearcast.audio.recording import Recording
from clearcast.audio.sandbox import prepare_sync
from clearcast.engines.diarize.contract import DiarizationEngine
from clearcast.engines.engine import EngineContext, make_engine
from clearcast.sample import sample_conversation
from clearcast.settings import load_settings
from clearcast.speech.rttm import read_rttm_file
from clearcast.speech.turns import Turn

COLLAR_S = 0.5  # the whole of it: 0.25 s on either side


@dataclass
class Score:
    """The errors on one group of recordings, added up."""

    metric: Any
    speech_s: float = 0.0
    cpu_s: float = 0.0
    counts: list[int] = field(default_factory=list)


def rows() -> Iterator[Row]:
    engine = make_engine(DiarizationEngine, "vbx", {}, EngineContext(models_dir=Path()))
    add(new_score(), engine, sample_conversation().audio, sample_conversation().reference)  # warm up
    for case, files in recordings().items():
        score = new_score()
        for audio, reference in files:
            error = add(score, engine, audio, reference)
            yield Row("diarization", f"{case}: {audio.stem}", "DER", 100 * error, "%")
        exact = sum(off == 0 for off in score.counts)
        yield Row("diarization", case, "DER", 100 * abs(score.metric), "%")
        yield Row("diarization", case, "speaker count exact", exact, f"of {len(score.counts)}")
        yield Row("diarization", case, "cpu-RTF", score.cpu_s / score.speech_s, "")


def recordings() -> dict[str, list[tuple[Path, Path]]]:
    """(audio, reference) of each group."""
    sample = sample_conversation()
    found = {"sample conversation": [(sample.audio, sample.reference)]}
    folder = shared_audio()
    if folder is not None:
        groups = {"diarization": "meetings", "diarization_real": "far-field"}
        for item in json.loads((folder / "manifest.json").read_text(encoding="utf-8"))["items"]:
            if item["task"] in groups:
                pair = (folder / item["file"], folder / item["truth"]["rttm"])
                found.setdefault(groups[item["task"]], []).append(pair)
    return found


def new_score() -> Score:
    from pyannote.metrics.diarization import DiarizationErrorRate

    return Score(DiarizationErrorRate(collar=COLLAR_S, skip_overlap=False))


def add(score: Score, engine: DiarizationEngine, audio: Path, reference: Path) -> float:
    """Diarize one file and add its errors; returns its own error rate."""
    from pyannote.core import Segment, Timeline

    truth = read_rttm_file(reference.read_text(encoding="utf-8")).turns
    with tempfile.TemporaryDirectory() as folder:
        made = prepare_sync(audio, Path(folder) / "audio.wav", load_settings("local").audio)
        with Recording.open(made.path) as recording:
            started_s = time.process_time()
            found = engine.diarize(recording)
            score.cpu_s += time.process_time() - started_s
            score.speech_s += recording.duration_s
            whole = Timeline([Segment(0, recording.duration_s)])
    score.counts.append(len(found.speakers) - len({turn.speaker for turn in truth}))
    return float(score.metric(annotation(truth), annotation(found.turns), uem=whole))


def annotation(turns: tuple[Turn, ...]) -> Any:
    from pyannote.core import Annotation, Segment

    marked = Annotation()
    for turn in turns:
        segment = Segment(turn.start_s, turn.end_s)
        marked[segment, marked.new_track(segment)] = turn.speaker
    return marked
