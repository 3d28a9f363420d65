"""Large uploads: to disk, not to memory."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from clearcast.audio.recording import write_header

MB = 1_000_000


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[str, int]]:
    """(URL, process id) of an ingress in a process of its own."""
    command = [sys.executable, "-m", "tests.deployments.ingress.fake_server", str(tmp_path / "data")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield process.stdout.readline().strip(), process.pid
        process.kill()


def peak_bytes(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    (peak,) = [line.split()[1] for line in lines if line.startswith("VmHWM")]
    return int(peak) * 1024


def silence(path: Path, num_bytes: int) -> Path:
    """A WAV of zeros that takes no room on the disk."""
    with path.open("wb") as file:
        file.write(write_header(num_bytes - 44))
        file.truncate(num_bytes)
    return path


def test_a_200_mb_upload_costs_the_server_less_than_30_mb(server: tuple[str, int], tmp_path: Path) -> None:
    url, pid = server
    small, large = silence(tmp_path / "small.wav", MB), silence(tmp_path / "large.wav", 199 * MB)
    with httpx.Client(base_url=url, timeout=120) as client:

        def upload(path: Path) -> httpx.Response:
            with path.open("rb") as file:
                return client.post("/v1/diarizations", files={"file": file})

        assert upload(small).status_code == 200  # everything that is loaded once is loaded now
        before = peak_bytes(pid)
        answer = upload(large)
        assert answer.status_code == 200
        assert answer.json()["diarization"]["duration_s"] == (199 * MB - 44) / 32_000
        assert peak_bytes(pid) - before < 30 * MB
