"""Denoising: what it does to noisy speech, what it costs, against upstream's own function in the same run.

DeepFilterNet2 runs on a checkpoint of the published shape with random weights, since none are at hand: its
cost is true, its sound says nothing, so quality is measured for RNNoise only.
"""

from __future__ import annotations

import importlib
import json
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import soundfile

from bench._fresh import in_fresh_process
from bench._sdr import si_sdr_db
from bench._shared import shared_audio
from bench.row import Row
from clearcast.audio.encode import open_encoder
from clearcast.engines.denoise.contract import DenoiseEngine
from clearcast.engines.engine import EngineContext, make_engine
from clearcast.testing.checkpoints.deepfilternet import write_deepfilternet2

Mono = npt.NDArray[np.float32]

_RATE_HZ = 48_000
_SHORT_S, _LONG_S = 180.0, 10_800.0
_COST_S = 60.0
_LIVE_S = 20.0

_WHOLE_JOB = """
import json, resource, sys, tempfile
from pathlib import Path
from bench._fresh import peak_bytes
from clearcast.audio.sound import SoundReader, SoundWriter, encode_sound, prepare_sound_sync
from clearcast.engines.denoise.contract import DenoiseEngine
from clearcast.engines.engine import EngineContext, make_engine
from clearcast.settings import load_settings

name, options, source = sys.argv[1:]
engine = make_engine(DenoiseEngine, name, json.loads(options), EngineContext(Path("nowhere")))
engine.load()
spent = lambda: sum(
    use.ru_utime + use.ru_stime
    for use in map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
)
before_s = spent()
with tempfile.TemporaryDirectory() as folder:
    noisy, clean = Path(folder) / "noisy.wav", Path(folder) / "clean.wav"
    made = prepare_sound_sync(Path(source), noisy, load_settings("local").audio)
    with SoundReader.open(noisy) as reader:
        with SoundWriter(clean, reader.sample_rate_hz, reader.channels) as writer:
            engine.denoise(reader, writer)
    encode_sound(clean, Path(folder) / "clean.flac")
print(json.dumps([peak_bytes(), (spent() - before_s) / made.duration_s]))
"""


def rows() -> Iterator[Row]:
    shared = shared_audio()
    if shared is None:
        return
    yield from quality(shared)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        checkpoint = write_deepfilternet2(folder / "deepfilternet2")
        speech = _speech(shared)
        yield from deepfilternet2_cost(checkpoint, speech)
        yield from live_cost(checkpoint, speech)
        yield from whole_jobs(folder, checkpoint, speech)


def quality(shared: Path) -> Iterator[Row]:
    """RNNoise on the noisy set, as it is set by default; the references are the noisy recordings."""
    from pesq import pesq
    from pystoi import stoi

    engine = make_engine(DenoiseEngine, "rnnoise", {}, EngineContext(Path("nowhere")))
    found = []
    for item in _noisy_items(shared):
        noisy, rate_hz = soundfile.read(shared / item["file"], dtype="float32")
        clean, _ = soundfile.read(shared / item["truth"]["clean"], dtype="float32")
        with engine.open_stream(rate_hz, 1) as stream:
            parts = [stream.push(noisy[:, np.newaxis]), stream.flush()]
        better = np.concatenate(parts)[:, 0]
        found.append(
            [
                measure(clean, sound)
                for sound in (noisy, better)
                for measure in (
                    si_sdr_db,
                    lambda clean, sound: pesq(rate_hz, clean, sound, "wb"),  # noqa: B023
                    lambda clean, sound: pesq(rate_hz, clean, sound, "nb"),  # noqa: B023
                    lambda clean, sound: stoi(clean, sound, rate_hz),  # noqa: B023
                )
            ]
        )
    scores = np.array(found)
    metrics = ("SI-SDR", "PESQ (wide band)", "PESQ (narrow band)", "STOI")
    gains_db = scores[:, len(metrics)] - scores[:, 0]
    case = f"rnnoise, {len(found)} noisy clips"
    yield Row("denoise", case, "SI-SDR gained, mean", float(gains_db.mean()), "dB")
    yield Row("denoise", case, "SI-SDR gained, worst clip", float(gains_db.min()), "dB")
    for column, name in enumerate(metrics[1:], start=1):
        before, after = (float(scores[:, at].mean()) for at in (column, column + len(metrics)))
        yield Row("denoise", case, name, after, "", before, after / before)


def deepfilternet2_cost(checkpoint: Path, speech: Mono) -> Iterator[Row]:
    """A file of one minute, one thread, against `df.enhance.enhance` on the same samples, best of three."""
    import torch

    torch.set_num_threads(1)
    samples = speech[: round(_COST_S * _RATE_HZ)]
    engines = {name: _deepfilternet2(checkpoint, name) for name in ("onnx", "torch")}
    enhance = importlib.import_module("df.enhance")
    model, state, _ = enhance.init_df(str(checkpoint), log_file=None)
    audio = torch.from_numpy(samples[np.newaxis])
    ways: dict[str, Callable[[], object]] = {
        "upstream": lambda: enhance.enhance(model, state, audio),
        "onnx": lambda: _stream(engines["onnx"], samples, 10 * _RATE_HZ),
        "torch": lambda: _stream(engines["torch"], samples, 10 * _RATE_HZ),
    }
    spent: dict[str, float] = dict.fromkeys(ways, np.inf)
    for _ in range(3):  # in turn, so that whatever else the machine does meets all alike
        for name, way in ways.items():
            spent[name] = min(spent[name], _cpu_s(way) / _COST_S)
    for name in ("onnx", "torch"):
        ratio = spent[name] / spent["upstream"]
        yield Row(
            "denoise", f"deepfilternet2, {name}", "cpu-RTF", spent[name], "", spent["upstream"], ratio
        )


def live_cost(checkpoint: Path, speech: Mono) -> Iterator[Row]:
    """One live stream, pushed hop by hop (10 ms) and two hops at a time (20 ms, a frame of Opus)."""
    samples = speech[: round(_LIVE_S * _RATE_HZ)]
    nowhere = EngineContext(Path("nowhere"))
    for engine in (_deepfilternet2(checkpoint, "onnx"), make_engine(DenoiseEngine, "rnnoise", {}, nowhere)):
        for hops in (1, 2):
            best = min(_cpu_s(lambda: _stream(engine, samples, 480 * hops)) for _ in range(3))  # noqa: B023
            case = f"{engine.engine_name()}, live, {10 * hops} ms"
            yield Row("denoise", case, "cpu-RTF", best / _LIVE_S, "")


def whole_jobs(folder: Path, checkpoint: Path, speech: Mono) -> Iterator[Row]:
    """Decode, denoise and encode in a fresh process: cost, and memory by length."""
    files = {seconds: _flac_of(speech, seconds, folder) for seconds in (_SHORT_S, _LONG_S)}
    for name, options in (("rnnoise", {}), ("deepfilternet2", {"model": str(checkpoint)})):
        short_bytes, short_rtf = _whole_job(name, options, files[_SHORT_S])
        long_bytes, _ = _whole_job(name, options, files[_LONG_S])
        yield Row("denoise", f"{name}, decode to encode", "cpu-RTF, 3 min", short_rtf, "")
        yield Row("denoise", name, "peak, 3 h", long_bytes / 1e6, "MB", short_bytes / 1e6)
        added_mb = (long_bytes - short_bytes) / 1e6
        yield Row("denoise", name, "added by 3 h over 3 min", added_mb, "MB")


def _noisy_items(shared: Path) -> list[dict[str, Any]]:
    items = json.loads((shared / "manifest.json").read_text(encoding="utf-8"))["items"]
    return [item for item in items if item["task"] == "denoise"]


def _speech(shared: Path) -> Mono:
    """All noisy clips one after the other, at 48 kHz."""
    from scipy.signal import resample_poly

    clips = [soundfile.read(shared / item["file"], dtype="float32")[0] for item in _noisy_items(shared)]
    return np.asarray(resample_poly(np.concatenate(clips), 3, 1), np.float32)


def _flac_of(speech: Mono, seconds: float, folder: Path) -> Path:
    path = folder / f"{seconds:.0f}s.flac"
    with open_encoder(path, sample_rate_hz=_RATE_HZ) as encoder:
        left = round(seconds * _RATE_HZ)
        while left:
            encoder.write(speech[:left])
            left -= min(left, len(speech))
    return path


def _deepfilternet2(checkpoint: Path, backend: str) -> DenoiseEngine:
    options = {"model": str(checkpoint), "backend": backend, "device": "cpu"}
    engine = make_engine(DenoiseEngine, "deepfilternet2", options, EngineContext(Path("nowhere")))
    engine.load()
    return engine


def _stream(engine: DenoiseEngine, samples: Mono, size: int) -> None:
    with engine.open_stream(_RATE_HZ, 1) as stream:
        for start in range(0, len(samples), size):
            stream.push(samples[start : start + size, np.newaxis])
        stream.flush()


def _cpu_s(work: Callable[[], object]) -> float:
    before_s = time.process_time()
    work()
    return time.process_time() - before_s


def _whole_job(name: str, options: dict[str, str], source: Path) -> tuple[int, float]:
    """(peak resident bytes, CPU seconds per second of sound) of a fresh process."""
    peak_bytes, cpu_rtf = in_fresh_process(_WHOLE_JOB, name, json.dumps(options), str(source))
    return peak_bytes, cpu_rtf
