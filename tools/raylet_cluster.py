"""The platform on a cluster of raylets (`tools/raylets.py`), seen from outside: started, watched, broken.

What lives here: what `tests/deployments/test_cluster.py` and `make chaos CLUSTER=1` do with such a cluster.
What does not: the cluster itself, which is a process of its own.

The profile is the cluster's as it ships (`config/cluster.yaml`), with embedded engines in place of the
neural ones, less of a core for each, and everything below one folder.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil
import yaml

from clearcast.origin import ROOT
from clearcast.settings import CONFIG_DIR, ServeSettings

READY_S = 540.0
SHARE_CPUS = 0.1
COPIES = 2  # of each model at most: so many of all of them fit on one of the nodes
ON_DEMAND = ("booster", "denoiser", "separator", "extractor", "diarizer")


def write_profile(folder: Path, port: int, **serve: Mapping[str, Any]) -> Path:
    """A new profile file; `serve` has changes to deployments, by name."""
    cluster = yaml.safe_load((CONFIG_DIR / "cluster.yaml").read_text(encoding="utf-8"))
    local = yaml.safe_load((CONFIG_DIR / "local.yaml").read_text(encoding="utf-8"))
    for name in ServeSettings.model_fields:
        if isinstance(limits := cluster["serve"].get(name), dict):
            limits.update({"num_cpus": SHARE_CPUS, "max_replicas": COPIES})
            if name in ON_DEMAND:
                limits.update({"min_replicas": 0, "initial_replicas": 0})
            limits.update(serve.get(name, {}))
    del cluster["storage"], cluster["models"]
    cluster |= {
        "engines": local["engines"],
        "data_dir": str(folder / "data"),
        "config_dir": str(folder / "config"),
        "http": {"port": port},
        "accounts": {"requests_per_minute": 100_000, "key_requests_per_minute": 100_000},
        "live": {"enabled": False},  # its gateways of all nodes would want the same port of this machine
        "log_level": "WARNING",
    }
    number = len(list(folder.glob("profile-*.yaml")))
    path = folder / f"profile-{number}.yaml"
    path.write_text(yaml.safe_dump(cluster), encoding="utf-8")
    return path


@dataclass
class RayletCluster:
    """Attributes:
    folder: everything of it lies there.
    environment: settings beyond the profile, `CLEARCAST__…`.
    """

    folder: Path
    port: int
    environment: Mapping[str, str] = field(default_factory=dict)
    process: subprocess.Popen[str] | None = None
    broken: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def key(self) -> str:
        keys = json.loads((self.folder / "config" / "keys.json").read_text(encoding="utf-8"))
        return str(keys["servers"][self.url])

    def start(self) -> None:
        """Returns when it can take work."""
        profile = write_profile(self.folder, self.port)
        with (self.folder / "raylets.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tools.raylets", str(profile), str(self.folder)],
                cwd=ROOT,
                env={**os.environ, "PYTHONPATH": str(ROOT), **self.environment},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        self._answer()
        self.wait_for(_is_whole, "every replica to run")
        self.wait_for(lambda _look: self.is_ready(), "the platform to be ready")

    def order(self, *words: object) -> dict[str, Any]:
        """Give an order of `tools/raylets.py`; what the cluster looks like then."""
        assert self.process is not None and self.process.stdin is not None
        print(*words, file=self.process.stdin, flush=True)
        return self._answer()

    def look(self) -> dict[str, Any]:
        return self.order("look")

    def _answer(self) -> dict[str, Any]:
        assert self.process is not None and self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"The raylets ended:\n{(self.folder / 'raylets.log').read_text()[-3000:]}")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def update(self, **serve: Mapping[str, Any]) -> None:
        """A rolling update to a profile with these changes (`write_profile`); returns when it is done."""
        self.order("apply", write_profile(self.folder, self.port, **serve))
        self.wait_for(_is_whole, "the new version")

    def wait_for(self, done: Callable[[dict[str, Any]], bool], what: str, most_s: float = READY_S) -> None:
        """Look until `done(look)`."""
        deadline_s = time.monotonic() + most_s
        while not done(look := self.look()):
            if time.monotonic() > deadline_s:
                raise AssertionError(f"waited in vain for {what}: {json.dumps(look, indent=1)}")
            time.sleep(0.3)

    def is_ready(self) -> bool:
        try:
            return httpx.get(f"{self.url}/health/ready", timeout=5).status_code == httpx.codes.OK
        except httpx.HTTPError:
            return False

    def kill_node(self, name: str) -> None:
        """All of its processes at once, as when a machine loses its power."""
        raylet = psutil.Process(self.look()["nodes"][name])
        processes = [raylet, *raylet.children(recursive=True)]
        for process in processes:
            process.suspend()  # else the first to go would be seen by the others
        for process in processes:
            process.kill()

    def kill(self, part: str) -> str | None:
        """Break a part of it: "node", the next of those with a GPU, which is then put back; "update", a
        rolling update; or a replica of the deployment of that name. What was hit, or None when it was not
        there.

        A node goes when every replica runs and none of the others has all copies on one node, which after
        the return of a node takes some seconds (`deployments/replica.py`): whoever loses one node after
        another faster than that waits for a start of the model.
        """
        if part == "node":
            self.wait_for(lambda look: _is_whole(look) and is_spread(look), "copies on more than one node")
            name = f"gpu-{self.broken % 2 + 1}"
            self.broken += 1
            self.kill_node(name)
            self.order("add", name, 2, 1)
            return name
        if part == "update":
            self.broken += 1
            changed = {"timeout_s": 3600 + self.broken}
            self.order("apply", write_profile(self.folder, self.port, transcriber=changed))
            return part
        for replica in self.look()["deployments"][part]["replicas"]:
            if replica["state"] == "RUNNING":
                with contextlib.suppress(psutil.NoSuchProcess):
                    psutil.Process(replica["pid"]).kill()
                    return part
        return None

    def stop(self) -> None:
        if self.process is None:
            return
        assert self.process.stdin is not None
        tree = [self.process, *psutil.Process(self.process.pid).children(recursive=True)]
        self.process.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(30)
        for process in tree:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        self.process.wait()
        if self.process.stdout is not None:
            self.process.stdout.close()
        self.process = None


def is_spread(look: dict[str, Any]) -> bool:
    """Whether no deployment has all of several copies on one node."""
    places = [
        [one["node"] for one in deployment["replicas"] if one["state"] == "RUNNING"]
        for deployment in look["deployments"].values()
    ]
    return all(len(nodes) < 2 or len(set(nodes)) > 1 for nodes in places)


def _is_whole(look: dict[str, Any]) -> bool:
    deployments = look["deployments"].values()
    return look["status"] == "RUNNING" and all(one["status"] == "HEALTHY" for one in deployments)
