"""Who makes way when all copies of a deployment are on one node. On a real cluster: `test_cluster.py`."""

from __future__ import annotations

import pytest
from ray.serve._private.common import DeploymentStatus, DeploymentStatusTrigger, ReplicaState
from ray.serve.schema import DeploymentStatusOverview

from deployments.replica import has_room_elsewhere, is_last_of_all

WANTED = {"CPU": 0.5, "GPU": 0.3}


def deployment(
    running: int, status: DeploymentStatus = DeploymentStatus.HEALTHY
) -> DeploymentStatusOverview:
    return DeploymentStatusOverview(
        status=status,
        status_trigger=DeploymentStatusTrigger.CONFIG_UPDATE_COMPLETED,
        replica_states={ReplicaState.RUNNING: running},
        message="",
    )


@pytest.mark.parametrize(
    ("copies", "makes_way"), [(1, [False]), (2, [False, True]), (3, [False, False, True])]
)
def test_of_copies_that_are_all_on_one_node_only_the_last_makes_way(
    copies: int, makes_way: list[bool]
) -> None:
    assert [is_last_of_all(rank, deployment(copies)) for rank in range(copies)] == makes_way


def test_nobody_makes_way_while_a_copy_is_on_another_node_or_the_deployment_changes() -> None:
    assert not is_last_of_all(1, deployment(3)), "two here, one elsewhere"
    assert not is_last_of_all(1, deployment(2, DeploymentStatus.UPDATING))
    assert not is_last_of_all(1, deployment(2, DeploymentStatus.UNHEALTHY)), "one is being replaced already"


def test_room_is_all_that_is_wanted_on_one_other_node() -> None:
    here = {"here": {"CPU": 8.0, "GPU": 1.0}}
    assert not has_room_elsewhere(WANTED, "here", here)
    assert not has_room_elsewhere(WANTED, "here", here | {"a": {"CPU": 8.0}, "b": {"CPU": 0.2, "GPU": 1.0}})
    assert has_room_elsewhere(WANTED, "here", here | {"c": {"CPU": 0.5, "GPU": 0.3}})
