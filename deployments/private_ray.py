"""A Ray of our own on this machine: small, closed to the network, gone with the program that started it.

What lives here: starting it, and the environment of its processes. What does not: what runs on it
(`server.py`, `batch.py`).
"""

from __future__ import annotations

import logging
import os
from pathlib import Path

from clearcast.privacy import SWITCHES
from clearcast.settings import Settings

ROOT = Path(__file__).resolve().parent.parent
_OBJECT_STORE_BYTES = 200 << 20  # little: we pass addresses, not sound


def start_private_ray(num_cpus: int | None = None, num_gpus: int | None = None) -> None:
    """Start it: no dashboard, a token on every connection, reachable from this machine only. Its processes
    are the kernel's to end when this one dies."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing leaves the machine
    import ray

    # Ray guards this cluster by a token, which is as it should be and no warning.
    logging.getLogger("ray._private.authentication").setLevel(logging.ERROR)
    ray.init(
        address="local",
        num_cpus=num_cpus,
        num_gpus=num_gpus,
        include_dashboard=False,
        object_store_memory=_OBJECT_STORE_BYTES,
        log_to_driver=False,
        configure_logging=False,
        runtime_env={"env_vars": environment(1)},
    )


def environment(threads: int) -> dict[str, str]:
    """Environment of a replica: our code first on its path, libraries kept offline and on few threads."""
    inherited = os.environ.get("PYTHONPATH")
    return {
        "PYTHONPATH": os.pathsep.join([str(ROOT), *([inherited] if inherited else [])]),
        "OMP_NUM_THREADS": str(threads),
        "HF_HUB_OFFLINE": "1",
        **SWITCHES,
    }


def without_hub_token(settings: Settings) -> Settings:
    """Replicas never download: the hub's token stays in the process that starts them."""
    return settings.model_copy(update={"models": settings.models.model_copy(update={"hub_token": None})})
