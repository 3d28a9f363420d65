"""Recordings from a room's packets to stored files, with real records and blobs."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import soundfile

from clearcast.errors import NotFound, Overloaded, QuotaExceeded, StorageFull
from clearcast.settings import Settings
from clearcast.settings_live import LiveSettings
from clearcast.storage.blob_files import FileBlobs
from clearcast.storage.database import Database
from clearcast.storage.intake import Intake
from clearcast.storage.room_recordings import RecordingRecord, RoomRecordings
from clearcast.storage.rooms import RoomPlan, RoomRecords
from clearcast.storage.tables import User
from streaming import recorder
from streaming import recordings as keeper_module
from streaming.frames import Frame
from streaming.ogg_writer import OggOpusWriter
from streaming.packet_tap import AudioPacket
from streaming.recording_keeper import RecordedShow
from streaming.recording_store import MeetingOrder
from streaming.recordings import Recordings, Running
from streaming.room import Room
from streaming.testing.chirps import chirps, onsets
from streaming.testing.peers import Guest
from tests.storage.people import add_user
from tests.streaming.test_ogg_writer import encoded

WAIT_S = 30.0


class Studio:
    """A server's records and blobs, one room of Anna's, and who speaks in it."""

    def __init__(self, folder: Path) -> None:
        self.settings = Settings(data_dir=folder, live=LiveSettings(max_recording_part_bytes=1_000_000))
        self.database = Database(self.settings.database_url)
        self.database.migrate()
        self.blobs = FileBlobs(folder / "blobs")
        self.intake = Intake(self.database, self.blobs, self.settings)
        self.records = RoomRecordings(self.database)
        add_user(self.database, "anna")
        self.room_id = RoomRecords(self.database).create("anna", RoomPlan("Stand/up")).id
        self.orders: list[MeetingOrder] = []
        self.failures: list[str] = []
        self.failed = asyncio.Event()
        self.keeper = self.new_keeper()

    def new_keeper(self) -> Recordings:
        return Recordings(self.settings, self.database, self.blobs, self.order)

    def order(self, order: MeetingOrder) -> str:
        self.orders.append(order)
        return f"job of {order.recording_id}"

    def fail(self, code: str) -> None:
        self.failures.append(code)
        self.failed.set()

    def show(self, *, is_transcribed: bool = False) -> RecordedShow:
        names = {"p_1": "Anna ä", "p_2": "Bela"}
        return RecordedShow(self.room_id, "anna", "Stand/up", is_transcribed, names.__getitem__, self.fail)

    async def start(self, room: Room, *, is_transcribed: bool = False) -> Running:
        return await self.keeper.start(self.show(is_transcribed=is_transcribed), room)

    async def until(self, recording_id: str, *states: str) -> RecordingRecord:
        async with asyncio.timeout(WAIT_S):
            while True:
                record = await asyncio.to_thread(self.records.get, "anna", recording_id)
                if record.state in states and not (self.folder(recording_id)).exists():
                    return record
                await asyncio.sleep(0.05)

    def folder(self, recording_id: str) -> Path:
        return self.settings.recordings_path / recording_id

    def fetch(self, file_id: str, target: Path) -> Path:
        self.blobs.fetch(self.intake.records.find("anna", file_id).blob_key, target)
        return target

    def owner_quota(self, quota_bytes: int) -> None:
        with self.database.writing() as session:
            session.get_one(User, "anna").quota_bytes = quota_bytes


@pytest.fixture(autouse=True)
def impatience(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("WATCH_S", 0.1), ("LOOK_S", 0.2), ("RETRY_S", 0.5), ("QUOTA_LOOKS", 2)):
        monkeypatch.setattr(keeper_module, name, value)


@pytest.fixture
async def studio(tmp_path: Path) -> AsyncIterator[Studio]:
    studio = Studio(tmp_path / "data")
    yield studio
    await studio.keeper.close()
    studio.database.close()


@pytest.fixture
async def guest() -> AsyncIterator[Guest]:
    guest = Guest()
    yield guest
    await guest.close()


async def say(room: Room, name: str, seconds: float, at: int = 0) -> None:
    """Packets of a voice, faster than real time."""
    voice = room.voice(name)
    for number, (payload, position) in enumerate(encoded(chirps(seconds))):
        voice.push(AudioPacket(at + number, at + position, payload, 0, number == 0, 0.0))
        if number % 50 == 49:
            await asyncio.sleep(0)
    await asyncio.sleep(0.2)


def one_file(record: RecordingRecord, role: str) -> str:
    (found,) = (file.file_id for file in record.files if file.part.role == role)
    return found


async def test_a_recording_becomes_files_of_the_owner(
    studio: Studio, room: Room, guest: Guest, tmp_path: Path
) -> None:
    studio.keeper.open()
    room.add_broadcaster("p_1", guest.inside)
    running = await studio.start(room)
    running.note("joined", "p_1", name="Anna ä")
    assert studio.records.get("anna", running.id).state == "running"
    await say(room, "p_1", 3.0)
    running.note("chat", "p_1", id="1", text="Hello")
    running.note("chat", "p_1", id="2", text="not for the record")
    running.note("chat_removed", "p_1", id="2")
    await running.stop()
    await running.stop()  # does nothing
    running.note("chat", "p_1", text="too late")
    record = await studio.until(running.id, "stored")
    assert (record.failure, record.job_id, studio.orders) == (None, None, [])
    assert record.started_at == running.started_at
    assert record.ended_at is not None
    names = {file.part.role: file.name for file in record.files}
    when = f"{running.started_at:%Y-%m-%d %H.%M}"
    assert names == {
        "mix": f"Stand-up {when} mix.opus",
        "original": f"Stand-up {when} original Anna ä.opus",
        "events": f"Stand-up {when} events.json",
    }
    for role in ("mix", "original"):
        file = studio.intake.records.find("anna", one_file(record, role))
        assert (file.kind, file.media_type, file.is_stored) == ("recording", "audio/ogg", True)
        heard, _ = soundfile.read(studio.fetch(file.id, tmp_path / role), dtype="float32")
        assert len(onsets(heard)) >= 11
    sidecar = json.loads(studio.fetch(one_file(record, "events"), tmp_path / "events").read_text())
    assert [event["event"] for event in sidecar["events"]] == ["joined", "chat", "chat_removed"]
    assert sidecar["events"][1]["text"] == "Hello"
    assert sidecar["participants"] == [{"id": "p_1", "name": "Anna ä"}]
    assert {file["file_id"] for file in sidecar["files"]} == {
        one_file(record, "mix"),
        one_file(record, "original"),
    }
    assert sidecar["duration_s"] >= 2.9
    assert list(studio.settings.recordings_path.iterdir()) == []


async def test_a_recording_that_a_crash_broke_off_goes_on_as_one_file(
    studio: Studio, room: Room, guest: Guest, tmp_path: Path
) -> None:
    room.add_broadcaster("p_1", guest.inside)
    first = await studio.start(room)
    await say(room, "p_1", 2.0)
    crashed = tmp_path / "crashed"
    shutil.copytree(studio.folder(first.id), crashed)  # as it lies there in the middle of it
    await first.stop()
    shutil.rmtree(studio.folder(first.id))
    crashed.rename(studio.folder(first.id))

    studio.keeper = studio.new_keeper()
    studio.keeper.open()
    again = Room()
    again.add_broadcaster("p_2", guest.inside)
    await asyncio.sleep(3.0)  # longer than was said, faster than real time
    assert studio.folder(first.id).exists()  # it is waited for
    second = await studio.start(again, is_transcribed=True)
    assert (second.id, second.started_at) == (first.id, first.started_at)
    await say(again, "p_2", 2.0)
    await second.stop()
    await again.close()
    record = await studio.until(first.id, "stored")
    heard, _ = soundfile.read(studio.fetch(one_file(record, "mix"), tmp_path / "mix.opus"), dtype="float32")
    gaps = sorted(b - a for a, b in zip(onsets(heard), onsets(heard)[1:], strict=False))
    print(f"one mix of {len(heard) / 48_000:.2f} s, the longest pause {gaps[-1] / 48_000:.2f} s")
    assert len(onsets(heard)) >= 12
    assert 0.8 * 48_000 < gaps[-1] < 20 * 48_000
    assert {file.part.participant for file in record.files} == {"", "Anna ä", "Bela"}
    assert studio.orders == []  # as it was when it began


async def test_what_does_not_go_on_is_stored_with_its_end(
    studio: Studio, room: Room, guest: Guest, tmp_path: Path
) -> None:
    room.add_broadcaster("p_1", guest.inside)
    running = await studio.start(room, is_transcribed=True)
    await say(room, "p_1", 2.0)
    crashed = tmp_path / "crashed"
    shutil.copytree(studio.folder(running.id), crashed)
    await running.stop()
    shutil.rmtree(studio.folder(running.id))
    crashed.rename(studio.folder(running.id))
    torn = studio.folder(running.id) / "mix-001.opus"
    torn.write_bytes(torn.read_bytes()[:-20])

    live = studio.settings.live.model_copy(update={"recording_resume_s": 0.5})
    studio.settings = studio.settings.model_copy(update={"live": live})
    studio.keeper = studio.new_keeper()
    studio.keeper.open()
    record = await studio.until(running.id, "stored")
    assert record.job_id == f"job of {running.id}"
    (order,) = studio.orders
    assert order.files == ((one_file(record, "mix"), order.files[0][1]),)
    mix = studio.fetch(one_file(record, "mix"), tmp_path / "mix.opus")
    assert len(soundfile.read(mix)[0]) > 48_000
    again = await studio.start(room)  # a new one
    assert again.id != running.id
    await again.stop()


async def test_parts_beyond_the_limit_are_files_of_their_own_and_one_job(
    studio: Studio, room: Room, guest: Guest, monkeypatch: pytest.MonkeyPatch
) -> None:
    live = studio.settings.live.model_copy(update={"max_recording_part_bytes": 20_000})
    studio.settings = studio.settings.model_copy(update={"live": live})
    studio.keeper = studio.new_keeper()
    studio.keeper.open()
    room.add_broadcaster("p_1", guest.inside)
    running = await studio.start(room, is_transcribed=True)
    await say(room, "p_1", 6.0)
    await running.stop()
    record = await studio.until(running.id, "stored")
    mix = [file for file in record.files if file.part.role == "mix"]
    assert [file.part.part for file in mix] == list(range(len(mix)))
    assert len(mix) >= 2
    (order,) = studio.orders
    assert [file_id for file_id, _ in order.files] == [file.file_id for file in mix]


async def test_while_the_queue_is_full_the_recording_waits(
    studio: Studio, room: Room, guest: Guest, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_full = True

    def order(order: MeetingOrder) -> str:
        studio.orders.append(order)
        if is_full:
            raise Overloaded("Too many files wait.", retry_after_s=1)
        return "job_1"

    studio.keeper = Recordings(studio.settings, studio.database, studio.blobs, order)
    studio.keeper.open()
    room.add_broadcaster("p_1", guest.inside)
    running = await studio.start(room, is_transcribed=True)
    await say(room, "p_1", 1.0)
    await running.stop()
    async with asyncio.timeout(WAIT_S):
        while len(studio.orders) < 2:
            await asyncio.sleep(0.05)
    record = studio.records.get("anna", running.id)
    assert (record.state, len(record.files)) == ("storing", 3)
    is_full = False
    done = await studio.until(running.id, "stored")
    assert done.job_id == "job_1"
    assert [file.file_id for file in done.files] == [file.file_id for file in record.files]
    assert len({order.files for order in studio.orders}) == 1


async def test_without_sound_there_is_nothing_to_keep(studio: Studio, room: Room) -> None:
    studio.keeper.open()
    running = await studio.start(room, is_transcribed=True)
    await running.stop()
    record = await studio.until(running.id, "failed")
    assert (record.failure, record.files, studio.orders) == ("no_sound", (), [])


async def test_who_has_used_up_the_quota_cannot_begin_and_what_runs_ends(
    studio: Studio, room: Room, guest: Guest
) -> None:
    studio.keeper.open()
    studio.owner_quota(0)
    with pytest.raises(QuotaExceeded):
        await studio.start(room)
    assert not room.recording
    assert list(studio.settings.recordings_path.iterdir()) == []
    studio.owner_quota(10_000)
    room.add_broadcaster("p_1", guest.inside)
    running = await studio.start(room)
    await say(room, "p_1", 4.0)
    await asyncio.wait_for(studio.failed.wait(), WAIT_S)
    assert studio.failures == ["quota_exceeded"]
    assert not room.recording
    assert room.voices  # the show goes on
    record = await studio.until(running.id, "stored")
    assert record.failure == "quota_exceeded"
    assert studio.intake.records.used_bytes("anna") > 10_000  # what was recorded is kept


async def test_a_room_that_is_erased_takes_its_recording_along(
    studio: Studio, room: Room, guest: Guest
) -> None:
    with pytest.raises(NotFound):
        await studio.keeper.start(replace(studio.show(), room_id="room_none"), room)
    assert not room.recording
    room.add_broadcaster("p_1", guest.inside)
    running = await studio.start(room)
    await say(room, "p_1", 1.0)
    studio.records.erase_room(studio.intake, "anna", studio.room_id)
    await running.stop()
    studio.keeper.open()
    async with asyncio.timeout(WAIT_S):
        while studio.folder(running.id).exists():
            await asyncio.sleep(0.05)
    assert studio.intake.records.list("anna", limit=9) == []
    assert list(studio.blobs.keys()) == []


async def test_a_room_erased_in_the_middle_of_storing_leaves_nothing(
    studio: Studio, room: Room, guest: Guest
) -> None:
    def order(order: MeetingOrder) -> str:
        studio.records.erase_room(studio.intake, "anna", studio.room_id)
        return "job_1"

    studio.keeper = Recordings(studio.settings, studio.database, studio.blobs, order)
    studio.keeper.open()
    room.add_broadcaster("p_1", guest.inside)
    running = await studio.start(room, is_transcribed=True)
    await say(room, "p_1", 1.0)
    await running.stop()
    async with asyncio.timeout(WAIT_S):
        while studio.folder(running.id).exists():
            await asyncio.sleep(0.05)
    assert studio.intake.records.list("anna", limit=9) == []
    assert list(studio.blobs.keys()) == []


async def test_rubbish_in_the_folder_holds_nothing_up(studio: Studio, room: Room, guest: Guest) -> None:
    root = studio.settings.recordings_path
    (root / "rec_0").mkdir(parents=True)
    (root / "rec_0" / "recording.json").write_text("{")
    (root / ".rec_1").mkdir()
    (root / ".rec_1" / "mix-001.opus").write_text("half removed")
    studio.keeper.open()
    room.add_broadcaster("p_1", guest.inside)
    running = await studio.start(room)
    await say(room, "p_1", 1.0)
    await running.stop()
    await studio.until(running.id, "stored")
    assert [path.name for path in root.iterdir()] == ["rec_0"]  # for the operator to look at


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 60 MB, where recordings lie until they are stored."""
    path = tmp_path / "data" / "live"
    path.mkdir(parents=True)
    command = ["mount", "-t", "tmpfs", "-o", "size=60m", "tmpfs", path]
    mount = subprocess.run(command, capture_output=True, check=False)
    if mount.returncode != 0:
        pytest.skip(f"no file system can be mounted here: {mount.stderr.decode().strip()}")
    yield path
    subprocess.run(["umount", "-l", path], check=True)


async def test_on_a_full_disk_the_show_goes_on_and_what_was_written_is_stored(
    small_disk: Path, studio: Studio, room: Room, guest: Guest, tmp_path: Path
) -> None:
    studio.keeper.open()
    room.add_broadcaster("p_1", guest.inside)
    running = await studio.start(room, is_transcribed=True)
    await say(room, "p_1", 5.0)
    left = shutil.disk_usage(small_disk).free - 200_000
    (small_disk / "junk").write_bytes(bytes(left))
    frames = 0

    def count(_frame: Frame) -> None:
        nonlocal frames
        frames += 1

    room.add_raw_listener("p_1", count)
    await say(room, "p_1", 30.0, at=250 * 960)
    await asyncio.wait_for(studio.failed.wait(), WAIT_S)
    assert studio.failures == ["storage_full"]
    assert not room.recording
    assert frames == 1500  # everybody hears on
    with pytest.raises(StorageFull):
        await studio.start(room)
    async with asyncio.timeout(WAIT_S):
        while len((record := studio.records.get("anna", running.id)).files) < 2:
            await asyncio.sleep(0.05)
    mix = studio.fetch(one_file(record, "mix"), tmp_path / "mix.opus")  # the disk is full as before
    heard_s = len(soundfile.read(mix)[0]) / 48_000
    print(f"{heard_s:.1f} s of 35 s had room")
    assert 5.0 <= heard_s < 30.0
    (small_disk / "junk").unlink()
    record = await studio.until(running.id, "stored")
    assert record.failure == "storage_full"
    assert record.job_id == f"job of {running.id}"
    sidecar = json.loads(studio.fetch(one_file(record, "events"), tmp_path / "events").read_text())
    assert sidecar["failure"] == "storage_full"


async def test_what_a_slow_disk_did_not_take_is_silence_and_is_said(
    studio: Studio, room: Room, guest: Guest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = OggOpusWriter.write

    def slowly(writer: OggOpusWriter, payload: bytes, position: int) -> None:
        time.sleep(0.002)
        write(writer, payload, position)

    monkeypatch.setattr(OggOpusWriter, "write", slowly)
    monkeypatch.setattr(recorder, "QUEUE_PACKETS", 1)
    studio.keeper.open()
    room.add_broadcaster("p_1", guest.inside)
    running = await studio.start(room)
    await say(room, "p_1", 10.0)
    await running.stop()
    record = await studio.until(running.id, "stored")
    assert record.failure == "packets_lost"
    mix = studio.fetch(one_file(record, "mix"), tmp_path / "mix.opus")
    assert len(soundfile.read(mix)[0]) / 48_000 > 5.0
