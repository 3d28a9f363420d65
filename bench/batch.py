"""A batch of 400 short recordings, who speaks when and who it is, over two workers: against one worker,
against a plain loop over the same engines in one process, and after random kills.

    python -m bench batch                                      about eight minutes on two quiet cores
    CLEARCAST_BENCH_CLIPS=60 CLEARCAST_BENCH_KILLS=0 …         a first look, about two

The recordings are stretches of real speech (the shared evaluation audio), with the voices of its people
enrolled. Processor seconds are those of the program with everything it started. The loop decodes as the
library does everywhere but in batches, in a fresh process for each file. Without the shared audio nothing
is measured. A line says whether each target was met; on a machine that has other work none of them means
anything.
"""

from __future__ import annotations

import contextlib
import csv
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

from bench._shared import shared_audio
from bench.row import Row
from clearcast.audio.recording import SAMPLE_RATE_HZ, Recording
from clearcast.audio.sandbox import prepare_sync
from clearcast.origin import ROOT
from clearcast.settings import load_settings
from clearcast.testing.media import write_wav

CLIPS = int(os.environ.get("CLEARCAST_BENCH_CLIPS", "400"))
KILLS = int(os.environ.get("CLEARCAST_BENCH_KILLS", "6"))
CLIP_S = (3.0, 12.0)
WORKERS = 2
LOOK_S = 0.2
NURSERY = "clearcast.audio.nursery"
# The targets:
FIRST_RESULT_S = 20.0
MOST_CPU = 1.05  # of the loop's
LEAST_GAIN = 1.8  # of two workers over one
LEAST_BUSY = 0.9  # of both cores, once it is warm

_LOOP = """
import asyncio, json, resource, sys, tempfile, time
from pathlib import Path
from clearcast.local import local_services
from clearcast.settings import load_settings
from clearcast.speech.json_file import write_json
from clearcast.storage.voices import load_voices
from pipelines.alone import Bench
from pipelines.recipes import all_recipes

settings, recipe = load_settings("local"), all_recipes()["diarization"]
services, voices = local_services(settings), tuple(load_voices(Path(sys.argv[3])))
first_s = None
for clip in sorted(Path(sys.argv[1]).iterdir()):
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(services, settings.audio, Path(folder), voices)
        made = asyncio.run(bench.run(recipe, clip, recipe.Options()))
    Path(sys.argv[2], clip.stem + ".meeting.json").write_text(write_json(made.results["meeting"]))
    first_s = first_s or time.monotonic()
used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
cpu_s = sum(one.ru_utime + one.ru_stime for one in used)
print(json.dumps({"cpu_s": cpu_s, "warm_s": time.monotonic() - first_s}))
"""


@dataclass
class Course:
    """What a batch did, by looks from outside.

    Attributes:
        first_s: from the start to the first result.
        warm_s: from the first result to the last, of `warm_clips` more.
        busy: share of the workers' cores in use meanwhile.
    """

    cpu_s: float
    first_s: float
    warm_s: float
    warm_clips: int
    busy: float

    @property
    def pace(self) -> float:
        """Clips a second, once it is warm."""
        return self.warm_clips / self.warm_s


def rows() -> Iterator[Row]:
    audio = shared_audio()
    if audio is None:
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        say(f"cutting {CLIPS} clips and enrolling voices")
        make_clips(audio, folder / "clips")
        enrol(audio, folder / "voices.json")
        say("the plain loop")
        loop = run_loop(folder)
        say(f"the loop took {loop['cpu_s']:.0f} CPU s; a batch with one worker")
        alone = run_batch(folder, "alone", workers=1)
        say(f"{alone.warm_s:.0f} s after the first result; a batch with {WORKERS} workers")
        course = run_batch(folder, "batch")
        yield from compared(folder, loop, alone, course)
        if KILLS:
            say(f"a batch with {KILLS} kills")
            kills = run_killed(folder)
            unalike = unlike(folder, "killed")
            judge(f"{unalike} results changed by kills", is_met=unalike == 0)
            yield Row("batch", f"{kills} kills", "results other than undisturbed", unalike, "files", 0.0)


def compared(folder: Path, loop: dict[str, float], alone: Course, course: Course) -> Iterator[Row]:
    case = f"{CLIPS} clips, diarization, {WORKERS} workers"
    judge(f"first result after {course.first_s:.1f} s", is_met=course.first_s <= FIRST_RESULT_S)
    yield Row("batch", case, "until the first result", course.first_s, "s", FIRST_RESULT_S)
    ratio = course.cpu_s / loop["cpu_s"]
    judge(f"{ratio:.2f} times the CPU seconds of a loop", is_met=ratio <= MOST_CPU)
    yield Row("batch", case, "CPU seconds, against a loop", course.cpu_s, "s", loop["cpu_s"], ratio)
    gain = course.pace / alone.pace
    judge(f"{gain:.2f} times the pace of one worker", is_met=gain >= LEAST_GAIN)
    yield Row("batch", case, "clips a second, against one worker", course.pace, "", alone.pace, gain)
    pace = (CLIPS - 1) / loop["warm_s"]
    yield Row("batch", case, "clips a second, against a loop", course.pace, "", pace, course.pace / pace)
    judge(f"{100 * course.busy:.0f} % of both cores busy", is_met=course.busy >= LEAST_BUSY)
    yield Row("batch", case, "cores busy after the first result", 100 * course.busy, "%", 100 * LEAST_BUSY)
    unalike = unlike(folder, "loop")
    judge(f"{unalike} results other than the loop's", is_met=unalike == 0)
    yield Row("batch", case, "results other than the loop's", unalike, "files", 0.0)


def say(step: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} batch: {step}", flush=True)


def judge(figure: str, *, is_met: bool) -> None:
    say(f"{'met   ' if is_met else 'MISSED'} {figure}")


def make_clips(audio: Path, folder: Path) -> None:
    """Stretches of the meetings, of random places and lengths."""
    folder.mkdir()
    chance = random.Random(1)
    items = json.loads((audio / "manifest.json").read_text(encoding="utf-8"))["items"]
    meetings = [
        audio / item["file"] for item in items if item["task"] in {"diarization", "diarization_real"}
    ]
    for number, meeting in enumerate(meetings):
        made = prepare_sync(meeting, folder / "whole.wav", load_settings("local").audio)
        with Recording.open(made.path) as recording:
            for index in range(number, CLIPS, len(meetings)):
                length_s = min(chance.uniform(*CLIP_S), recording.duration_s)
                start = int(chance.uniform(0.0, recording.duration_s - length_s) * SAMPLE_RATE_HZ)
                samples = recording.read_samples(start, start + int(length_s * SAMPLE_RATE_HZ))
                write_wav(folder / f"clip-{index:03d}.wav", samples, SAMPLE_RATE_HZ)
        made.path.unlink()


def enrol(audio: Path, voices: Path) -> None:
    items = json.loads((audio / "manifest.json").read_text(encoding="utf-8"))["items"]
    enrolled = [audio / item["file"] for item in items if item["task"] == "enrolment"]
    for file in enrolled[:3]:
        command = [sys.executable, "-m", "clearcast.cli", "-q", "voices", "add", file.stem, str(file)]
        subprocess.run([*command, "--voices", str(voices)], check=True, cwd=ROOT)


def run_loop(folder: Path) -> dict[str, float]:
    (folder / "loop").mkdir()
    arguments = [str(folder / part) for part in ("clips", "loop", "voices.json")]
    command = [sys.executable, "-c", _LOOP, *arguments]
    made = subprocess.run(command, check=True, capture_output=True, cwd=ROOT, env=environment(folder))
    found: dict[str, float] = json.loads(made.stdout)
    return found


def environment(folder: Path) -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1", "CLEARCAST__DATA_DIR": str(folder / "data")}


def start(folder: Path, destination: str, workers: int = WORKERS) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "clearcast.cli", "-q", "batch", "diarization", str(folder / "clips")]
    command += ["-o", str(folder / destination), "--voices", str(folder / "voices.json")]
    return subprocess.Popen([*command, "--workers", str(workers)], cwd=ROOT, env=environment(folder))


def run_batch(folder: Path, destination: str, workers: int = WORKERS) -> Course:
    began_s = time.monotonic()
    process = start(folder, destination, workers)
    used: dict[int, float] = {}
    looks: list[tuple[float, int, float]] = []
    while process.poll() is None:
        look_at(process.pid, used)
        looks.append((time.monotonic() - began_s, num_results(folder / destination), sum(used.values())))
        time.sleep(LOOK_S)
    assert process.returncode == 0
    first = next(look for look in looks if look[1] > 0)
    last = next(look for look in looks if look[1] == CLIPS)
    warm_s = last[0] - first[0]
    busy = (last[2] - first[2]) / (workers * warm_s)
    return Course(looks[-1][2], first[0], warm_s, last[1] - first[1], busy)


def look_at(pid: int, used: dict[int, float]) -> None:
    """Note the CPU seconds of every process of the batch: each its own, but decoders, which are gone before
    anybody looks, in those of the nursery that waited for them."""
    with contextlib.suppress(psutil.NoSuchProcess):
        batch = psutil.Process(pid)
        for process in (batch, *batch.children(recursive=True)):
            with contextlib.suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
                is_nursery = _has_to_do_with_decoding(process)
                if is_nursery and _has_to_do_with_decoding(process.parent()):
                    continue  # a decoder
                times = process.cpu_times()
                used[process.pid] = times.user + times.system
                if is_nursery:
                    used[process.pid] += times.children_user + times.children_system


def _has_to_do_with_decoding(process: psutil.Process | None) -> bool:
    return process is not None and any(NURSERY in word for word in process.cmdline())


def num_results(folder: Path) -> int:
    return len(list((folder / ".batch" / "diarization").glob("*.json")))


def run_killed(folder: Path) -> int:
    """Kill the program, a worker or Ray's node at random moments until enough were killed, then finish."""
    chance = random.Random(2)
    kills = 0
    while kills < KILLS:
        process = start(folder, "killed")
        before = num_results(folder / "killed")
        while process.poll() is None and num_results(folder / "killed") <= before:
            time.sleep(0.1)
        while process.poll() is None and kills < KILLS:
            time.sleep(chance.uniform(0.0, 3.0))
            whom = chance.choice(["program", "worker", "raylet"])
            kills += kill(process, whom)
            if whom != "worker":
                process.wait()
        if process.poll() is None:
            process.wait()
        if num_results(folder / "killed") == CLIPS and kills < KILLS:
            shutil.rmtree(folder / "killed")  # all is done: from the start again
    assert start(folder, "killed").wait() == 0
    with (folder / "killed" / "batch-diarization.csv").open(encoding="utf-8", newline="") as table:
        assert sum(row["outcome"] == "done" for row in csv.DictReader(table)) == CLIPS
    return kills


def kill(process: subprocess.Popen[bytes], whom: str) -> int:
    """How many were killed: none where there is no such process at the moment."""
    if whom == "program":
        process.kill()
        return 1
    name = "ray::MapWorker" if whom == "worker" else "raylet/raylet"
    with contextlib.suppress(psutil.NoSuchProcess):
        for member in psutil.Process(process.pid).children(recursive=True):
            if name in " ".join(member.cmdline()[:1]):
                member.kill()
                return 1
    return 0


def unlike(folder: Path, other: str) -> int:
    """Results that are not the same, byte for byte, as those of the undisturbed batch."""
    names = {path.name for part in ("batch", other) for path in (folder / part).glob("*.meeting.json")}
    return sum(_bytes(folder / "batch" / name) != _bytes(folder / other / name) for name in names)


def _bytes(path: Path) -> bytes | None:
    return path.read_bytes() if path.is_file() else None
