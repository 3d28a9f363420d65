"""A Ray cluster of several nodes on this one machine, with pretended GPUs, and the platform on it.

    python -m tools.raylets PROFILE FOLDER

What lives here: starting such a cluster as `ops/cluster/environment.sh` says (token, TLS), and the orders
that whoever started it gives over standard input. What does not: killing nodes (who started it does, by
their processes) and what is tested (`tests/deployments/test_cluster.py`, `tools/chaos.py`).

A line of standard input is an order, a line of JSON on standard output its answer:
    add NAME CPUS GPUS    one more node
    apply PROFILE         a rolling update to another profile; answers at once
    look                  nodes with their processes; deployments with their replicas and where they are
The end of standard input ends it all.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil

from clearcast.accounts.first_start import prepare_start
from clearcast.origin import ROOT
from clearcast.settings import load_settings
from clearcast.storage.database import Database

APP = "clearcast"
HEAD = ("head", 2, 0)
WORKERS = (("gpu-1", 2, 1), ("gpu-2", 2, 1))
STARTS = 5  # tries to start a node
OBJECT_STORE_BYTES = 100 << 20


class Raylets:
    """The cluster of nodes (name, CPUs, GPUs), the first of them its head. Ray is imported after its
    environment is set, as Ray reads it on import."""

    def __init__(self, nodes: Sequence[tuple[str, int, int]] = (HEAD, *WORKERS)) -> None:
        import ray
        from ray import serve
        from ray.cluster_utils import Cluster

        self._serve = serve
        self._nodes: dict[str, Any] = {}
        self._cluster = Cluster()
        for name, cpus, gpus in nodes:
            self.add(name, cpus, gpus)
        ray.init(address=self._cluster.address, log_to_driver=False, configure_logging=False)

    @property
    def address(self) -> str:
        """What `RAY_ADDRESS` is to say."""
        return str(self._cluster.address)

    def add(self, name: str, cpus: int, gpus: int) -> None:
        """Ray gives a node 15 s to start its agents, which can be too short on a busy machine."""
        known = {process.pid for process in psutil.Process().children(recursive=True)}
        for attempt in range(1, STARTS + 1):
            try:
                self._nodes[name] = self._add(cpus, gpus)
                return
            except Exception:  # Ray has no class of its own for it
                _kill_all_but(known)
                if attempt == STARTS:
                    raise

    def _add(self, cpus: int, gpus: int) -> Any:
        return self._cluster.add_node(
            num_cpus=cpus,
            num_gpus=gpus,
            include_dashboard=False,
            node_ip_address=os.environ["CLEARCAST_NODE_ADDRESS"],
            object_store_memory=OBJECT_STORE_BYTES,
        )

    def apply(self, profile: str) -> None:
        from deployments.app import wire

        settings = load_settings(profile)
        self._serve.start(
            # One proxy: those of all nodes would want the same port of this machine.
            proxy_location="HeadOnly",
            http_options={"host": "127.0.0.1", "port": settings.http.port, "request_timeout_s": 300},
        )
        target = self._serve.RunTarget(wire(settings), name=APP, route_prefix="/")
        self._serve.run_many([target], wait_for_applications_running=False)

    def look(self) -> dict[str, Any]:
        from ray.serve.context import _get_global_client

        nothing = {"status": "NOT_STARTED", "deployments": {}}
        details = _get_global_client().get_serve_details()["applications"].get(APP, nothing)
        names = {node.node_id: name for name, node in self._nodes.items()}
        return {
            "status": details["status"],
            "nodes": {name: _raylet_pid(node) for name, node in self._nodes.items()},
            "deployments": {
                name: {
                    "status": one["status"],
                    "message": one["message"],
                    "replicas": [
                        {
                            "pid": replica.get("pid"),  # none before it has a place
                            "state": replica["state"],
                            "node": names.get(replica.get("node_id")),
                        }
                        for replica in one["replicas"]
                    ],
                }
                for name, one in details["deployments"].items()
            },
        }

    def obey(self, order: list[str]) -> dict[str, Any]:
        match order:
            case ["add", name, cpus, gpus]:
                self.add(name, int(cpus), int(gpus))
            case ["apply", profile]:
                self.apply(profile)
            case ["look"]:
                pass
            case _:
                raise SystemExit(f"There is no such order: {order}")
        return self.look()

    def end(self) -> None:
        import ray

        ray.shutdown()
        self._cluster.shutdown()


def _kill_all_but(known: set[int]) -> None:
    """End those processes below this one that are not known."""
    for process in psutil.Process().children(recursive=True):
        if process.pid not in known:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()


def _raylet_pid(node: Any) -> int:
    return int(node.all_processes["raylet"][0].process.pid)


def node_environment(folder: Path) -> Mapping[str, str]:
    """What `ops/cluster/environment.sh` makes of our environment, with its secrets in `folder`."""
    secrets = folder / "secrets"
    if not secrets.exists():
        secrets.mkdir(mode=0o700, parents=True)
        (secrets / "environment").write_text(f"RAY_AUTH_TOKEN={os.urandom(24).hex()}\n", encoding="utf-8")
    script = ". ops/cluster/environment.sh; env -0"
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=ROOT,
        env={**os.environ, "CLEARCAST_SECRETS": str(secrets)},
        capture_output=True,
        text=True,
        check=True,
    )
    return dict(line.split("=", 1) for line in done.stdout.split("\0") if "=" in line)


def main(profile: str, folder: str) -> None:
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # Ray prints, too
    os.environ.update(node_environment(Path(folder)))
    settings = load_settings(profile)
    database = Database(settings.database_url)
    database.migrate()
    database.close()
    prepare_start(settings, f"http://127.0.0.1:{settings.http.port}")  # its key is for whoever started this
    logging.getLogger("ray").setLevel(logging.WARNING)
    raylets = Raylets()
    try:
        print(json.dumps(raylets.obey(["apply", profile])), file=answers, flush=True)
        for line in sys.stdin:
            print(json.dumps(raylets.obey(line.split())), file=answers, flush=True)
    finally:
        raylets.end()


if __name__ == "__main__":
    main(*sys.argv[1:])
