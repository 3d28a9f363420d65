"""A batch on a cluster that runs already, from bucket to bucket; and who is let into such a cluster.

Two real raylets with token and TLS, as `ops/cluster/environment.sh` sets them up.
"""

from __future__ import annotations

import csv
import io
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from clearcast.origin import ROOT
from clearcast.testing.media import write_tone_wav
from tests.servers import S3Server, s3_client
from tools.raylets import node_environment

pytestmark = pytest.mark.timeout(600)

PATIENCE_S = 300.0
STILL_WAITING_S = 10.0  # after the one who is let in; who is not may wait for ever
FILES = 4

_CLUSTER = """
import sys
from tools.raylets import Raylets

raylets = Raylets((("head", 1, 0), ("other", 1, 0)))
print(raylets.address, flush=True)
sys.stdin.read()
raylets.end()
"""
_CALLER = """
import ray

ray.init(log_to_driver=False)
print("let in:", len(ray.nodes()), "nodes")
"""


@dataclass(frozen=True, slots=True)
class Nodes:
    """`environment`: what a program needs to have to be let in."""

    environment: Mapping[str, str]

    def without(self, *names: str) -> dict[str, str]:
        return {name: value for name, value in self.environment.items() if name not in names}


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nodes]:
    environment = dict(node_environment(tmp_path_factory.mktemp("cluster")))
    process = subprocess.Popen(
        [sys.executable, "-c", _CLUSTER],
        cwd=ROOT,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None and process.stdout is not None
    try:
        # Ray prints, too, before it is there.
        address = next((line for line in process.stdout if ":" in line and " " not in line.strip()), None)
        assert address is not None, "the cluster did not start"
        yield Nodes({**environment, "RAY_ADDRESS": address.strip()})
    finally:
        process.stdin.close()
        try:
            process.wait(60)
        finally:
            process.kill()
            process.stdout.close()


def test_a_batch_goes_from_bucket_to_bucket_over_the_nodes_of_a_cluster(
    nodes: Nodes, s3_server: S3Server, tmp_path: Path
) -> None:
    client = s3_client(s3_server, "tapes")
    for number in range(FILES):
        tone = write_tone_wav(tmp_path / "tone.wav", 1.0 + 0.2 * number)
        client.fput_object("tapes", f"raw/{number}/tone.wav", str(tone))
    client.put_object("tapes", "raw/broken.wav", io.BytesIO(b"text"), 4)
    notes = batch(nodes, s3_server, tmp_path)
    table = client.get_object("tapes", "loud/batch-boost.csv").data.decode()
    outcomes = {row["file"]: row["outcome"] for row in csv.DictReader(io.StringIO(table))}
    assert outcomes == {"broken": "failed"} | {f"{number}/tone": "done" for number in range(FILES)}, notes
    made = {
        one.object_name: one.last_modified for one in client.list_objects("tapes", "loud/", recursive=True)
    }
    assert {f"loud/{number}/tone.boosted.flac" for number in range(FILES)} <= set(made)
    assert f"{FILES + 1} files are done already" in batch(nodes, s3_server, tmp_path)
    again = {
        one.object_name: one.last_modified for one in client.list_objects("tapes", "loud/", recursive=True)
    }
    results = [name for name in made if name is not None and "batch-" not in name]
    assert [again[name] for name in results] == [made[name] for name in results]


def batch(nodes: Nodes, server: S3Server, folder: Path) -> str:
    """What the command says; one file is bad, hence its exit code."""
    command = [sys.executable, "-m", "clearcast.cli", "batch", "boost", "s3://tapes/raw"]
    done = subprocess.run(
        [*command, "-o", "s3://tapes/loud", "--workers", "2"],
        cwd=folder,
        env={
            **nodes.environment,
            "CLEARCAST__DATA_DIR": str(folder / "data"),
            "CLEARCAST__STORAGE__S3_ENDPOINT": server.endpoint,
            "CLEARCAST__STORAGE__S3_IS_SECURE": "false",
            "CLEARCAST__STORAGE__S3_ACCESS_KEY": server.access_key,
            "CLEARCAST__STORAGE__S3_SECRET_KEY": server.secret_key,
        },
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    return done.stderr


def test_only_who_has_token_and_certificate_is_let_into_a_cluster(nodes: Nodes) -> None:
    strangers = {
        "no token": nodes.without("RAY_AUTH_TOKEN"),
        "wrong token": {**nodes.environment, "RAY_AUTH_TOKEN": "0" * 48},
        "no certificate": nodes.without("RAY_USE_TLS"),
    }
    ours = call(nodes.environment)
    running = {who: call(environment) for who, environment in strangers.items()}
    assert "let in: 2 nodes" in answer(ours, PATIENCE_S)
    said = {who: answer(process, STILL_WAITING_S) for who, process in running.items()}
    for who, words in said.items():
        assert "let in" not in words, who


def call(environment: Mapping[str, str]) -> subprocess.Popen[str]:
    # A home of its own: Ray keeps a token there for those who have none.
    return subprocess.Popen(
        [sys.executable, "-c", _CALLER],
        cwd=ROOT,
        env={**environment, "HOME": os.devnull},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def answer(process: subprocess.Popen[str], most_s: float) -> str:
    try:
        return process.communicate(timeout=most_s)[0]
    except subprocess.TimeoutExpired:
        process.kill()
        return process.communicate()[0]
