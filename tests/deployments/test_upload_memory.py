"""Large uploads through Ray Serve: to disk, not into the memory of the proxy or of a replica."""

from __future__ import annotations

import random
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil
import pytest
from ray import serve

from clearcast.settings import Settings
from deployments.app import MODELS, wire
from tests.deployments.ingress.test_tus_kills import _peak_bytes, assert_whole, client, line
from tests.processes import title_of

pytestmark = pytest.mark.timeout(240)

MB = 1_000_000
SIZE_MB = 200
TUS = {"Tus-Resumable": "1.0.0"}


@pytest.fixture(scope="module")
def platform(
    ray_cluster: None, serve_settings: Settings, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """The address of a platform that has had no upload; its models stay at zero replicas."""
    asleep = {
        name: getattr(serve_settings.serve, name).model_copy(
            update={"min_replicas": 0, "initial_replicas": 0}
        )
        for name in MODELS
    }
    settings = serve_settings.model_copy(
        update={
            "data_dir": tmp_path_factory.mktemp("uploads"),
            "serve": serve_settings.serve.model_copy(update=asleep),
            "http": serve_settings.http.model_copy(update={"require_key": False}),
        }
    )
    serve.run(wire(settings), name="uploads", route_prefix="/")
    yield f"http://127.0.0.1:{settings.http.port}"
    serve.delete("uploads")


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("large") / "recording"
    with path.open("wb") as file:
        for number in range(SIZE_MB):
            file.write(random.Random(number).randbytes(MB))
    return path


@pytest.mark.parametrize("part_bytes", [SIZE_MB * MB, 8 << 20], ids=["one part", "8 MiB parts"])
def test_200_mb_over_tus_through_serve_cost_no_process_more_than_32_mb(
    platform: str, recording: Path, part_bytes: int
) -> None:
    with growth() as grown, client(f"{platform}/v1/uploads", recording, part_bytes) as sender:
        upload_url = line(sender)
        assert sender.wait(120) == 0
    assert_whole(platform, upload_url, recording)
    assert any("ProxyActor" in name for name in grown) and any("front" in name for name in grown)
    print({name: f"+{size_bytes / MB:.1f} MB" for name, size_bytes in grown.items()})
    assert max(grown.values()) < 32 * MB, grown


def test_an_upload_goes_on_after_the_client_vanished_in_mid_part(platform: str) -> None:
    """What is under way between proxy and replica at that moment is lost, and it is little."""
    size, sent = 100 * MB, 20 * MB
    created = httpx.post(f"{platform}/v1/uploads", headers={**TUS, "Upload-Length": str(size)})
    url = httpx.URL(platform + created.headers["Location"])
    with socket.create_connection((url.host, url.port or 80)) as connection:
        head = [f"PATCH {url.path} HTTP/1.1", "Host: clearcast", f"Content-Length: {size}"]
        head += [f"{name}: {value}" for name, value in _part_headers(0).items()]
        connection.sendall("\r\n".join([*head, "", ""]).encode() + bytes(sent))
    for _ in range(100):
        offset = int(httpx.head(url, headers=TUS).headers["Upload-Offset"])
        answer = httpx.patch(url, content=bytes(MB), headers=_part_headers(offset))
        if answer.status_code == 204:
            break
        assert answer.status_code in {409, 423}  # the broken part is still being taken in
        time.sleep(0.1)
    assert int(answer.headers["Upload-Offset"]) == offset + MB
    assert sent - 4 * MB <= offset <= sent


def _part_headers(offset: int) -> dict[str, str]:
    return {**TUS, "Upload-Offset": str(offset), "Content-Type": "application/offset+octet-stream"}


@contextmanager
def growth() -> Iterator[dict[str, int]]:
    """Filled in at the end: by how many bytes each process of Ray was larger at its peak than before."""
    grown: dict[str, int] = {}
    before = {process: _begin_anew(process) for process in _ray_processes()}
    yield grown
    for process, before_bytes in before.items():
        name = f"{Path(process.cmdline()[0]).name} {process.pid}"
        grown[name] = _peak_bytes(process.pid) - before_bytes


def _ray_processes() -> Iterator[psutil.Process]:
    for process in psutil.Process().children(recursive=True):
        command = title_of(process)
        if command.startswith("ray::") or Path(command).name in {"raylet", "gcs_server"}:
            yield process


def _begin_anew(process: psutil.Process) -> int:
    """Forget the peak of a process, and tell how large it is now."""
    Path(f"/proc/{process.pid}/clear_refs").write_text("5")  # proc_pid_clear_refs(5)
    return int(process.memory_info().rss)
