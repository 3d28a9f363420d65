"""The platform on several nodes: real raylets on this machine, with pretended GPUs, under token and TLS.

Records are in PostgreSQL, bytes in S3 and counts in Redis, as on a cluster. The tests share one cluster and
leave it whole; `make chaos CLUSTER=1` kills nodes again and again.
"""

from __future__ import annotations

import json
import time
import wave
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from clearcast.ports import free_port
from tests import servers
from tools.callers import Callers
from tools.chaos import make_pieces
from tools.raylet_cluster import RayletCluster, write_profile

pytestmark = pytest.mark.timeout(900)

GPU_NODES = {"gpu-1", "gpu-2"}
# A request takes about one second and may wait five more for the loss of a node; the rest is for machines
# that have much else to do. `make chaos CLUSTER=1` prints the longest.
WAIT_S = 60.0


@pytest.fixture(scope="module")
def cluster(
    tmp_path_factory: pytest.TempPathFactory, postgresql_server: str, s3_server: servers.S3Server
) -> Iterator[RayletCluster]:
    folder = tmp_path_factory.mktemp("cluster")
    with (
        servers.database_on(postgresql_server, "raylets") as database_url,
        servers.redis_server(folder) as (_, redis_url),
    ):
        environment = {
            "CLEARCAST__STORAGE__DATABASE_URL": database_url,
            "CLEARCAST__STORAGE__BLOBS_URL": "s3://clearcast",
            "CLEARCAST__STORAGE__S3_ENDPOINT": s3_server.endpoint,
            "CLEARCAST__STORAGE__S3_IS_SECURE": "false",
            "CLEARCAST__STORAGE__S3_ACCESS_KEY": s3_server.access_key,
            "CLEARCAST__STORAGE__S3_SECRET_KEY": s3_server.secret_key,
            "CLEARCAST__ACCOUNTS__LIMITS_URL": redis_url,
        }
        cluster = RayletCluster(folder, free_port(), environment)
        try:
            cluster.start()
            yield cluster
        finally:
            cluster.stop()


@pytest.fixture(scope="module")
def client(cluster: RayletCluster) -> Iterator[httpx.Client]:
    with httpx.Client(
        base_url=cluster.url, headers={"Authorization": f"Bearer {cluster.key}"}, timeout=60
    ) as client:
        yield client


@pytest.fixture(scope="module")
def pieces(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Recordings of five seconds."""
    return make_pieces(tmp_path_factory.mktemp("pieces"))


@pytest.fixture(scope="module")
def long_piece(pieces: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One of them so many times over that boosting it takes some seconds."""
    path = tmp_path_factory.mktemp("long") / "long.wav"
    with wave.open(str(pieces[0])) as piece, wave.open(str(path), "wb") as long:
        long.setparams(piece.getparams())
        long.writeframes(piece.readframes(piece.getnframes()) * 40)
    return path


def running(look: dict[str, Any], name: str) -> list[str]:
    """The nodes that the replicas of a deployment run on."""
    found = look["deployments"][name]["replicas"]
    return sorted(one["node"] for one in found if one["state"] == "RUNNING")


def ask(client: httpx.Client, pipeline: str, files: list[Path], options: dict[str, Any]) -> str:
    answer = client.post(
        "/v1/jobs",
        data={"pipeline": pipeline, "options": json.dumps(options)},
        files=[("file", (path.name, path.read_bytes(), "audio/wav")) for path in files],
    )
    assert answer.status_code == 202, answer.text
    return str(answer.json()["id"])


def finished(client: httpx.Client, job_id: str, most_s: float = 300) -> dict[str, Any]:
    deadline_s = time.monotonic() + most_s
    while True:
        try:
            answer = client.get(f"/v1/jobs/{job_id}")
        except httpx.TransportError:
            answer = None
        if answer is not None and answer.status_code == 200:
            job: dict[str, Any] = answer.json()
            if job["state"] not in {"queued", "running"}:
                return job
        assert time.monotonic() < deadline_s, "the job did not end"
        time.sleep(0.2)


def health(client: httpx.Client) -> dict[str, Any]:
    answer: dict[str, Any] = client.get("/health/ready").json()
    return answer


def has_copies_on_both_nodes(look: dict[str, Any]) -> bool:
    return all(set(running(look, name)) == GPU_NODES for name in ("transcriber", "embedder"))


def test_models_share_the_gpus_of_two_nodes_and_the_head_has_none(cluster: RayletCluster) -> None:
    cluster.wait_for(has_copies_on_both_nodes, "copies on both nodes, so that either may go")
    assert len(running(cluster.look(), "front")) == 2


def test_a_gpu_that_cannot_be_had_is_told_of_and_the_old_version_goes_on(
    cluster: RayletCluster, client: httpx.Client, pieces: list[Path]
) -> None:
    cluster.order("apply", write_profile(cluster.folder, cluster.port, transcriber={"num_gpus": 2}))
    cluster.wait_for(lambda _look: "transcriber" in health(client)["waiting"], "word of it")
    assert health(client)["status"] == "ready"
    assert health(client)["waiting"]["transcriber"] == "found no node with 2 GPU and 0.1 CPU free"
    with Callers(client, pieces[0]).calling() as callers:
        callers.wait_for(2)
    assert callers.failures == []
    cluster.update()
    cluster.wait_for(lambda _look: health(client)["waiting"] == {}, "all to be well again")


def test_a_rolling_update_fails_no_request(
    cluster: RayletCluster, client: httpx.Client, pieces: list[Path]
) -> None:
    before = {one["pid"] for one in cluster.look()["deployments"]["transcriber"]["replicas"]}
    with Callers(client, pieces[0]).calling() as callers:
        callers.wait_for(1)
        cluster.update(transcriber={"timeout_s": 1800})
        after = {one["pid"] for one in cluster.look()["deployments"]["transcriber"]["replicas"]}
        callers.wait_for(2)
    assert not before & after
    assert callers.failures == []


def test_a_model_comes_when_asked_grows_under_load_and_goes_when_idle(
    cluster: RayletCluster, client: httpx.Client, long_piece: Path
) -> None:
    quick = {"busy_s": 0.5, "idle_s": 1.0, "num_gpus": 0.1}
    cluster.update(booster=quick)
    assert running(cluster.look(), "booster") == []
    jobs: list[str] = []

    def has_grown(look: dict[str, Any]) -> bool:
        """Whether a second replica has come; work goes on being asked for until then."""
        waiting = sum(client.get(f"/v1/jobs/{job_id}").json()["state"] == "queued" for job_id in jobs[-8:])
        jobs.extend(ask(client, "boost", [long_piece], {"mode": "2x"}) for _ in range(4 - waiting))
        assert set(running(look, "booster")) <= GPU_NODES
        return len(running(look, "booster")) > 1

    cluster.wait_for(has_grown, "more than one booster")
    for job_id in jobs:
        assert finished(client, job_id)["state"] == "succeeded"
    cluster.wait_for(lambda look: running(look, "booster") == [], "the booster to go")


def test_a_node_lost_in_mid_job_costs_no_result_and_carries_copies_again_when_it_is_back(
    cluster: RayletCluster, client: httpx.Client, pieces: list[Path]
) -> None:
    cluster.wait_for(has_copies_on_both_nodes, "copies on both nodes")
    with Callers(client, pieces[0]).calling() as callers:
        callers.wait_for(2)
        job_id = ask(client, "transcription", pieces[:4], {"language": "en"})
        while not client.get(f"/v1/jobs/{job_id}").json()["results"]:
            time.sleep(0.1)
        cluster.kill_node("gpu-1")
        callers.wait_for(6)
        job = finished(client, job_id)
        assert "gpu-1" in cluster.order("add", "gpu-1", 2, 1)["nodes"]
        cluster.wait_for(has_copies_on_both_nodes, "copies on both nodes again")
    print(f"requests took {max(callers.seconds):.1f} s at most, {len(callers.failures)} failed")
    assert job["state"] == "succeeded", job
    assert {one["task"] for one in job["results"] if not one["is_partial"]} == {0, 1, 2, 3}
    assert len(callers.failures) <= 1, f"only what was in that node's ingress just then: {callers.failures}"
    assert max(callers.seconds) < WAIT_S
