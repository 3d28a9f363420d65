"""Rooms as records: what belongs to whom, what others see of it, and on which node a room lives."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from clearcast.errors import Conflict, NotFound, OptionInvalid, QuotaExceeded
from clearcast.settings import Settings
from clearcast.storage.blobs import open_blobs
from clearcast.storage.database import Database
from clearcast.storage.intake import Intake
from clearcast.storage.room_nodes import LOST_S, Holder, RoomNodes
from clearcast.storage.room_recordings import RecordedPart, RoomRecordings
from clearcast.storage.rooms import RoomChange, RoomPlan, RoomRecord, RoomRecords
from clearcast.storage.tables import File, LiveNode, Room, Tie, User, now
from tests.storage.people import add_user

SHOW = RoomPlan("Morning show", visibility="public")


@pytest.fixture
def rooms(database: Database) -> RoomRecords:
    for name in ("anna", "bert", "cleo"):
        add_user(database, name)
    return RoomRecords(database)


def befriend(database: Database, one: str, other: str) -> None:
    with database.writing() as session:
        session.add(Tie(owner_id=one, other_id=other, state="accepted"))
        session.add(Tie(owner_id=other, other_id=one, state="accepted"))


def names(found: tuple[RoomRecord, ...]) -> list[str]:
    return [room.name for room in found]


def test_a_room_is_what_was_planned(rooms: RoomRecords) -> None:
    plan = RoomPlan("  Choir ", "invited", None, "music", 10, denoise=False, record=True, transcribe=True)
    made = rooms.create("anna", plan)
    assert made == rooms.get("anna", made.id) == rooms.find(made.id) == rooms.find_open("anna", "CHOIR")
    assert (made.name, made.owner_name, made.visibility, made.sound) == (
        "Choir",
        "anna",
        "invited",
        "music",
    )
    assert (made.frame_ms, made.denoise, made.record, made.transcribe) == (10, False, True, True)
    assert made.is_open and not made.is_locked and made.node_id is None


def test_a_room_is_its_owners_alone(rooms: RoomRecords) -> None:
    room = rooms.create("anna", SHOW)
    for deed in (
        lambda: rooms.get("bert", room.id),
        lambda: rooms.change("bert", room.id, RoomChange(name="Mine")),
        lambda: rooms.end("bert", room.id),
        lambda: rooms.invite("bert", room.id, "cleo", "cleo"),
        lambda: rooms.uninvite("bert", room.id, "cleo", "cleo"),
        lambda: rooms.guests("bert", room.id),
    ):
        with pytest.raises(NotFound, match="no such room"):
            deed()
    assert rooms.list("bert", limit=9) == ()
    assert rooms.find(room.id) == room


def test_an_owner_has_no_two_open_rooms_of_one_name(rooms: RoomRecords) -> None:
    first = rooms.create("anna", SHOW)
    other = rooms.create("anna", RoomPlan("Evening"))
    rooms.create("bert", SHOW)
    for name in ("Morning show", "MORNING  SHOW"):
        with pytest.raises(Conflict):
            rooms.create("anna", RoomPlan(name))
        with pytest.raises(Conflict):
            rooms.change("anna", other.id, RoomChange(name=name))
    rooms.end("anna", first.id)
    again = rooms.create("anna", SHOW)
    assert names(rooms.list("anna", limit=9)) == ["Morning show", "Evening", "Morning show"]
    assert rooms.list("anna", limit=1, after=again.id) == (other,)


def test_of_rooms_of_one_name_made_at_once_there_is_one(rooms: RoomRecords) -> None:
    def make(_: int) -> bool:
        try:
            rooms.create("anna", SHOW)
        except Conflict:
            return False
        return True

    with ThreadPoolExecutor(4) as pool:
        assert sorted(pool.map(make, range(8))) == [False] * 7 + [True]


@pytest.mark.parametrize(
    "plan",
    [
        RoomPlan(""),
        RoomPlan(" \t"),
        RoomPlan("a" * 81),
        RoomPlan("a\nb"),
        RoomPlan("a", "password"),
        RoomPlan("a", "public", "hash"),
        RoomPlan("a", sound="music", denoise=True),
    ],
)
def test_a_wrong_plan_is_refused(rooms: RoomRecords, plan: RoomPlan) -> None:
    with pytest.raises(OptionInvalid):
        rooms.create("anna", plan)


def test_a_change_changes_what_it_names(rooms: RoomRecords) -> None:
    room = rooms.create("anna", SHOW)
    changed = rooms.change("anna", room.id, RoomChange(visibility="password", password_hash="hash"))
    assert (changed.name, changed.visibility, changed.password_hash) == (room.name, "password", "hash")
    assert "hash='" not in repr(changed) and "hash=" not in repr(changed)
    assert rooms.change("anna", room.id, RoomChange(is_locked=True)).is_locked
    freed = rooms.change("anna", room.id, RoomChange(visibility="friends", is_locked=False))
    assert (freed.password_hash, freed.is_locked) == (None, False)
    with pytest.raises(OptionInvalid):
        rooms.change("anna", room.id, RoomChange(visibility="password"))
    assert rooms.get("anna", room.id) == freed


def test_an_ended_room_stays_but_changes_no_more(rooms: RoomRecords) -> None:
    room = rooms.create("anna", SHOW)
    ended = rooms.end("anna", room.id)
    assert not ended.is_open and ended.ended_at is not None
    assert rooms.end("anna", room.id) == ended == rooms.get("anna", room.id)
    assert rooms.find_open("anna", room.name) is None
    with pytest.raises(Conflict):
        rooms.change("anna", room.id, RoomChange(name="Other"))


def test_others_see_what_they_may_enter(rooms: RoomRecords, database: Database) -> None:
    befriend(database, "anna", "bert")
    for visibility in ("public", "friends", "invited"):
        rooms.create("anna", RoomPlan(visibility, visibility))
    rooms.create("anna", RoomPlan("password", "password", "hash"))
    rooms.end("anna", rooms.create("anna", RoomPlan("over", "public")).id)
    invited = rooms.find_open("anna", "invited")
    assert invited is not None
    for name in ("Cleo", "CLEO", "user_of_cleo"):
        rooms.invite("anna", invited.id, name, "cleo")
    assert names(rooms.visible("bert", limit=9)) == ["friends", "public"]
    assert names(rooms.visible("cleo", limit=9)) == ["invited", "public"]
    assert rooms.visible("anna", limit=9) == ()
    assert [guest.name for guest in rooms.guests("anna", invited.id)] == ["CLEO", "user_of_cleo"]
    rooms.uninvite("anna", invited.id, "user_of_cleo", "cleo")
    assert rooms.guests("anna", invited.id) == ()
    with database.writing() as session:
        session.execute(sa.update(Tie).where(Tie.owner_id == "anna").values(state="blocked"))
    assert names(rooms.visible("bert", limit=9)) == []
    assert names(rooms.visible("cleo", limit=9)) == ["public"]
    with database.writing() as session:
        session.get_one(User, "anna").is_disabled = True
    assert rooms.visible("cleo", limit=9) == ()


def test_an_invitation_to_nobody_looks_like_any_other(rooms: RoomRecords) -> None:
    room = rooms.create("anna", SHOW)
    rooms.invite("anna", room.id, "nobody", None)
    assert [guest.name for guest in rooms.guests("anna", room.id)] == ["nobody"]
    rooms.uninvite("anna", room.id, "NOBODY", None)
    rooms.uninvite("anna", room.id, "nobody", None)
    assert rooms.guests("anna", room.id) == ()


def test_one_node_holds_a_room(rooms: RoomRecords, database: Database) -> None:
    room = rooms.create("anna", SHOW)
    nodes = RoomNodes(database)
    nodes.seen("one", "http://one")
    nodes.seen("two", "http://two")
    assert nodes.holder(room.id) is None
    assert nodes.claim(room.id, "one") is None
    assert nodes.claim(room.id, "one") is None
    assert nodes.claim(room.id, "two") == nodes.holder(room.id) == Holder("one", "http://one")
    assert (nodes.seen("one", "http://new"), nodes.seen("two", "http://two")) == ({room.id}, set())
    assert nodes.urls() == {"one": "http://new", "two": "http://two"}
    nodes.release(room.id, "two")
    assert nodes.claim(room.id, "two") == Holder("one", "http://new")
    nodes.release(room.id, "one")
    assert nodes.claim(room.id, "two") is None
    nodes.gone("two")
    assert nodes.claim(room.id, "one") is None


def test_the_rooms_of_a_lost_node_are_taken_over_and_it_learns_that(
    rooms: RoomRecords, database: Database
) -> None:
    room = rooms.create("anna", SHOW)
    nodes = RoomNodes(database)
    nodes.seen("one", "http://one")
    nodes.claim(room.id, "one")
    with database.writing() as session:
        session.get_one(LiveNode, "one").seen_at = now() - timedelta(seconds=LOST_S + 1)
    assert nodes.holder(room.id) is None
    nodes.seen("two", "http://two")
    assert nodes.claim(room.id, "two") is None
    assert nodes.seen("one", "http://one") == set()
    assert nodes.claim(room.id, "one") == Holder("two", "http://two")


def test_an_ended_room_is_nobodys_to_hold(rooms: RoomRecords, database: Database) -> None:
    room = rooms.create("anna", SHOW)
    nodes = RoomNodes(database)
    nodes.seen("one", "http://one")
    assert nodes.claim(room.id, "one") is None
    rooms.end("anna", room.id)
    assert nodes.seen("one", "http://one") == set()
    for room_id in (room.id, "room_none"):
        with pytest.raises(NotFound):
            nodes.claim(room_id, "one")


def test_of_nodes_that_claim_at_once_one_gets_the_room(rooms: RoomRecords, database: Database) -> None:
    room = rooms.create("anna", SHOW)
    nodes = RoomNodes(database)
    for number in range(4):
        nodes.seen(str(number), f"http://{number}")
    with ThreadPoolExecutor(4) as pool:
        holders = list(pool.map(lambda number: nodes.claim(room.id, str(number)), range(4)))
    winner = holders.index(None)
    assert [holder for holder in holders if holder] == [Holder(str(winner), f"http://{winner}")] * 3


@pytest.fixture
def intake(database: Database, tmp_path: Path) -> Intake:
    settings = Settings(data_dir=tmp_path / "data")
    return Intake(database, open_blobs(settings.storage, settings.data_path), settings)


def test_a_recording_and_its_files_are_the_owners(
    rooms: RoomRecords, database: Database, intake: Intake, tmp_path: Path
) -> None:
    recordings = RoomRecordings(database)
    room = rooms.create("anna", SHOW)
    with pytest.raises(NotFound):
        recordings.start("bert", room.id)
    running = recordings.start("anna", room.id)
    assert (running.state, running.ended_at, running.files) == ("running", None, ())
    source = tmp_path / "mix.ogg"
    source.write_bytes(b"OggS")
    voice = RecordedPart("original", "p1", "Anna", 1)
    file = recordings.keep(intake, running, voice, "anna-1.ogg", source)
    assert (file.kind, file.media_type, file.size_bytes) == ("recording", "audio/ogg", 4)
    assert not source.exists() and intake.records.used_bytes("anna") == 4
    recordings.move("anna", running.id, "storing")
    done = recordings.move("anna", running.id, "stored", "job_1")
    assert (done.state, done.job_id, done.files[0].part, done.files[0].file_id) == (
        "stored",
        "job_1",
        voice,
        file.id,
    )
    assert done.ended_at is not None
    assert recordings.list("anna", room.id, limit=9) == (done,) == (recordings.get("anna", done.id),)
    assert recordings.owner_of(done.id) == "anna"
    for deed in (
        lambda: recordings.list("bert", room.id, limit=9),
        lambda: recordings.get("bert", done.id),
        lambda: recordings.move("bert", done.id, "failed"),
    ):
        with pytest.raises(NotFound):
            deed()
    with pytest.raises(NotFound):
        recordings.erase_room(intake, "bert", room.id)
    recordings.erase_room(intake, "anna", room.id)
    assert recordings.owner_of(done.id) is None
    assert intake.records.used_bytes("anna") == 0
    with pytest.raises(NotFound):
        rooms.get("anna", room.id)


def test_keeping_a_recording_again_after_a_kill_makes_no_second_file(
    rooms: RoomRecords, database: Database, intake: Intake, tmp_path: Path
) -> None:
    recordings = RoomRecordings(database)
    recording = recordings.start("anna", rooms.create("anna", SHOW).id)
    source = tmp_path / "mix.ogg"

    def keep() -> str:
        return recordings.keep(intake, recording, RecordedPart("mix"), "mix.ogg", source).id

    source.write_bytes(b"OggS")
    first = keep()
    # As if killed after the bytes were moved and before the record said so.
    with database.writing() as session:
        session.get_one(File, first).state = "receiving"
    assert keep() == first
    assert intake.records.find("anna", first).is_stored
    # Killed before the bytes were moved.
    with database.writing() as session:
        session.get_one(File, first).state = "receiving"
    source.write_bytes(b"OggS and more")
    assert keep() == first
    assert intake.records.find("anna", first).size_bytes == 13
    # Killed before the source was removed.
    source.write_bytes(b"OggS")
    assert keep() == first
    assert not source.exists()
    assert [file.file_id for file in recordings.get("anna", recording.id).files] == [first]
    assert intake.records.used_bytes("anna") == 13


def test_a_recording_counts_against_the_quota_and_is_kept_beyond_it(
    rooms: RoomRecords, database: Database, intake: Intake, tmp_path: Path
) -> None:
    with database.writing() as session:
        session.get_one(User, "anna").quota_bytes = 3
    recordings = RoomRecordings(database)
    recording = recordings.start("anna", rooms.create("anna", SHOW).id)
    source = tmp_path / "mix.ogg"
    source.write_bytes(b"OggS")
    intake.records.check_quota("anna", 1)
    assert recordings.keep(intake, recording, RecordedPart("mix"), "mix.ogg", source).is_stored
    assert intake.records.used_bytes("anna") == 4
    with pytest.raises(QuotaExceeded):
        intake.records.check_quota("anna", 10**9)


def test_an_erased_recording_keeps_nothing(
    rooms: RoomRecords, database: Database, intake: Intake, tmp_path: Path
) -> None:
    recordings = RoomRecordings(database)
    recording = recordings.start("anna", rooms.create("anna", SHOW).id)
    source = tmp_path / "mix.ogg"
    source.write_bytes(b"OggS")
    recordings.erase_room(intake, "anna", recording.room_id)
    with pytest.raises(NotFound):
        recordings.keep(intake, recording, RecordedPart("mix"), "mix.ogg", source)
    assert source.exists() and intake.records.list("anna", limit=9) == []


def test_the_first_failure_and_the_first_end_stay(rooms: RoomRecords, database: Database) -> None:
    recordings = RoomRecordings(database)
    recording = recordings.start("anna", rooms.create("anna", SHOW).id, "rec_1", now() - timedelta(hours=1))
    ended_at = now() - timedelta(minutes=5)
    recordings.move("anna", "rec_1", "storing", ended_at=ended_at, failure="storage_full")
    done = recordings.move("anna", "rec_1", "stored", failure="internal_error")
    assert (done.id, done.ended_at, done.failure) == (recording.id, ended_at, "storage_full")


def test_a_room_goes_with_its_owner(rooms: RoomRecords, database: Database) -> None:
    room = rooms.create("anna", SHOW)
    rooms.invite("anna", room.id, "bert", "bert")
    with database.writing() as session:
        session.delete(session.get_one(User, "anna"))
    with database.reading() as session:
        assert session.scalars(sa.select(Room.id)).all() == []
