"""Keywords: the shipped Persian digits on voices, noises and speakers that had no part in training; how
soon a live word is told; how many files a minute.

The digits are synthesised by espeak-ng for the run (`clearcast/testing/digit_voices.py`): how well people
are understood is not measured here. Noises and other speech are from the shared evaluation audio.
"""

from __future__ import annotations

import json
import random
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from click.testing import CliRunner

from bench._shared import shared_audio
from bench.row import Row
from clearcast.audio.recording import SAMPLE_RATE_HZ, FloatAudio, Recording
from clearcast.audio.sandbox import prepare_sync
from clearcast.cli.app import clearcast
from clearcast.engines.classify.contract import ClassifyOptions, KeywordEngine
from clearcast.engines.classify.training.augment import in_room, make_rooms
from clearcast.engines.engine import EngineContext, make_engine
from clearcast.settings import AudioSettings
from clearcast.testing.digit_voices import (
    EVALUATION_NOISES,
    EVALUATION_VOICES,
    UNHEARD_WORDS,
    Spoken,
    digits,
    has_espeak,
    other_words,
)

STRINGS, DIGITS_IN_A_STRING = 60, 8
PIECE_SAMPLES = 160  # 10 ms: what a live source sends at a time
FILES = 200
REPLACED_FILES_A_MINUTE = 30.0
_RMS = 0.05


@dataclass(frozen=True, slots=True)
class _String:
    """Digits with pauses: what is said, and in which sample each ends."""

    samples: FloatAudio
    labels: tuple[str, ...]
    ends: tuple[int, ...]


def rows() -> Iterator[Row]:
    shared = shared_audio()
    if shared is None or not has_espeak():
        print("skipped: keywords need the shared evaluation audio and espeak-ng")
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        engine = make_engine(KeywordEngine, "residual_cnn", {}, EngineContext(folder))
        said = digits(EVALUATION_VOICES, 3, 21)
        noises, speech = _noises(shared, folder), _speech(shared, folder)
        yield from _words(engine, said, noises)
        yield from _rejection(engine, speech, noises)
        for snr_db, name_of, target in ((None, "clean", 0.5), (10.0, "10 dB SNR", 10.0)):
            strings = list(_strings(said, noises, snr_db))
            case = f"Persian digit strings, {name_of}"
            yield Row("keywords", case, "digit error", _string_error(engine, strings), "%", target)
            delays_ms = _delays_ms(engine, strings)
            yield Row("live", case, "keyword_p95_ms", float(np.percentile(delays_ms, 95)), "ms", 100.0)
        yield _speed(said, folder)


def _words(engine: KeywordEngine, said: Sequence[Spoken], noises: Sequence[FloatAudio]) -> Iterator[Row]:
    """Single words, found and named: right when exactly that one is heard."""
    rng, rooms = random.Random(1), make_rooms(77, 25)
    right = {"clean": 0, "0 to 20 dB SNR, rooms": 0}
    for word in said:
        samples = _levelled(word.samples)
        spaced = np.pad(samples, SAMPLE_RATE_HZ // 2)
        right["clean"] += _heard(engine, spaced) == (word.label,)
        if rng.random() < 0.6:
            samples = _levelled(in_room(samples, rng.choice(rooms)))
        noisy = _mixed(np.pad(samples, SAMPLE_RATE_HZ // 2), noises, rng.uniform(0.0, 20.0), rng)
        right["0 to 20 dB SNR, rooms"] += _heard(engine, noisy) == (word.label,)
    for (case, count), target in zip(right.items(), (99.0, 92.0), strict=True):
        yield Row("keywords", f"Persian digits, {case}", "recognised", 100 * count / len(said), "%", target)


def _rejection(
    engine: KeywordEngine, speech: Sequence[FloatAudio], noises: Sequence[FloatAudio]
) -> Iterator[Row]:
    others = [
        np.pad(_levelled(word.samples), SAMPLE_RATE_HZ // 2)
        for word in other_words(EVALUATION_VOICES, UNHEARD_WORDS, 300, 22)
    ]
    for case, sounds in (("real speech", speech), ("other Persian words", others), ("noise", noises)):
        told = [
            word.label
            for sound in sounds
            for word in engine.classify(
                Recording.from_array(sound), ClassifyOptions(keep_unknown=True)
            ).words
        ]
        wrong = sum(label != "unknown" for label in told)
        yield Row("keywords", case, "taken for digits", 100 * wrong / max(1, len(told)), "%", 2.0)


def _string_error(engine: KeywordEngine, strings: Sequence[_String]) -> float:
    """Insertions, deletions and substitutions, in hundredths of the digits."""
    errors = sum(_edits(_heard(engine, string.samples), string.labels) for string in strings)
    return 100 * errors / sum(len(string.labels) for string in strings)


def _delays_ms(engine: KeywordEngine, strings: Sequence[_String]) -> list[float]:
    """From the end of each word to its first right label, in the time of the sound; what the computing
    takes of a processor is added, but not what others on this machine do."""
    delays_ms = []
    for string in strings:
        stream, waiting = engine.stream(), dict(zip(string.ends, string.labels, strict=True))
        for start in range(0, len(string.samples), PIECE_SAMPLES):
            began_s = time.thread_time()
            heard = stream.push(string.samples[start : start + PIECE_SAMPLES])
            took_s = time.thread_time() - began_s
            for one in heard:
                end = min(waiting, key=lambda at: abs(at / SAMPLE_RATE_HZ - one.word.end_s), default=None)
                if end is not None and waiting[end] == one.word.label:
                    del waiting[end]
                    now_s = (start + PIECE_SAMPLES) / SAMPLE_RATE_HZ + took_s
                    delays_ms.append(1000 * (now_s - end / SAMPLE_RATE_HZ))
    return delays_ms


def _speed(said: Sequence[Spoken], folder: Path) -> Row:
    """Files a minute through the command, decoding and all."""
    source = folder / "files"
    source.mkdir()
    rng = random.Random(4)
    for number in range(FILES):
        string = next(_strings(rng.sample(said, DIGITS_IN_A_STRING), (), None))
        soundfile.write(source / f"{number}.wav", string.samples, SAMPLE_RATE_HZ)
    began_s = time.perf_counter()
    done = CliRunner().invoke(
        clearcast, ["--quiet", "classify", str(source), "--csv", str(folder / "o.csv")]
    )
    assert done.exit_code == 0, done.output
    minutes = (time.perf_counter() - began_s) / 60
    rate = FILES / minutes
    return Row(
        "keywords",
        f"classify {FILES} files of {DIGITS_IN_A_STRING} digits",
        "files a minute",
        rate,
        "",
        REPLACED_FILES_A_MINUTE,
        rate / REPLACED_FILES_A_MINUTE,
    )


def _strings(
    said: Sequence[Spoken], noises: Sequence[FloatAudio], snr_db: float | None
) -> Iterator[_String]:
    rng = random.Random(11)
    for _ in range(STRINGS):
        parts, ends, labels = [_pause(rng)], [], []
        voice = rng.choice(said).voice
        for word in rng.choices([one for one in said if one.voice == voice], k=DIGITS_IN_A_STRING):
            parts.append(_levelled(word.samples))
            # What espeak-ng adds after the audible part is 20 ms.
            ends.append(sum(map(len, parts)) - SAMPLE_RATE_HZ // 50)
            labels.append(word.label)
            parts.append(_pause(rng))
        samples = np.concatenate(parts)
        if snr_db is not None:
            samples = _mixed(samples, noises, snr_db, rng)
        yield _String(samples, tuple(labels), tuple(ends))


def _pause(rng: random.Random) -> FloatAudio:
    return np.zeros(round(rng.uniform(0.3, 0.8) * SAMPLE_RATE_HZ), np.float32)


def _mixed(
    samples: FloatAudio, noises: Sequence[FloatAudio], snr_db: float, rng: random.Random
) -> FloatAudio:
    """With noise; the ratio is that of the audible parts, which have a level of their own."""
    noise = np.resize(np.roll(rng.choice(noises), rng.randrange(SAMPLE_RATE_HZ)), len(samples))
    return samples + _levelled(noise) * np.float32(10 ** (-snr_db / 20))


def _levelled(samples: FloatAudio) -> FloatAudio:
    return np.asarray(samples / (np.sqrt(np.mean(np.square(samples))) + 1e-9) * _RMS, np.float32)


def _heard(engine: KeywordEngine, samples: FloatAudio) -> tuple[str, ...]:
    return tuple(word.label for word in engine.classify(Recording.from_array(samples)).words)


def _edits(found: Sequence[str], wanted: Sequence[str]) -> int:
    """Levenshtein's distance."""
    row = list(range(len(wanted) + 1))
    for count, one in enumerate(found, start=1):
        before, row[0] = row[0], count
        for place, other in enumerate(wanted, start=1):
            before, row[place] = (
                row[place],
                min(row[place] + 1, row[place - 1] + 1, before + (one != other)),
            )
    return row[-1]


def _noises(shared: Path, folder: Path) -> list[FloatAudio]:
    found = []
    for item in _items(shared):
        if item["task"] == "denoise" and Path(item["sources"][1]["path"]).name in EVALUATION_NOISES:
            noisy, clean = (_read(shared / file, folder) for file in (item["file"], item["truth"]["clean"]))
            length = min(len(noisy), len(clean))
            found.append(noisy[:length] - clean[:length])
    return found


def _speech(shared: Path, folder: Path) -> list[FloatAudio]:
    """Read English, and meetings: none of these speakers was heard in training."""
    tasks = ("transcription", "diarization_real")
    return [_read(shared / item["file"], folder) for item in _items(shared) if item["task"] in tasks]


def _items(shared: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((shared / "manifest.json").read_text("utf-8"))["items"]
    return found


def _read(file: Path, folder: Path) -> FloatAudio:
    copy = folder / "copy.wav"
    prepare_sync(file, copy, AudioSettings())
    with Recording.open(copy) as recording:
        return recording.read()
