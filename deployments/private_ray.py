"""A Ray of our own on this machine: small, closed to the network, gone with the program that started it.

What lives here: starting it, and the environment of its processes. What does not: what runs on it
(`server.py`, `batch.py`).
"""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import psutil

from clearcast.errors import ServiceUnavailable
from clearcast.privacy import SWITCHES
from clearcast.settings import Settings

ROOT = Path(__file__).resolve().parent.parent
_TRIES = 4
_TOO_LATE = "timed out during startup"  # Ray has no class for it
_OBJECT_STORE_BYTES = 200 << 20  # little: we pass addresses, not sound


def start_private_ray(num_cpus: int | None = None, num_gpus: int | None = None) -> None:
    """Start it: no dashboard, a token on every connection, reachable from this machine only. Its processes
    are the kernel's to end when this one dies. Raises ServiceUnavailable."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing leaves the machine
    import ray

    # Ray guards this cluster by a token, which is as it should be and no warning.
    logging.getLogger("ray._private.authentication").setLevel(logging.ERROR)

    def start() -> None:
        ray.init(
            address="local",
            num_cpus=num_cpus,
            num_gpus=num_gpus,
            include_dashboard=False,
            object_store_memory=_OBJECT_STORE_BYTES,
            log_to_driver=False,
            configure_logging=False,
        )

    # Inherited, not asked for as a `runtime_env`: the processes that Ray holds ready would not fit that,
    # and each would be started a second time.
    with _environment(environment(1)):
        _tried(start)


@contextlib.contextmanager
def _environment(more: Mapping[str, str]) -> Iterator[None]:
    """What is started meanwhile has these variables; this process is as before afterwards."""
    before = dict(os.environ)
    os.environ.update(more)
    try:
        yield
    finally:
        for name in more:
            if name in before:
                os.environ[name] = before[name]
            else:
                os.environ.pop(name, None)


def _tried(start: Callable[[], None]) -> None:
    """Ray gives its node half a minute to come up, which a busy machine may not have for it."""
    for _ in range(_TRIES):
        before = set(psutil.Process().children(recursive=True))
        try:
            start()
            return
        except Exception as error:
            if _TOO_LATE not in str(error):
                raise
            # What was started is nobody's now.
            for child in set(psutil.Process().children(recursive=True)) - before:
                with contextlib.suppress(psutil.NoSuchProcess):
                    child.kill()
    raise ServiceUnavailable(
        "Ray did not come up in time.", hint="The machine is busy with other things; try again later."
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
