"""What the replicas of models and of the ingress have in common: their copies do not stay on one node.

What lives here: a replica that makes way when all copies of its deployment are on its node and another node
has room. What does not: where the next one starts; Serve takes the nodes in turn.

Serve spreads replicas when it starts them and never moves one. When a node is lost its replicas start where
there is room, and when it comes back it stays empty: the next node to be lost may then carry every copy.
`max_replicas_per_node` would forbid that, but where there are as many nodes as copies a rolling update
would find no place for its next version, and a node could carry no further copy under load.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

import ray
from ray import serve
from ray._private.state import available_resources_per_node
from ray.serve._private.common import DeploymentStatus, ReplicaState
from ray.serve.schema import DeploymentStatusOverview

from clearcast.errors import ServiceUnavailable

logger = logging.getLogger(__name__)

LOOK_S = 5.0  # between two looks at where the other copies are


class Replica:
    """Base of the classes that Serve runs several copies of."""

    _looked_s = float("-inf")
    _makes_way = False
    # Not asyncio's own threads: all of those may be at work, and a late answer counts as none.
    _thread: ThreadPoolExecutor | None = None

    async def check_health(self) -> None:
        """Asked by Serve every second. After three failures it starts another replica, and this one stops
        when it has finished what it began. Raises ServiceUnavailable to bring that about."""
        if not self._makes_way and self._is_second() and time.monotonic() - self._looked_s > LOOK_S:
            self._looked_s = time.monotonic()
            self._thread = self._thread or ThreadPoolExecutor(1, "look")
            self._makes_way = await asyncio.get_running_loop().run_in_executor(self._thread, _is_crowded)
        if self._makes_way:
            raise ServiceUnavailable("All copies are on one node and another has room: this one makes way.")

    def _is_second(self) -> bool:
        """Whether another copy came to this node before; costs nothing to know."""
        return serve.get_replica_context().rank.local_rank > 0


def _is_crowded() -> bool:
    context = serve.get_replica_context()
    me = ray.get_runtime_context()
    try:
        deployment = serve.status().applications[context.app_name].deployments[context.deployment]
        if not is_last_of_all(context.rank.local_rank, deployment):
            return False
        wanted = me.get_assigned_resources()  # type: ignore[no-untyped-call]
        available = available_resources_per_node()  # type: ignore[no-untyped-call]
        return has_room_elsewhere(wanted, me.get_node_id(), available)
    except Exception:  # whatever is the matter with Ray: no reason to stop working
        logger.warning("could not look for the other copies", exc_info=True)
        return False


def is_last_of_all(local_rank: int, deployment: DeploymentStatusOverview) -> bool:
    """Whether all copies are on one node, and the one with this rank there is the one to make way.

    Serve numbers the copies on a node from 0 without gaps, so the last has that many before it on its node.
    """
    running = deployment.replica_states.get(ReplicaState.RUNNING, 0)
    return deployment.status is DeploymentStatus.HEALTHY and local_rank > 0 and local_rank == running - 1


def has_room_elsewhere(
    wanted: Mapping[str, float], node_id: str, available: Mapping[str, Mapping[str, float]]
) -> bool:
    """Whether a node other than `node_id` has what is wanted; `available` is by node, then by resource."""
    return any(
        all(free.get(kind, 0.0) >= share for kind, share in wanted.items())
        for other, free in available.items()
        if other != node_id
    )
