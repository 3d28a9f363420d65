"""Work folders: gone with their request, whatever happens; a crash leaves nothing for long."""

from __future__ import annotations

import asyncio
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from clearcast.settings import HttpSettings, Settings
from clearcast.testing.services import FakeTranscriber, Hold, fake_services
from deployments.ingress.workroom import Workroom
from tests.deployments.ingress.loopback import MakeApp, connect, held_services, wav

CRASHING = """
import asyncio, sys
from pathlib import Path
from deployments.ingress.workroom import Workroom
async def main():
    async with Workroom(Path(sys.argv[1])).folder() as folder:
        (folder / "upload").write_bytes(b"sound")
        print(folder, flush=True)
        await asyncio.sleep(600)
asyncio.run(main())
"""


def folders(root: Path) -> list[Path]:
    return sorted(path for path in root.iterdir() if path.is_dir())


async def test_a_folder_is_private_and_goes_at_the_end_with_all_it_holds(tmp_path: Path) -> None:
    room = Workroom(tmp_path / "work")
    async with room.folder() as first, room.folder() as second:
        assert first != second
        assert stat.S_IMODE(first.stat().st_mode) == 0o700
        (first / "inner").mkdir()
        (first / "inner" / "file").write_bytes(b"sound")
    assert folders(room.root) == []
    room.close()
    assert list(room.root.iterdir()) == []


async def test_a_cancelled_request_leaves_no_folder(tmp_path: Path) -> None:
    room = Workroom(tmp_path)

    async def work() -> None:
        async with room.folder():
            await asyncio.sleep(600)

    task = asyncio.create_task(work())
    await asyncio.sleep(0.01)
    assert len(folders(tmp_path)) == 1
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert folders(tmp_path) == []


def test_what_a_killed_process_left_is_swept_and_what_a_living_one_uses_is_not(
    tmp_path: Path,
) -> None:
    with _other_process(tmp_path) as alive, _other_process(tmp_path) as dead:
        assert alive.stdout is not None and dead.stdout is not None
        used = Path(alive.stdout.readline().strip())
        left = Path(dead.stdout.readline().strip())
        os.kill(dead.pid, signal.SIGKILL)
        dead.wait()
        assert left.is_dir()
        Workroom(tmp_path).open()
        assert not left.exists()
        assert (used / "upload").read_bytes() == b"sound"
        alive.kill()
    Workroom(tmp_path).open()
    assert not used.exists()


def test_sweeping_follows_no_links_out_of_the_room(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").write_text("kept")
    room = tmp_path / "work"
    room.mkdir()
    (room / "dead-beef").symlink_to(outside)
    Workroom(room).open()
    assert (outside / "kept").is_file()
    assert not (room / "dead-beef").is_symlink()


async def test_requests_that_succeed_fail_or_take_too_long_leave_no_folder(
    make_app: MakeApp, key: str, settings: Settings
) -> None:
    hold = Hold()
    app = make_app(held_services(hold), http=HttpSettings(request_timeout_s=3))
    async with connect(app, key) as client:
        answers = [
            await client.post("/v1/diarizations", files={"file": wav(300)}),
            await client.post("/v1/meetings", files={"file": b"text"}),
            await client.post("/v1/meetings", files={"file": wav(300)}),
            await client.post("/v1/meetings", content=b"nothing"),
        ]
    codes = [answer.json().get("code") for answer in answers]
    assert codes == [None, "audio_unrecognised", "service_timeout", "request_malformed"]
    assert folders(settings.data_path / "work") == []
    assert hold.cancelled.is_set()


async def test_a_failing_service_leaves_no_folder(make_app: MakeApp, key: str, settings: Settings) -> None:
    services = fake_services(transcriber=FakeTranscriber(error=RuntimeError("broken")))
    async with connect(make_app(services), key) as client:
        for form in ({}, {"stream": "true"}):
            answer: httpx.Response = await client.post(
                "/v1/audio/transcriptions",
                data={"model": "whisper-1", **form},
                files={"file": wav(300)},
            )
            assert answer.status_code == 500
    assert folders(settings.data_path / "work") == []


def _other_process(room: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", CRASHING, str(room)]
    environment = {**os.environ, "PYTHONPATH": str(Path.cwd())}
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
