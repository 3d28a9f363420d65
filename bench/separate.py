"""Separation: what centre masking gains on a stereo mix with known parts, and what the Demucs engine costs
against Demucs' own separator on the same file and checkpoint; memory for a short and a long file.

No trained weights are at hand, so Demucs runs a small network of the published kind with random ones: the
times compare the two ways of feeding it, not its quality. At full width the network outweighs the rest by
far, and both ways run it equally often.
"""

from __future__ import annotations

import json
import math
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from bench._fresh import in_fresh_process
from bench._sdr import sdr_db, si_sdr_db
from bench._shared import shared_audio
from bench.row import Row
from clearcast.audio.sound import SoundReader, SoundWriter, prepare_sound_sync
from clearcast.engines.engine import EngineContext, make_engine
from clearcast.engines.separate.contract import SeparateOptions, SeparationEngine
from clearcast.settings import load_settings
from clearcast.testing.checkpoints.demucs import write_demucs

SHORT_S, LONG_S = 180.0, 10_800.0
COMPARED_S = 60.0
ROUNDS = 4
RATE_HZ = 44_100

_PEAK = """
import json, resource, sys
from pathlib import Path
from bench._fresh import peak_bytes
from bench.separate import separated
from clearcast.engines.engine import EngineContext, make_engine
from clearcast.engines.separate.contract import SeparationEngine

name, options, source, target = sys.argv[1:]
engine = make_engine(SeparationEngine, name, json.loads(options), EngineContext(Path(target)))
separated(engine, Path(source), Path(target))
usage = resource.getrusage(resource.RUSAGE_SELF)
print(json.dumps([peak_bytes(), usage.ru_utime + usage.ru_stime]))
"""


def rows() -> Iterator[Row]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        yield from _centre_quality(folder)
        checkpoint = write_demucs(folder / "htdemucs")
        yield from _demucs_cost(checkpoint, folder)
        demucs = {"model": str(checkpoint), "device": "cpu"}
        for engine, options in (("centre", {}), ("demucs", demucs)):  # demucs takes half an hour
            short_bytes, _ = _peak(engine, options, SHORT_S, folder)
            long_bytes, cpu_s = _peak(engine, options, LONG_S, folder)
            case = f"{engine}, {LONG_S / 60:.0f} min over {SHORT_S / 60:.0f} min"
            yield Row("separate", case, "peak memory", long_bytes / 1e6, "MB", short_bytes / 1e6)
            yield Row("separate", case, "memory added", (long_bytes - short_bytes) / 1e6, "MB", 150.0)
            yield Row("separate", case, "cpu-RTF", cpu_s / LONG_S, "")


def separated(engine: SeparationEngine, source: Path, folder: Path) -> dict[str, Path]:
    """Vocals and accompaniment of a sound file as files in `folder`."""
    targets = {stem: folder / f"{stem}.wav" for stem in SeparateOptions().stems}
    with SoundReader.open(source) as reader, ExitStack() as stack:
        shape = (reader.sample_rate_hz, reader.channels)
        writers = {stem: stack.enter_context(SoundWriter(path, *shape)) for stem, path in targets.items()}
        engine.separate(reader, writers)
    return targets


def _centre_quality(folder: Path) -> Iterator[Row]:
    shared = shared_audio()
    if shared is None:
        return
    limits = load_settings("local").audio
    engine = make_engine(SeparationEngine, "centre", {}, EngineContext(folder))
    for item in json.loads((shared / "manifest.json").read_text(encoding="utf-8"))["items"]:
        if item["task"] != "music":
            continue
        sounds = {}
        sources = {"mix": item["file"], "vocals": item["truth"]["voice"]}
        for part, file in (sources | {"accompaniment": item["truth"]["backing"]}).items():
            path = prepare_sound_sync(shared / file, folder / f"true-{part}.wav", limits).path
            with SoundReader.open(path) as sound:
                sounds[part] = sound.read().mean(axis=1)
        stems = separated(engine, folder / "true-mix.wav", folder)
        for stem, path in stems.items():
            with SoundReader.open(path) as sound:
                found = sound.read().mean(axis=1)
            for metric, measure in (("SDR", sdr_db), ("SI-SDR", si_sdr_db)):
                before, after = measure(sounds[stem], sounds["mix"]), measure(sounds[stem], found)
                case = f"centre: {Path(item['file']).stem}, {stem}"
                yield Row("separate", case, f"{metric} gained", after - before, "dB", 5.0)


def _demucs_cost(checkpoint: Path, folder: Path) -> Iterator[Row]:
    import torch
    from demucs.api import Separator

    engine = make_engine(
        SeparationEngine, "demucs", {"model": str(checkpoint), "device": "cpu"}, EngineContext(folder)
    )
    engine.load()
    upstream = Separator(_pickled(folder), repo=folder / "pickled", device="cpu", shifts=0)
    source = _noise(COMPARED_S, folder)

    def by_upstream() -> None:
        with SoundReader.open(source) as reader:
            mix = torch.from_numpy(reader.read().T.copy())
        found = upstream.separate_tensor(mix, RATE_HZ)[1]
        others = found["drums"] + found["bass"] + found["other"]
        for stem, samples in (("vocals", found["vocals"]), ("accompaniment", others)):
            with SoundWriter(folder / f"upstream-{stem}.wav", RATE_HZ, 2) as writer:
                writer.write(samples.numpy().T)

    ours_s = theirs_s = math.inf
    for _ in range(ROUNDS):  # in turn, so that whatever else the machine does meets both alike
        started_s = time.process_time()
        separated(engine, source, folder)
        ours_s = min(ours_s, time.process_time() - started_s)
        started_s = time.process_time()
        by_upstream()
        theirs_s = min(theirs_s, time.process_time() - started_s)
    case = "demucs, small network, whole file to stems"
    yield Row(
        "separate",
        case,
        "cpu-RTF",
        ours_s / COMPARED_S,
        "",
        theirs_s / COMPARED_S,
        ours_s / theirs_s,
    )


def _pickled(folder: Path) -> str:
    """The same checkpoint as a local repository of Demucs' own."""
    write_demucs(folder / "pickled", layout="th")
    return "htdemucs"


def _peak(engine: str, options: dict[str, str], duration_s: float, folder: Path) -> tuple[int, float]:
    """(peak resident bytes, CPU seconds) of one run in a fresh process."""
    source = _noise(duration_s, folder)
    peak_bytes, cpu_s = in_fresh_process(_PEAK, engine, json.dumps(options), str(source), str(folder))
    source.unlink()
    return peak_bytes, cpu_s


def _noise(duration_s: float, folder: Path) -> Path:
    path = folder / f"noise-{duration_s:.0f}s.wav"
    minute = np.random.default_rng(0).standard_normal((60 * RATE_HZ, 2)).astype(np.float32) * 0.1
    left = round(duration_s * RATE_HZ)
    with SoundWriter(path, RATE_HZ, 2) as writer:
        while left > 0:
            writer.write(minute[:left])
            left -= len(minute)
    return path
