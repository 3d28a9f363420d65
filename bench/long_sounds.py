"""Memory of the jobs that make sound, with the embedded engines: three hours against three minutes.

Each runs as on the command line, from a file to its results, in a fresh process; decoding, in a process of
its own, does not count. Extraction finds the speakers too.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from bench._fresh import in_fresh_process
from bench._recordings import conversation_of
from bench.row import Row
from clearcast.audio.recording import SAMPLE_RATE_HZ, Recording
from clearcast.audio.sound import SoundWriter

_ECHO_SAMPLES = 800
SHORT_S, LONG_S = 180.0, 10_800.0
MOST_ADDED_MB = 150.0
JOBS: dict[str, dict[str, object]] = {
    "enhance": {},
    "boost": {},
    "separate": {},
    "extract": {"everyone": True},
}

_PEAK = """
import asyncio, json, resource, sys, tempfile
from pathlib import Path
from bench._fresh import peak_bytes
from clearcast.local import local_services
from clearcast.settings import load_settings
from pipelines.alone import Bench
from pipelines.recipes import all_recipes

name, options, source = sys.argv[1:]
settings = load_settings("local")
recipe = all_recipes()[name]
with tempfile.TemporaryDirectory() as folder:
    bench = Bench(local_services(settings), settings.audio, Path(folder))
    asyncio.run(bench.run(recipe, Path(source), recipe.Options.model_validate_json(options)))
usage = resource.getrusage(resource.RUSAGE_SELF)
print(json.dumps([peak_bytes(), usage.ru_utime + usage.ru_stime]))
"""


def rows() -> Iterator[Row]:
    with tempfile.TemporaryDirectory() as name:
        for job, options in JOBS.items():
            short_bytes, _ = peak(job, options, _recording(job, SHORT_S, Path(name)))
            long_bytes, cpu_s = peak(job, options, _recording(job, LONG_S, Path(name)))
            added_mb = (long_bytes - short_bytes) / 1e6
            yield Row("long sounds", job, "peak, 3 h", long_bytes / 1e6, "MB", short_bytes / 1e6)
            yield Row("long sounds", job, "added by 3 h over 3 min", added_mb, "MB", MOST_ADDED_MB)
            yield Row("long sounds", job, "cpu-RTF, 3 h", cpu_s / LONG_S, "")


def _recording(job: str, duration_s: float, folder: Path) -> Path:
    """Mono; for separation stereo, with a voice in the middle and an echo of it on the left."""
    mono = conversation_of(duration_s, folder)
    if job != "separate":
        return mono
    stereo, last = folder / "stereo.wav", np.zeros(_ECHO_SAMPLES, np.float32)
    with Recording.open(mono) as recording, SoundWriter(stereo, SAMPLE_RATE_HZ, 2) as writer:
        for _, samples in recording.windows(60.0):
            echo = np.concatenate((last, samples))[: len(samples)]
            writer.write(np.stack((samples + np.float32(0.3) * echo, samples), axis=1))
            last = samples[-_ECHO_SAMPLES:]
    return stereo


def peak(job: str, options: dict[str, object], source: Path) -> tuple[int, float]:
    """(peak resident bytes, CPU seconds) of one run in a fresh process."""
    peak_bytes, cpu_s = in_fresh_process(_PEAK, job, json.dumps(options), str(source))
    return peak_bytes, cpu_s
