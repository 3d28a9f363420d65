"""Kills parts of the running platform at random, under load, and counts what that cost.

    make chaos                      fifty kills
    make chaos KILLS=5 SEED=7       fewer, and the same ones again
    make chaos CLUSTER=1            on a cluster of several nodes (tools/raylets.py)

The platform is the real one (`clearcast serve`), on a folder and a port of its own; jobs come in over HTTP
all the while. Killed with SIGKILL are the job runner, the ingress, the model replicas and, now and then,
the whole service, which is then started again; on a cluster a node with a GPU, which is then put back, and
there are rolling updates in between. The last line is `kills=N jobs=N lost=0 doubled=0`:

- lost: jobs that were accepted and did not succeed with a whole result of every file;
- doubled: jobs that exist twice, tasks that ended twice, and stages that were finished and done again.

The line before tells of requests that were made meanwhile and waited for their answer: how long they took,
and how many failed because the ingress that had them was killed.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
import wave
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import httpx
import psutil

from clearcast.audio.recording import Recording
from clearcast.audio.sandbox import prepare_sync
from clearcast.ports import free_port
from clearcast.sample import sample_conversation
from clearcast.settings import load_settings
from tools.callers import Callers
from tools.raylet_cluster import RayletCluster

PARTS = ("jobs", "jobs", "jobs", "front", "diarizer", "embedder", "transcriber")
SERVICE_SHARE = 0.08  # of the kills take everything at once
CLUSTER_PARTS = ("node", "node", "update", "jobs", "front", "transcriber")
OPEN_JOBS = 8  # kept waiting or at work all the time
READY_S, END_S = 180.0, 900.0
PIECE_S = 5.0  # of the sample conversation: work enough to be killed in
OPEN = ("queued", "running")


class Breakable(Protocol):
    """A running platform and the ways to break it."""

    @property
    def url(self) -> str: ...

    @property
    def key(self) -> str: ...

    def start(self) -> None:
        """Returns when it can take work."""

    def kill(self, part: str) -> str | None:
        """What was hit, or None when it was not there."""

    def stop(self) -> None: ...


@dataclass
class Platform:
    """`clearcast serve` in a process of its own."""

    folder: Path
    port: int
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def _key_file(self) -> Path:
        return self.folder / "config" / "keys.json"

    @property
    def key(self) -> str:
        keys = json.loads(self._key_file.read_text(encoding="utf-8"))
        return str(keys["servers"][self.url])

    def start(self) -> None:
        environment = {
            **os.environ,
            "CLEARCAST__DATA_DIR": str(self.folder / "data"),
            "CLEARCAST__CONFIG_DIR": str(self.folder / "config"),
            "CLEARCAST__HTTP__PORT": str(self.port),
            "CLEARCAST__LIVE__ENABLED": "false",  # its own kills: tests/deployments/live/test_actor.py
            "CLEARCAST__ACCOUNTS__REQUESTS_PER_MINUTE": "100000",
            "CLEARCAST__ACCOUNTS__KEY_REQUESTS_PER_MINUTE": "100000",
        }
        command = [str(Path(sys.executable).with_name("clearcast")), "serve"]
        with (self.folder / "serve.log").open("ab") as log:
            self.process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        self._wait_ready()

    def kill(self, part: str) -> str | None:
        """Kill one replica of a part, or everything; what was hit, or None when it was not there."""
        assert self.process is not None
        tree = psutil.Process(self.process.pid)
        if part == "service":
            for process in [tree, *tree.children(recursive=True)]:
                _kill(process)
            self.process.wait()
            return "service"
        for process in tree.children(recursive=True):
            if _title(process) == f"ray::ServeReplica:clearcast:{part}":
                _kill(process)
                return part
        return None

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.kill("service")

    def _wait_ready(self) -> None:
        assert self.process is not None
        deadline_s = time.monotonic() + READY_S
        while time.monotonic() < deadline_s:
            if self.process.poll() is not None:
                raise SystemExit(f"The platform did not start; see {self.folder / 'serve.log'}.")
            try:
                ready = httpx.get(f"{self.url}/health/ready", timeout=5).status_code == httpx.codes.OK
                if ready and self._key_file.is_file():
                    return
            except httpx.HTTPError:
                pass
            time.sleep(0.5)
        raise SystemExit(f"The platform was not ready in {READY_S:.0f} s; see {self.folder / 'serve.log'}.")


@dataclass
class Load:
    """The jobs that were asked for, through a client that never gives up."""

    platform: Breakable
    pieces: list[Path]
    chance: random.Random
    accepted: list[str] = field(default_factory=list)

    def ask(self) -> None:
        """Queue a job of one to three files; accepted only when the server has said so."""
        key = f"chaos-{len(self.accepted)}"
        pipeline = self.chance.choice(["meeting", "meeting", "diarization"])
        options = {"language": "en"} if pipeline == "meeting" else {}
        pieces = self.chance.choices(self.pieces, k=self.chance.randint(1, 3))
        sent = {"pipeline": pipeline, "options": json.dumps(options), "label": key}
        while True:
            files = [("file", (path.name, path.read_bytes(), "audio/wav")) for path in pieces]
            try:
                answer = httpx.post(
                    f"{self.platform.url}/v1/jobs",
                    data=sent,
                    files=files,
                    headers={"Authorization": f"Bearer {self.platform.key}", "Idempotency-Key": key},
                    timeout=20,
                )
            except httpx.HTTPError:
                time.sleep(0.5)
                continue
            if answer.status_code == httpx.codes.ACCEPTED:
                self.accepted.append(answer.json()["id"])
                return
            if _is_ours(answer) and answer.status_code != httpx.codes.TOO_MANY_REQUESTS:
                raise SystemExit(f"A job was refused: {answer.text}")
            time.sleep(0.5)

    def get(self, path: str) -> httpx.Response:
        """Ask until there is an answer."""
        deadline_s = time.monotonic() + READY_S
        while True:
            try:
                headers = {"Authorization": f"Bearer {self.platform.key}"}
                answer = httpx.get(self.platform.url + path, headers=headers, timeout=20)
                if _is_ours(answer):
                    return answer
            except httpx.HTTPError:
                pass
            if time.monotonic() > deadline_s:
                raise SystemExit(f"No answer from {path} in {READY_S:.0f} s.")
            time.sleep(0.5)

    def listed(self) -> list[dict[str, Any]]:
        """All jobs the server knows."""
        jobs: list[dict[str, Any]] = []
        after = ""
        while True:
            page = self.get(f"/v1/jobs?limit=200{after}").json()
            jobs.extend(page["jobs"])
            if page["next"] is None:
                return jobs
            after = f"&after={page['next']}"

    def top_up(self) -> None:
        waiting = sum(job["state"] in OPEN for job in self.listed())
        for _ in range(OPEN_JOBS - waiting):
            self.ask()


def make_plan(kills: int, chance: random.Random) -> list[str]:
    """What to kill, one after the other."""
    return ["service" if chance.random() < SERVICE_SHARE else chance.choice(PARTS) for _ in range(kills)]


def make_cluster_plan(kills: int, chance: random.Random) -> list[str]:
    return [chance.choice(CLUSTER_PARTS) for _ in range(kills)]


def run(
    plan: list[str],
    chance: random.Random,
    make_platform: Callable[[Path, int], Breakable] = Platform,
) -> int:
    """Carry out the plan; the number of jobs lost and things doubled."""
    with tempfile.TemporaryDirectory(prefix="clearcast-chaos-") as name:
        folder = Path(name)
        platform = make_platform(folder, free_port())
        with stopped_at_the_end(platform):
            load = Load(platform, make_pieces(folder), chance)
            platform.start()
            with called(platform, load.pieces[0]):
                _kill_again_and_again(platform, load, chance, plan)
            _wait_for_the_end(load)
            lost, doubled = _losses(load), _doubles(load)
    for line in (*lost, *doubled):
        print(line)
    print(
        f"kills={len(plan)} jobs={len(load.accepted)} lost={len(lost)} doubled={len(doubled)}", flush=True
    )
    return len(lost) + len(doubled)


@contextmanager
def stopped_at_the_end(platform: Breakable) -> Iterator[None]:
    try:
        yield
    finally:
        platform.stop()


@contextmanager
def called(platform: Breakable, piece: Path) -> Iterator[None]:
    """Requests that wait for their answer, beside the jobs; prints what came of them."""
    headers = {"Authorization": f"Bearer {platform.key}"}
    with httpx.Client(base_url=platform.url, headers=headers, timeout=120) as client:
        callers = Callers(client, piece)
        with callers.calling():
            yield
    seconds = sorted(callers.seconds)
    for failure in callers.failures:
        print(f"request failed: {failure}")
    print(
        f"requests={len(seconds)} failed={len(callers.failures)} median={seconds[len(seconds) // 2]:.1f} s "
        f"longest={seconds[-1]:.1f} s",
        flush=True,
    )


def make_pieces(folder: Path) -> list[Path]:
    """Short recordings, cut from the conversation that every machine has."""
    whole = prepare_sync(sample_conversation().audio, folder / "sample.wav", load_settings("local").audio)
    pieces = []
    with Recording.open(whole.path) as recording:
        for index in range(int(recording.duration_s / PIECE_S)):
            sound = recording.read(index * PIECE_S, (index + 1) * PIECE_S)
            path = folder / f"piece-{index}.wav"
            with wave.open(str(path), "wb") as file:
                file.setparams((1, 2, 16_000, 0, "NONE", ""))
                file.writeframes((sound * 32767).astype("<i2").tobytes())
            pieces.append(path)
    return pieces


def _kill_again_and_again(platform: Breakable, load: Load, chance: random.Random, plan: list[str]) -> None:
    for done, part in enumerate(plan, start=1):
        load.top_up()
        time.sleep(chance.uniform(0.2, 4.0))
        while platform.kill(part) is None:
            time.sleep(0.2)  # it is being started again at this moment
        print(f"kill {done}/{len(plan)}: {part}, {len(load.accepted)} jobs so far", flush=True)
        if part == "service":
            platform.start()


def _wait_for_the_end(load: Load) -> None:
    deadline_s = time.monotonic() + END_S
    while time.monotonic() < deadline_s:
        states = Counter(job["state"] for job in load.listed())
        print(f"waiting for the end: {dict(states)}", flush=True)
        if not any(states[state] for state in OPEN):
            return
        time.sleep(3)


def _losses(load: Load) -> list[str]:
    found = []
    for job_id in load.accepted:
        answer = load.get(f"/v1/jobs/{job_id}")
        if answer.status_code != httpx.codes.OK:
            found.append(f"lost: {job_id} is gone")
            continue
        job = answer.json()
        whole = {result["task"] for result in job["results"] if not result["is_partial"]}
        if job["state"] != "succeeded" or whole != {task["number"] for task in job["tasks"]}:
            found.append(f"lost: {job_id} {job['state']} {[task['error'] for task in job['tasks']]}")
    return found


def _doubles(load: Load) -> list[str]:
    found = [
        f"doubled: the request {label} gave {count} jobs"
        for label, count in Counter(job["label"] for job in load.listed()).items()
        if count > 1
    ]
    for job_id in load.accepted:
        events = load.get(f"/v1/jobs/{job_id}/events").text
        things: Counter[tuple[Any, ...]] = Counter()
        for block in events.split("\n\n"):
            lines = dict(line.split(": ", 1) for line in block.splitlines() if ": " in line)
            if lines.get("event") in {"stage", "task"}:
                data = json.loads(lines["data"])
                things[lines["event"], data["task"], data.get("stage")] += 1
        found.extend(f"doubled: {job_id} {thing}" for thing, count in things.items() if count > 1)
    return found


def _is_ours(answer: httpx.Response) -> bool:
    """Whether the ingress answered: while it is away, Serve's proxy does, with 5xx or a bare 404."""
    kind = answer.headers.get("content-type", "")
    if answer.status_code < 500 and not kind.startswith(("application/", "text/event-stream")):
        print(f"odd answer: {answer.status_code} {kind!r} {answer.text[:80]!r}", flush=True)
        return False
    return answer.status_code < 500


def _title(process: psutil.Process) -> str:
    try:
        words = process.cmdline()
    except psutil.Error:
        return ""
    return words[0].strip() if words else ""


def _kill(process: psutil.Process) -> None:
    try:
        process.kill()
    except psutil.NoSuchProcess:
        return


def main() -> int:
    parser = argparse.ArgumentParser(description="Random kills under load; see the head of this file.")
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--cluster", action="store_true", help="on several nodes")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1_000_000))
    arguments = parser.parse_args()
    print(f"seed={arguments.seed}", flush=True)
    chance = random.Random(arguments.seed)  # noqa: S311 - to be repeatable, not secret
    try:
        if arguments.cluster:
            found = run(make_cluster_plan(arguments.kills, chance), chance, RayletCluster)
        else:
            found = run(make_plan(arguments.kills, chance), chance)
        return 1 if found else 0
    except KeyboardInterrupt:
        print("Stopped; the platform is ended and its folder removed.")
        return 130


if __name__ == "__main__":
    sys.exit(main())
