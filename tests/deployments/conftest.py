"""One Ray for the whole test session, and the platform on it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
import ray
from ray import serve

from clearcast.audio.recording import write_header
from clearcast.audio.sandbox import Prepared, prepare_sync
from clearcast.ports import free_port
from clearcast.sample import sample_conversation
from clearcast.settings import Settings, load_settings
from deployments.server import start_ray
from tests.processes import title_of


@pytest.fixture(scope="session")
def platform_port() -> int:
    return free_port()


@pytest.fixture(scope="session")
def ray_cluster(platform_port: int) -> Iterator[None]:
    """A private Ray with one pretended GPU, so that fractions can be scheduled on any machine."""
    start_ray(num_cpus=4, num_gpus=1)
    serve.start(http_options={"host": "127.0.0.1", "port": platform_port, "request_timeout_s": 300})
    yield
    serve.shutdown()
    ray.shutdown()


@pytest.fixture(scope="session")
def serve_settings(tmp_path_factory: pytest.TempPathFactory, platform_port: int) -> Settings:
    """The local profile with its data in a temporary folder."""
    settings = load_settings("local")
    http = settings.http.model_copy(update={"port": platform_port})
    return settings.model_copy(
        update={"data_dir": tmp_path_factory.mktemp("data"), "http": http, "log_level": "WARNING"}
    )


@pytest.fixture(scope="session")
def conversation(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    """The sample conversation as a working copy."""
    target = tmp_path_factory.mktemp("audio") / "conversation.wav"
    return prepare_sync(sample_conversation().audio, target, load_settings("local").audio)


@pytest.fixture(scope="session")
def replica_pid() -> Callable[[str], int]:
    """Finds the process of a deployment's replica by the name Ray gives it."""

    def find(deployment: str) -> int:
        me = psutil.Process()
        for process in me.children(recursive=True):
            title = title_of(process)
            if title.startswith("ray::ServeReplica") and deployment in title:
                return process.pid
        raise AssertionError(f"no replica of {deployment} is running")

    return find


@pytest.fixture
def repeated(tmp_path: Path, conversation: Prepared) -> Callable[[int], Path]:
    """The half minute of conversation so many times over, to have something long enough to interrupt."""

    def make(times: int) -> Path:
        raw = conversation.path.read_bytes()[44:] * times
        target = tmp_path / f"conversation-{times}.wav"
        target.write_bytes(write_header(len(raw)) + raw)
        return target

    return make
