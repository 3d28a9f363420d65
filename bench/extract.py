"""Extraction on the shared meetings: how much of a person is kept and of the others removed, and whether
somebody who is not there is reported as absent. The reference clips are other recordings of the people.

Where the wanted person and others talk at once counts as theirs only. A person who is there and not found
has lost everything.
"""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bench._shared import shared_audio
from bench.row import Row
from clearcast.audio.recording import Clip
from clearcast.audio.sandbox import prepare
from clearcast.engines.diarize.contract import DiarizeOptions
from clearcast.engines.embed.contract import Embedding
from clearcast.errors import SpeakerAbsent, SpeechTooShort
from clearcast.local import local_services
from clearcast.settings import load_settings
from clearcast.speech.turns import Span
from pipelines import extract as flow

FRAMES_PER_S = 100

Frames = npt.NDArray[np.bool_]


@dataclass
class Tally:
    """Frames of the wanted people, of the others alone, and how many people were there or not."""

    wanted: int = 0
    kept: int = 0
    others: int = 0
    leaked: int = 0
    present: int = 0
    found: int = 0
    absent: int = 0
    reported: int = 0


def rows() -> Iterator[Row]:
    folder = shared_audio()
    if folder is None:
        return
    tally = asyncio.run(measure(folder))
    case = f"gating, {tally.present} people who are there, {tally.absent} who are not"
    for metric, share, aim in (
        ("target kept", tally.kept / tally.wanted, 88.0),
        ("others removed", 1.0 - tally.leaked / tally.others, 95.0),
        ("target found", tally.found / tally.present, None),
        ("absence reported", tally.reported / tally.absent, 95.0),
    ):
        yield Row("extract", case, metric, 100.0 * share, "%", aim)


async def measure(folder: Path) -> Tally:
    """Every reference clip against every meeting."""
    settings = load_settings("local")
    services = local_services(settings)
    items = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))["items"]
    tally = Tally()
    with tempfile.TemporaryDirectory() as name:

        async def clip_of(item: dict[str, Any]) -> tuple[Clip, float]:
            made = await prepare(folder / item["file"], Path(name) / "clip.wav", settings.audio)
            return Clip(made.path.resolve().as_uri()), made.duration_s

        references: dict[str, Embedding] = {}
        for item in items:
            if item["task"] in ("enrolment", "identification_enrol"):
                clip, _ = await clip_of(item)
                with suppress(SpeechTooShort):
                    voice = await flow.voiceprint_of_clip(services, clip)
                    references.setdefault(item["truth"]["speaker"], voice)
        for item in items:
            if item["task"] != "diarization":
                continue
            clip, duration_s = await clip_of(item)
            diarization = await services.diarizer.diarize(clip, DiarizeOptions())
            truth = {
                speaker: frames_of(segments_of(item, speaker), duration_s)
                for speaker in item["truth"]["speakers"]
            }
            for speaker, voice in references.items():
                try:
                    found = await flow.find_speaker(services, clip, diarization, voice, None)
                except SpeakerAbsent:
                    kept = frames_of((), duration_s)
                else:
                    spans = [span for part in flow.passages_of(diarization, found.label) for span in part]
                    kept = frames_of(spans, duration_s)
                _count(tally, truth, speaker, kept)
    return tally


def _count(tally: Tally, truth: dict[str, Frames], speaker: str, kept: Frames) -> None:
    if speaker not in truth:
        tally.absent += 1
        tally.reported += not kept.any()
        return
    others = np.zeros_like(kept)
    for other, frames in truth.items():
        if other != speaker:
            others |= frames
    others &= ~truth[speaker]
    tally.present += 1
    tally.found += bool(kept.any())
    tally.wanted += int(truth[speaker].sum())
    tally.kept += int((truth[speaker] & kept).sum())
    tally.others += int(others.sum())
    tally.leaked += int((others & kept).sum())


def segments_of(item: dict[str, Any], speaker: str) -> list[Span]:
    segments = item["truth"]["segments"]
    return [Span(one["start"], one["end"]) for one in segments if one["speaker"] == speaker]


def frames_of(spans: Sequence[Span], duration_s: float) -> Frames:
    frames = np.zeros(round(duration_s * FRAMES_PER_S) + 1, np.bool_)
    for span in spans:
        frames[round(span.start_s * FRAMES_PER_S) : round(span.end_s * FRAMES_PER_S)] = True
    return frames
