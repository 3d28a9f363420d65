"""Batches on a real Ray: interrupted, killed, and run again."""

from __future__ import annotations

import asyncio
import csv
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from clearcast.local import local_services
from clearcast.origin import ROOT
from clearcast.settings import DeploymentSettings, Settings, load_settings
from clearcast.speech.keywords_file import read_keywords
from clearcast.testing.media import write_tone_wav
from deployments.batch import Pool, plan_pools, tasks_of
from pipelines.batch.file_work import FileWork
from pipelines.batch.plan import BatchOrder, Item
from pipelines.batch.sources import find_items
from pipelines.recipes import all_recipes
from tests.processes import title_of

FILES = 12
PATIENCE_S = 400.0

Batch = Callable[..., subprocess.Popen[str]]

pytestmark = pytest.mark.timeout(900)


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    """Tones of several lengths, and a file that is none."""
    folder = tmp_path / "sources"
    folder.mkdir()
    for number in range(FILES):
        write_tone_wav(folder / f"tone-{number}.wav", 1.0 + 0.2 * number)
    (folder / "broken.wav").write_bytes(b"this is text")
    return folder


@pytest.fixture
def batch(tmp_path: Path, sources: Path) -> Iterator[Batch]:
    """Starts the command; whatever of it is there at the end is ended."""
    started: list[subprocess.Popen[str]] = []

    def start(destination: str = "results", pipeline: str = "boost") -> subprocess.Popen[str]:
        environment = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "CLEARCAST__DATA_DIR": str(tmp_path / "data"),
            "OMP_NUM_THREADS": "1",
        }
        command = [sys.executable, "-m", "clearcast.cli", "batch", pipeline, str(sources)]
        process = subprocess.Popen(
            [*command, "-o", destination, "--workers", "2"],
            cwd=tmp_path,
            env=environment,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
            process.wait()
        if process.stderr is not None:
            process.stderr.close()


def results(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob("*.flac")}


def rows(folder: Path, pipeline: str = "boost") -> dict[str, dict[str, str]]:
    with (folder / f"batch-{pipeline}.csv").open(encoding="utf-8", newline="") as file:
        return {row["file"]: row for row in csv.DictReader(file)}


def records(folder: Path) -> dict[str, int]:
    """When each file's record was written."""
    return {path.stem: path.stat().st_mtime_ns for path in (folder / ".batch" / "boost").glob("*.json")}


def wait_for_records(folder: Path, count: int, process: subprocess.Popen[str]) -> None:
    end_s = time.monotonic() + PATIENCE_S
    while len(records(folder)) < count:
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < end_s
        time.sleep(0.05)


def finish(process: subprocess.Popen[str]) -> str:
    """Its notes, once it has come to its end; one file is bad, hence the exit code."""
    _, notes = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 1, notes
    return notes


def test_every_file_is_a_row_and_a_second_run_does_nothing(batch: Batch, tmp_path: Path) -> None:
    notes = finish(batch())
    folder = tmp_path / "results"
    found = rows(folder)
    assert len(found) == FILES + 1
    assert {name for name, row in found.items() if row["outcome"] == "failed"} == {"broken"}
    assert found["broken"]["error_code"] == "audio_unrecognised"
    assert sorted(results(folder)) == sorted(f"tone-{n}.boosted.flac" for n in range(FILES))
    assert "core_worker" not in notes, "Ray speaks only to those who debug it"
    before = records(folder)
    assert "13 files are done already" in finish(batch())
    assert records(folder) == before
    assert rows(folder) == found


def test_keywords_of_many_files_are_tables_and_documents(
    batch: Batch, sources: Path, tmp_path: Path, shared_audio: Path
) -> None:
    for path in sources.glob("tone-*"):
        path.unlink()
    shutil.copy(shared_audio / "kws" / "string_0.flac", sources / "digits.flac")
    finish(batch(pipeline="classify"))
    folder = tmp_path / "results"
    with (folder / "digits.keywords.csv").open(encoding="utf-8", newline="") as file:
        found = list(csv.DictReader(file))
    wanted = ["10", "4", "1", "1", "6", "9", "6", "1"]
    assert [row["label"] for row in found] == wanted
    words = read_keywords((folder / "digits.keywords.json").read_bytes()).words
    assert [(f"{word.start_s:.3f}", word.label) for word in words] == [
        (row["start"], row["label"]) for row in found
    ]
    table = rows(folder, "classify")
    assert (table["digits"]["outcome"], table["digits"]["keywords"]) == ("done", "8")
    assert table["broken"]["error_code"] == "audio_unrecognised"


def test_large_files_go_alone_and_small_ones_together_and_none_is_lost() -> None:
    items = [
        Item(f"{number}.wav", f"{number}", size, "") for number, size in enumerate([900_000, *[100] * 400])
    ]
    tasks = list(tasks_of(items, workers=2))
    assert [item for task in tasks for item in task] == items
    assert [len(task) for task in tasks] == [1, 1] + [8] * 49 + [7]
    alike = [Item(f"{number}.wav", f"{number}", 100, "") for number in range(128)]
    assert [len(task) for task in tasks_of(alike, workers=2)] == [1, 1] + [2] * 63, "each worker has many"
    assert list(tasks_of([Item("none.wav", "none", 0, "")] * 3, workers=2)), "sizes that nobody knows"


def test_ctrl_c_leaves_no_process_and_the_next_run_goes_on(batch: Batch, tmp_path: Path) -> None:
    folder = tmp_path / "results"
    process = batch()
    wait_for_records(folder, 2, process)
    family = psutil.Process(process.pid).children(recursive=True)
    assert any(title_of(member).startswith("ray::") for member in family)
    process.send_signal(signal.SIGINT)
    _, notes = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 130
    assert "the same command goes on from here" in notes
    _, alive = psutil.wait_procs(family, timeout=30)
    assert alive == []
    before = records(folder)
    finish(batch())
    after = records(folder)
    assert {name: after[name] for name in before} == before, "nothing is done twice"
    assert len(after) == FILES + 1


def test_kills_at_any_moment_change_no_result(batch: Batch, sources: Path, tmp_path: Path) -> None:
    """A worker, the program, and Ray's own node are killed in the middle of one batch."""
    expected = undisturbed(sources, tmp_path / "alone")
    folder = tmp_path / "results"
    chance = random.Random(7)
    done: dict[str, int] = {}
    for kills in ([(1, "worker"), (4, "program")], [(7, "raylet")]):
        process = batch()
        for count, whom in kills:
            wait_for_records(folder, count, process)
            time.sleep(chance.uniform(0.0, 0.5))
            family = psutil.Process(process.pid).children(recursive=True)
            kill(process, family, whom)
        process.wait(PATIENCE_S)
        psutil.wait_procs(family, timeout=90)
        now = records(folder)
        assert {name: now[name] for name in done} == done, "nothing is done twice"
        done = now
    finish(batch())
    now = records(folder)
    assert {name: now[name] for name in done} == done
    assert results(folder) == expected
    assert len(rows(folder)) == FILES + 1
    assert not list(folder.rglob("*.part"))


def undisturbed(sources: Path, folder: Path) -> dict[str, bytes]:
    """What the same work gives in this process, file by file."""
    settings = load_settings("local").model_copy(update={"data_dir": folder / "data"})
    place = str(folder / "results")
    order = BatchOrder("boost", {}, ("json",), "flac", 24, place, settings, (), "run")
    work = FileWork(order, local_services(settings))
    for item in find_items([str(sources)], place, settings.storage):
        assert asyncio.run(work.do(item)) is not None
    return results(folder / "results")


def kill(process: subprocess.Popen[str], family: list[psutil.Process], whom: str) -> None:
    if whom == "program":
        process.kill()
        return
    name = "ray::MapWorker" if whom == "worker" else "raylet/raylet"
    chosen = [member for member in family if name in title_of(member)]
    assert chosen, [title_of(member) for member in family]
    chosen[0].kill()


def profile(**shares: float) -> Settings:
    settings = load_settings("local")
    models = {name: DeploymentSettings(num_gpus=share) for name, share in shares.items()}
    return settings.model_copy(update={"serve": settings.serve.model_copy(update=models)})


_POOLS = """
import json, sys
from dataclasses import replace
from pathlib import Path
import ray
from deployments.batch import over_pools, plan_pools
from deployments.private_ray import start_private_ray
from pipelines.batch.plan import BatchOrder, Item
from pipelines.batch.sources import find_items
from tests.deployments.test_batch import profile

sources, folder = sys.argv[1:]
settings = profile(denoiser=0.25, booster=0.25).model_copy(update={"data_dir": Path(folder, "data")})
place = str(Path(folder, "results"))
order = BatchOrder("enhance", {"mode": "2x"}, ("json",), "flac", 24, place, settings, (), "run")
pools = plan_pools(order.recipe, settings, workers=1, num_gpus=0.5)
start_private_ray(num_cpus=3, num_gpus=1)
items = find_items([sources], place, settings.storage)
found = over_pools(order, items, pools)
ended = {item.name: [record.outcome, sorted(record.outputs)] for item, record in found}
ray.shutdown()
print(json.dumps({"pools": [sorted(pool.groups or []) for pool in pools], "ended": ended}))
"""


def test_files_go_from_pool_to_pool(sources: Path, tmp_path: Path) -> None:
    """Models with shares of a (pretended) GPU: decoded here, cleaned there, made louder last."""
    command = [sys.executable, "-c", _POOLS, str(sources), str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    made = subprocess.run(command, capture_output=True, env=environment, cwd=ROOT, check=False, text=True)
    assert made.returncode == 0, made.stderr
    found = json.loads(made.stdout)
    assert found["pools"] == [["decode", "score"], ["denoise"], []]
    ended = found["ended"]
    assert len(ended) == FILES + 1
    assert [name for name, (outcome, _) in ended.items() if outcome == "failed"] == ["broken"]
    assert ended["tone-3"][1] == ["tone-3.boosted.flac", "tone-3.denoised.flac"]
    assert list((tmp_path / "data" / "batch").iterdir()) == []


def test_on_cpus_one_pool_does_everything() -> None:
    pools = plan_pools(all_recipes()["meeting"], profile(), workers=4, num_gpus=0)
    assert pools == (Pool(None, 4),)


def test_models_on_a_gpu_have_pools_of_their_own() -> None:
    settings = profile(diarizer=0.25, embedder=0.1, transcriber=0.45)
    pools = plan_pools(all_recipes()["meeting"], settings, workers=3, num_gpus=2)
    assert pools == (
        Pool(frozenset({"decode", "score"}), 3),
        Pool(frozenset({"diarize"}), 2, 0.25),
        Pool(frozenset({"identify"}), 2, 0.1),
        Pool(None, 2, 0.45),
    )


def test_stages_without_a_gpu_stay_with_their_neighbours() -> None:
    pools = plan_pools(all_recipes()["transcription"], profile(transcriber=0.5), workers=2, num_gpus=1)
    assert pools == (Pool(frozenset({"decode", "score", "listen"}), 2), Pool(None, 2, 0.5))
