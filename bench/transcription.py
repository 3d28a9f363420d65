"""Transcription: words of the rough engine against PocketSphinx called plainly, and what our wrapping of
Whisper costs.

Whisper's weights are random here, so that only its cost means anything: the shape is that of "tiny".
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from bench.row import Row
from bench.word_error import WordErrors, word_errors
from clearcast.audio.recording import SAMPLE_RATE_HZ, FloatAudio, Recording
from clearcast.engines.engine import EngineContext, make_engine
from clearcast.engines.transcribe.contract import TranscribeOptions, TranscriptionEngine
from clearcast.testing.checkpoints.whisper import PUBLISHED_TINY, WhisperShape, write_whisper

SHARED_AUDIO = Path(__file__).resolve().parents[2] / "shared" / "audio"
NOWHERE = EngineContext(Path("no-models-needed"))
ROUNDS = 3
AT_ONCE = 8
SHORT_SPOKEN = WhisperShape(width=384, layers=4, heads=6)
"""As deep and wide as "tiny", float32, with few words, so that texts end."""


@dataclass(frozen=True, slots=True)
class Clip:
    samples: FloatAudio
    text: str


def clips() -> list[Clip]:
    """The transcribed clips that lie beside the checkout; none when they do not."""
    manifest = SHARED_AUDIO / "manifest.json"
    if not manifest.is_file():
        return []
    found = []
    for item in json.loads(manifest.read_text(encoding="utf-8"))["items"]:
        if item["task"] == "transcription":
            samples, rate_hz = soundfile.read(SHARED_AUDIO / item["file"], dtype="float32")
            assert rate_hz == SAMPLE_RATE_HZ
            found.append(Clip(samples, item["truth"]["text"]))
    return found


def rows() -> Iterator[Row]:
    heard = clips()
    if heard:
        yield from rough_rows(heard)
        sound = np.concatenate([clip.samples for clip in heard])[: 60 * SAMPLE_RATE_HZ]
        yield from whisper_rows(sound)
        yield from live_rows(sound)


def rough_rows(heard: list[Clip]) -> Iterator[Row]:
    """WER and cost of our engine; reference: each clip decoded whole by PocketSphinx as it comes."""
    case = f"pocketsphinx, {len(heard)} clips"
    length_s = sum(len(clip.samples) for clip in heard) / SAMPLE_RATE_HZ
    ours, ours_s = judge(our_sphinx(), heard)
    plain, plain_s = judge(plain_sphinx(), heard)
    yield Row("transcription", case, "WER", ours.rate, "", plain.rate, ours.rate / plain.rate)
    rtf, plain_rtf = ours_s / length_s, plain_s / length_s
    yield Row("transcription", case, "cpu-RTF", rtf, "", plain_rtf, rtf / plain_rtf)


def judge(transcribe: Callable[[FloatAudio], str], heard: list[Clip]) -> tuple[WordErrors, float]:
    """Errors over all clips, and CPU seconds."""
    started_s = time.process_time()
    written = [transcribe(clip.samples) for clip in heard]
    used_s = time.process_time() - started_s
    errors = (word_errors(clip.text, text) for clip, text in zip(heard, written, strict=True))
    return sum(errors, WordErrors()), used_s


def our_sphinx() -> Callable[[FloatAudio], str]:
    engine = make_engine(TranscriptionEngine, "pocketsphinx", {}, NOWHERE)
    engine.load()
    return lambda samples: engine.transcribe(Recording.from_array(samples)).text


def plain_sphinx() -> Callable[[FloatAudio], str]:
    from pocketsphinx import Decoder

    decoder = Decoder(loglevel="FATAL")

    def transcribe(samples: FloatAudio) -> str:
        decoder.start_utt()
        decoder.process_raw(np.rint(samples * 32767).astype("<i2").tobytes(), full_utt=True)
        decoder.end_utt()
        heard = decoder.hyp()
        return str(heard.hypstr) if heard else ""

    return transcribe


def whisper_rows(samples: FloatAudio) -> Iterator[Row]:
    """CPU seconds of our engine and of the library it wraps, in turn, in one process."""
    with tempfile.TemporaryDirectory() as name:
        folder = write_whisper(Path(name) / "tiny", PUBLISHED_TINY)
        runs = {"ours": our_whisper(folder), "upstream": plain_whisper(folder)}
        used_s: dict[str, list[float]] = {"ours": [], "upstream": []}
        for _ in range(ROUNDS + 1):
            for who, run in runs.items():
                started_s = time.process_time()
                run(samples)
                used_s[who].append(time.process_time() - started_s)
    # The first round warms up; the least of the others is what the machine could do.
    ours_s, upstream_s = min(used_s["ours"][1:]), min(used_s["upstream"][1:])
    length_s = len(samples) / SAMPLE_RATE_HZ
    case = f"faster_whisper, shape of tiny, int8, {length_s:.0f} s"
    yield Row("transcription", case, "CPU seconds", ours_s, "s", upstream_s, ours_s / upstream_s)


def live_rows(samples: FloatAudio) -> Iterator[Row]:
    """CPU seconds of eight live utterances that come at once, in one batch; reference: one by one."""
    said = [Recording.from_array(part[: 4 * SAMPLE_RATE_HZ]) for part in np.array_split(samples, AT_ONCE)]
    asked = TranscribeOptions(
        language="en", beam_size=1, temperature=0.0, voice_activity=False, is_live=True
    )
    with tempfile.TemporaryDirectory() as name, ThreadPoolExecutor(AT_ONCE) as threads:
        folder = write_whisper(Path(name) / "narrow", SHORT_SPOKEN)
        engines = [live_whisper(folder, most) for most in (1, AT_ONCE)]
        used_s: list[list[float]] = [[], []]
        for _ in range(2):  # the first warms up
            for engine, times_s in zip(engines, used_s, strict=True):
                started_s = time.process_time()
                list(threads.map(lambda one, made=engine: made.transcribe(one, options=asked), said))
                times_s.append(time.process_time() - started_s)
    alone_s, together_s = (times_s[-1] for times_s in used_s)
    case = f"faster_whisper, {AT_ONCE} live utterances at once"
    yield Row("transcription", case, "CPU seconds", together_s, "s", alone_s, together_s / alone_s)


def live_whisper(folder: Path, most: int) -> TranscriptionEngine:
    options = {"model": str(folder), "device": "cpu", "threads": 1, "live_batch_size": most}
    engine = make_engine(TranscriptionEngine, "faster_whisper", options, NOWHERE)
    engine.load()
    return engine


def our_whisper(folder: Path) -> Callable[[FloatAudio], Any]:
    options = {"model": str(folder), "device": "cpu", "compute_type": "int8", "threads": 1}
    engine = make_engine(TranscriptionEngine, "faster_whisper", options, NOWHERE)
    asked = TranscribeOptions(language="en", temperature=0.0)
    return lambda samples: engine.transcribe(Recording.from_array(samples), options=asked)


def plain_whisper(folder: Path) -> Callable[[FloatAudio], Any]:
    from faster_whisper import WhisperModel

    model = WhisperModel(str(folder), device="cpu", compute_type="int8", cpu_threads=1)
    settings = {"language": "en", "temperature": 0.0, "vad_filter": True, "word_timestamps": True}
    return lambda samples: list(model.transcribe(samples, **settings)[0])
