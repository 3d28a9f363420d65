"""What becomes of a show's sound, from a real client's microphone to the owner's files and job."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import soundfile

from clearcast.storage.blobs import open_blobs
from clearcast.storage.database import Database
from clearcast.storage.files import FileRecords
from clearcast.storage.job_records import JobRecords
from clearcast.storage.room_recordings import FileRole, RecordingRecord, RoomRecordings
from clearcast.storage.rooms import RoomRecord
from streaming.testing.live_client import LiveClient
from streaming.testing.peers import Mouth
from tests.deployments.live.sounds import strength, tone
from tests.deployments.live.stage import SetUp, Stage

WAIT_S = 60.0

_GATEWAY = """
import sys
from pathlib import Path
from clearcast.settings import Settings
from clearcast.settings_live import LiveSettings
from deployments.live.actor import gateway_server
from streaming import recordings
recordings.LOOK_S = 0.2
settings = Settings(data_dir=Path(sys.argv[1]), live=LiveSettings(port=int(sys.argv[2])))
gateway_server(settings, "node-1").run()
"""


class Memory:
    """What the records say of a room."""

    def __init__(self, stage: Stage, room: RoomRecord) -> None:
        self._settings, self._room = stage.settings, room
        self._database = Database(stage.settings.database_url)

    def recordings(self) -> tuple[RecordingRecord, ...]:
        return RoomRecordings(self._database).list(self._room.owner_id, self._room.id, limit=9)

    async def until(self, *states: str) -> RecordingRecord:
        """The only recording, once it is in one of these states."""
        async with asyncio.timeout(WAIT_S):
            while True:
                found = await asyncio.to_thread(self.recordings)
                if found and found[0].state in states:
                    (recording,) = found
                    return recording
                await asyncio.sleep(0.1)

    def job_ids(self) -> list[str]:
        jobs = JobRecords(self._database, max_queued=9, max_running=1).jobs(self._room.owner_id)
        return [job.id for job in jobs if job.pipeline == "meeting"]

    def fetch(self, recording: RecordingRecord, role: FileRole, target: Path) -> Path:
        """The only file of this role."""
        (file_id,) = (file.file_id for file in recording.files if file.part.role == role)
        blobs = open_blobs(self._settings.storage, self._settings.data_path)
        blobs.fetch(FileRecords(self._database).find(recording.owner_id, file_id).blob_key, target)
        return target

    def mix(self, recording: RecordingRecord, target: Path) -> Any:
        return soundfile.read(self.fetch(recording, "mix", target), dtype="float32")[0]

    def close(self) -> None:
        self._database.close()


@asynccontextmanager
async def gateway(stage: Stage) -> AsyncIterator[asyncio.subprocess.Process]:
    """In a process of its own, which is killed at the end at the latest."""
    settings = stage.settings
    arguments = [str(settings.data_path), str(settings.live.port)]
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", _GATEWAY, *arguments)
    try:
        async with asyncio.timeout(WAIT_S):
            while not await _answers(settings.live.port):
                assert process.returncode is None
                await asyncio.sleep(0.1)
        yield process
    finally:
        await stage.close()
        if process.returncode is None:
            process.kill()
        await process.wait()


async def _answers(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True


async def speaking(stage: Stage, room: RoomRecord, key: str, hertz: float) -> LiveClient:
    """Somebody who has been recorded for a while."""
    client = await stage.joined(room, key)
    assert (await client.publish(Mouth(tone(hertz))))["type"] == "publishing"
    await client.told("room", is_recording=True)
    await asyncio.sleep(2.5)
    return client


async def test_a_recorded_show_becomes_files_and_a_meeting_job(make_stage: SetUp, tmp_path: Path) -> None:
    stage = make_stage()
    room, key = stage.room(record=True, transcribe=True), stage.people.create("anna")
    memory = Memory(stage, room)
    async with gateway(stage):
        client = await speaking(stage, room, key, 440)
        assert (await client.ask("chat", text="Hello"))["type"] == "chat_accepted"
        await client.send("leave")
        recording = await memory.until("stored")
    assert recording.failure is None
    assert memory.job_ids() == [recording.job_id]
    assert {file.part.role for file in recording.files} == {"mix", "original", "events"}
    heard = memory.mix(recording, tmp_path / "mix.opus")
    assert len(heard) > 2 * 48_000
    assert strength(heard[:96_000], 440) > 0.1
    memory.close()


async def test_a_killed_gateway_goes_on_with_the_same_recording(make_stage: SetUp, tmp_path: Path) -> None:
    stage = make_stage()
    room, key = stage.room(record=True, transcribe=True), stage.people.create("anna")
    memory = Memory(stage, room)
    async with gateway(stage) as process:
        await speaking(stage, room, key, 440)
        process.kill()
        await process.wait()
    (first,) = memory.recordings()
    assert first.state == "running"
    async with gateway(stage):
        await (await speaking(stage, room, key, 1500)).send("leave")
        recording = await memory.until("stored")
    assert recording.id == first.id
    assert memory.job_ids() == [recording.job_id]
    heard = memory.mix(recording, tmp_path / "mix.opus")
    print(f"one mix of {len(heard) / 48_000:.1f} s over two processes")
    assert strength(heard[48_000:72_000], 440) > 0.1
    assert strength(heard[:-24_000], 1500) > 0.1
    memory.close()
