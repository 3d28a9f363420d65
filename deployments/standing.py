"""What Serve says of our deployments, as an answer to "can this server take work?".

What lives here: the judgement on Serve's status. What does not: asking Serve (`front.py`) and the HTTP
answer (`ingress/monitoring.py`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

from ray.serve._private.common import DeploymentStatus, ReplicaState
from ray.serve.schema import ApplicationStatus, ApplicationStatusOverview, DeploymentStatusOverview

from deployments.ingress.state import Standing

_WELL = (DeploymentStatus.HEALTHY, DeploymentStatus.UPSCALING, DeploymentStatus.DOWNSCALING)
# Answers do not need it: jobs are accepted without it, and an update stops the old one first.
_RUNNER = "jobs"
# The words of Serve for a replica that no node has had room for since RAY_SERVE_SLOW_STARTUP_WARNING_S.
_NO_PLACE = "to be scheduled"


def judge(app: ApplicationStatusOverview | None, app_name: str) -> Standing:
    """A deployment is missing when none of its replicas runs that should; models at zero replicas are well.

    One that answers while its next version starts, fails or waits for a GPU is not missing: what came of
    the next version is in `waiting`.
    """
    if app is None:
        return Standing(missing={app_name: "NOT_STARTED"})
    missing = {
        name: one.status.value
        for name, one in app.deployments.items()
        if name != _RUNNER and one.status not in _WELL and not _running(one)
    }
    if missing and app.status is ApplicationStatus.DEPLOY_FAILED:
        missing[app_name] = app.status.value
    waiting = {name: why for name, one in app.deployments.items() if (why := _waits(one))}
    runner = app.deployments.get(_RUNNER)
    if runner is not None and not _running(runner):
        waiting.setdefault(_RUNNER, "not running; jobs are accepted and wait for it")
    return Standing(missing, waiting)


def _running(one: DeploymentStatusOverview) -> int:
    return int(one.replica_states.get(ReplicaState.RUNNING, 0))


def _waits(one: DeploymentStatusOverview) -> str | None:
    starting = one.replica_states.get(ReplicaState.STARTING, 0)
    if starting and _NO_PLACE in one.message:
        return f"found no node with {_wanted(one.message)} free"
    if one.status is DeploymentStatus.DEPLOY_FAILED:
        return "its new version could not be started; the log of its replica tells why"
    return None


def _wanted(message: str) -> str:
    """What Serve says a replica needs. Our own settings may be those of the version before."""
    found = re.search(r"Resources required for each replica: (\{[^}]*\})", message)
    shares = json.loads(found[1]) if found else {}
    return " and ".join(f"{shares[kind]:g} {kind}" for kind in ("GPU", "CPU") if shares.get(kind)) or "room"


def replicas(app: ApplicationStatusOverview | None) -> Mapping[str, int]:
    """How many replicas of each deployment run."""
    return {} if app is None else {name: _running(one) for name, one in app.deployments.items()}
