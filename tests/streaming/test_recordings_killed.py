"""Processes that record, or store, and are killed without warning; disks that are full."""

from __future__ import annotations

import hashlib
import json
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import soundfile

from clearcast.settings import Settings
from clearcast.storage.blob_files import FileBlobs
from clearcast.storage.database import Database
from clearcast.storage.intake import Intake
from clearcast.storage.job_records import JobRecords
from clearcast.storage.room_recordings import RoomRecordings
from clearcast.storage.rooms import RoomPlan, RoomRecords
from clearcast.storage.tables import now
from streaming.ogg_parts import join
from streaming.ogg_writer import OggOpusWriter, WriterOptions
from streaming.recording_folder import RecordingFacts, RecordingFolder
from streaming.testing.chirps import CHIRP_PERIOD_S, chirps, onsets
from tests.storage.people import add_user
from tests.streaming.test_ogg_writer import encoded

# What a child does, by its first argument: record a voice in real time until it is killed, or store.
_CHILD = """
import asyncio, functools, sys
from datetime import UTC, datetime
from pathlib import Path
from clearcast.settings import Settings
from clearcast.settings_live import LiveSettings
from clearcast.storage.blob_files import FileBlobs
from clearcast.storage.database import Database
from clearcast.storage.job_records import JobRecords
from deployments.live.meetings import order_meeting
from streaming import recordings
from streaming.recording_keeper import RecordedShow
from streaming.recordings import Recordings
from streaming.room import Room
from streaming.testing.chirps import chirps
from streaming.testing.peers import Mouth, speak

recordings.LOOK_S = recordings.RETRY_S = recordings.WATCH_S = 0.1
what, folder, room_id, resume_s, voice = sys.argv[1:]
settings = Settings(data_dir=Path(folder), live=LiveSettings(recording_resume_s=float(resume_s)))
database = Database(settings.database_url)
jobs = JobRecords(database, max_queued=100, max_running=1)

async def record(keeper):
    room, mouth = Room(), Mouth(chirps(1.0))
    await speak(room, voice, mouth)
    show = RecordedShow(room_id, "anna", "Show", True, lambda voice: voice.upper(), print)
    running = await keeper.start(show, room)
    running.note("joined", voice)
    while True:
        print(running.id, (datetime.now(UTC) - running.started_at).total_seconds(), flush=True)
        await asyncio.sleep(0.02)

async def main():
    blobs = FileBlobs(settings.data_path / "blobs")
    keeper = Recordings(settings, database, blobs, functools.partial(order_meeting, jobs))
    if what == "record":
        await record(keeper)
    print("stores", flush=True)
    keeper.open()
    while any(settings.recordings_path.iterdir()):
        await asyncio.sleep(0.01)
    await keeper.close()

asyncio.run(main())
"""


class Server:
    """Records and blobs of a server whose processes are children."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.settings = Settings(data_dir=folder)
        self.database = Database(self.settings.database_url)
        self.database.migrate()
        self.blobs = FileBlobs(folder / "blobs")
        self.intake = Intake(self.database, self.blobs, self.settings)
        self.records = RoomRecordings(self.database)
        add_user(self.database, "anna")
        self.room_id = RoomRecords(self.database).create("anna", RoomPlan("Show")).id

    def command(self, what: str, resume_s: float = 300.0, voice: str = "p_1") -> list[str]:
        return [sys.executable, "-c", _CHILD, what, str(self.folder), self.room_id, str(resume_s), voice]

    def record_and_kill(self, seconds: float, voice: str = "p_1") -> tuple[str, float]:
        """(recording id, seconds that it ran) of a process that is killed while somebody speaks."""
        command = self.command("record", voice=voice)
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
            assert child.stdout is not None
            try:
                ran_s = first_s = 0.0
                while ran_s - first_s < seconds:
                    recording_id, ran = child.stdout.readline().split()
                    ran_s = float(ran)
                    first_s = first_s or ran_s
            finally:
                child.kill()
        return recording_id, ran_s

    def store(self, resume_s: float = 300.0) -> None:
        subprocess.run(self.command("store", resume_s), check=True, timeout=120)

    def seconds_to_store(self, recording_id: str) -> float:
        """How long it takes on this machine, undisturbed."""
        with subprocess.Popen(self.command("store")):
            while self.records.get("anna", recording_id).state == "running":
                time.sleep(0.002)
            began_s = time.monotonic()
            while (self.settings.recordings_path / recording_id).exists():
                time.sleep(0.002)
            return time.monotonic() - began_s

    def store_and_kill(self, recording_id: str, delay_s: float) -> bool:
        """Whether it was killed with some of the work done, and some left."""
        with subprocess.Popen(self.command("store"), stdout=subprocess.PIPE) as child:
            assert child.stdout is not None
            assert child.stdout.readline() == b"stores\n"
            while self.records.get("anna", recording_id).state == "running":
                time.sleep(0.002)
            time.sleep(delay_s)
            child.kill()
        return (self.settings.recordings_path / recording_id).exists()

    def job_ids(self) -> list[str]:
        return [job.id for job in JobRecords(self.database, max_queued=9, max_running=1).jobs("anna")]

    def bytes_of(self, file_id: str) -> bytes:
        return self.blobs.get_bytes(self.intake.records.find("anna", file_id).blob_key)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    server = Server(tmp_path / "data")
    yield server
    server.database.close()


def test_killed_while_recording_less_than_a_second_is_lost_and_it_goes_on_when_it_comes_back(
    server: Server, tmp_path: Path
) -> None:
    first, ran_s = server.record_and_kill(3.0)
    folder = server.settings.recordings_path / first
    heard, _ = soundfile.read(folder / "mix-001.opus", dtype="float32")
    lost_s = ran_s - len(heard) / 48_000
    print(f"killed after {ran_s:.2f} s: {lost_s:.2f} s lost")
    assert lost_s <= 1.0
    second, _ = server.record_and_kill(2.0, voice="p_2")
    assert second == first
    server.store(resume_s=0.1)
    record = server.records.get("anna", first)
    assert (record.state, record.failure) == ("stored", None)
    assert server.job_ids() == [record.job_id]
    assert record.ended_at is not None
    mix, *_ = (file for file in record.files if file.part.role == "mix")
    (tmp_path / "mix.opus").write_bytes(server.bytes_of(mix.file_id))
    whole, _ = soundfile.read(tmp_path / "mix.opus", dtype="float32")
    length_s = (record.ended_at - record.started_at).total_seconds()
    print(f"{len(whole) / 48_000:.2f} s of mix, {length_s:.2f} s by the clock")
    assert len(onsets(whole)) >= (ran_s - 1.0 + 2.0 - 1.0) / CHIRP_PERIOD_S - 4
    assert abs(len(whole) / 48_000 - length_s) < 1.0  # tracks end within a page of one another
    assert {file.part.participant for file in record.files} >= {"", "P_1"}
    (events,) = (file for file in record.files if file.part.role == "events")
    joined = json.loads(server.bytes_of(events.file_id))["events"]
    assert [event["participant"] for event in joined] == ["p_1", "p_2"]
    assert joined[1]["at_s"] > ran_s


def finished(server: Server) -> str:
    """A recording that waits to be stored, in parts as crashes leave them."""
    recording = server.records.start("anna", server.room_id)
    facts = RecordingFacts(
        recording.id, server.room_id, "anna", "Show", True, recording.started_at, stopped_at=now()
    )
    folder = RecordingFolder.create(server.settings.recordings_path / recording.id, facts)
    for stem in ("mix", "original-p_1", "original-p_2"):
        for number in range(1, 11):
            writer = OggOpusWriter(folder.path / f"{stem}.opus", WriterOptions(first_part=number))
            for packet, position in encoded(chirps(5.0)):
                writer.write(packet, position)
            writer.close()
    folder.release()
    return recording.id


def test_killed_at_any_moment_of_storing_nothing_is_lost_and_nothing_is_twice(
    server: Server, tmp_path: Path
) -> None:
    killed_half_way = 0
    chance = random.Random(5)
    usual_s = server.seconds_to_store(finished(server))
    for _ in range(3):
        recording_id = finished(server)
        kept = tmp_path / recording_id
        shutil.copytree(server.settings.recordings_path / recording_id, kept)
        for _ in range(2):
            if (server.settings.recordings_path / recording_id).exists():
                killed_half_way += server.store_and_kill(recording_id, chance.uniform(0.0, 0.6 * usual_s))
        server.store()
        record = server.records.get("anna", recording_id)
        assert record.state == "stored"
        expected = {}
        for track, parts in RecordingFolder.take(kept).tracks.items():
            assert len(parts) == 10
            join([part.path for part in parts], kept / "joined")
            expected[track.role, track.voice, 0] = (kept / "joined").read_bytes()
        found = {
            (file.part.role, file.part.participant_id, file.part.part): server.bytes_of(file.file_id)
            for file in record.files
        }
        assert len(found) == len(record.files) == 4
        assert found.items() >= expected.items()
        assert record.job_id is not None
    print(f"killed {killed_half_way} times half-way")
    assert killed_half_way >= 2
    every = server.intake.records.list("anna", limit=200)
    assert len(every) == 4 * 4
    for file in every:
        assert file.is_stored
        assert file.sha256 == hashlib.sha256(server.bytes_of(file.id)).hexdigest()
    assert set(server.blobs.keys()) == {file.blob_key for file in every}
    assert len(server.job_ids()) == 4
    assert list(server.settings.recordings_path.iterdir()) == []
