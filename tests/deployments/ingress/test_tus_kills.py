"""A real tus client and a real server, either of them killed half-way; and what 200 MB cost."""

from __future__ import annotations

import hashlib
import os
import random
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil
import pytest

from tests.servers import S3Server

MB = 1_000_000
MOST_BYTES = 8 << 20
CLIENT = "tests.deployments.ingress.tus_client"
SERVER = "tests.deployments.ingress.fake_server"


@contextmanager
def server(data_dir: Path, **storage: str) -> Iterator[tuple[str, psutil.Process]]:
    """(URL, process) of an ingress in a process of its own, with these settings of storage."""
    environment = {f"CLEARCAST__STORAGE__{name.upper()}": value for name, value in storage.items()}
    command = [sys.executable, "-m", SERVER, str(data_dir)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env=os.environ | environment
    ) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip(), psutil.Process(process.pid)
        finally:
            process.kill()


def client(url: str, path: Path, chunk_bytes: int = MB) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", CLIENT, url, str(path), str(chunk_bytes)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)


def line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    path = tmp_path / "recording"
    path.write_bytes(random.Random(1).randbytes(30 * MB))
    return path


def assert_whole(server_url: str, upload_url: str, path: Path) -> None:
    file_id = upload_url.rpartition("/")[2]
    with httpx.Client(base_url=server_url, timeout=60) as http:
        file = http.get(f"/v1/files/{file_id}").json()
        content = http.get(f"/v1/files/{file_id}/content").content
    with path.open("rb") as source:
        sha256 = hashlib.file_digest(source, "sha256").hexdigest()
    assert (file["state"], file["sha256"]) == ("stored", sha256)
    assert hashlib.sha256(content).hexdigest() == sha256


def offset_at(url: str) -> int:
    return int(httpx.head(url, headers={"Tus-Resumable": "1.0.0"}).headers["Upload-Offset"])


def test_a_client_killed_half_way_goes_on_and_the_file_arrives_whole(
    tmp_path: Path, recording: Path
) -> None:
    with server(tmp_path / "data") as (url, _):
        with client(f"{url}/v1/uploads", recording) as first:
            upload_url = line(first)
            acknowledged = [int(line(first)) for _ in range(10)][-1]
            first.kill()
        assert offset_at(upload_url) >= acknowledged
        with client(upload_url, recording) as second:
            assert line(second) == upload_url
            assert int(line(second)) > acknowledged  # it did not begin anew
            assert second.wait(60) == 0
        assert_whole(url, upload_url, recording)


def test_a_server_killed_again_and_again_loses_nothing_it_acknowledged(
    tmp_path: Path, recording: Path
) -> None:
    path, upload_path, acknowledged = recording, "/v1/uploads", 0
    for parts in (1, 7, 5, 3):
        with server(tmp_path / "data") as (url, process):
            if acknowledged:
                assert offset_at(url + upload_path) >= acknowledged
            with client(url + upload_path, path) as sender:
                upload_path = httpx.URL(line(sender)).path
                acknowledged = [int(line(sender)) for _ in range(parts)][-1]
                process.kill()  # while the next part is on its way
                process.wait()
                assert sender.wait(60) != 0
    with server(tmp_path / "data") as (url, _):
        assert offset_at(url + upload_path) >= acknowledged >= 15 * MB
        with client(url + upload_path, path) as sender:
            assert sender.wait(60) == 0
        assert_whole(url, url + upload_path, path)


def test_a_server_killed_while_the_last_part_is_stored_has_it_after_all_or_goes_on(
    tmp_path: Path, recording: Path
) -> None:
    """The kill comes at another moment of the end each time; whichever, the file becomes whole."""
    for round_ in range(3):
        with (
            server(tmp_path / "data") as (url, process),
            client(f"{url}/v1/uploads", recording, 3 * MB) as sender,
        ):
            upload_path = httpx.URL(line(sender)).path
            while int(line(sender)) < 27 * MB:
                pass
            timer = threading.Timer(0.01 * round_, process.kill)
            timer.start()
            sender.wait(60)
            timer.join()
        with server(tmp_path / "data") as (url, _):
            with client(url + upload_path, recording, 3 * MB) as sender:
                assert sender.wait(60) == 0
            assert_whole(url, url + upload_path, recording)


@pytest.mark.parametrize("store", ["file", "s3"])
def test_200_mb_over_tus_cost_no_process_more_than_32_mb(
    tmp_path: Path, store: str, request: pytest.FixtureRequest
) -> None:
    storage = {}
    if store == "s3":
        s3: S3Server = request.getfixturevalue("s3_server")
        storage = {
            "blobs_url": "s3://memory",
            "s3_endpoint": s3.endpoint,
            "s3_is_secure": "false",
            "s3_access_key": s3.access_key,
            "s3_secret_key": s3.secret_key,
        }
    small, large = tmp_path / "small", tmp_path / "large"
    small.write_bytes(bytes(MOST_BYTES))
    with large.open("wb") as file:
        for number in range(199):
            file.write(random.Random(number).randbytes(MB))
    with server(tmp_path / "data", **storage) as (url, process):
        with client(f"{url}/v1/uploads", small, MOST_BYTES) as first:
            line(first)
            assert first.wait(60) == 0  # everything that is loaded once is loaded now
        before = process.memory_info().rss
        peaks = [before]
        with client(f"{url}/v1/uploads", large, MOST_BYTES) as second:
            upload_url = line(second)
            while line(second):
                peaks.append(process.memory_info().rss)
            assert second.wait(60) == 0
        assert len(peaks) > 20
        peak = max(_peak_bytes(process.pid), *peaks)
        print(f"server rss {before / MB:.1f} MB before, {peak / MB:.1f} MB at most")
        assert peak - before < 32 * MB
        assert_whole(url, upload_url, large)


def _peak_bytes(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))
