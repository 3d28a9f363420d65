"""Connections and rooms, without sockets: who is slow, lost, or comes back; when a room closes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from streaming import conversation, live_room, session
from streaming.hall import Hall
from streaming.session import Session
from streaming.testing.hall import OpenDoor, PipeWire, a_hall


@pytest.fixture
def door() -> OpenDoor:
    return OpenDoor()


@pytest.fixture
async def hall(door: OpenDoor) -> AsyncIterator[Hall]:
    hall = a_hall(door, empty_s=0.3)
    hall.start()
    yield hall
    await hall.close()


Join = Callable[..., Awaitable[PipeWire]]


@pytest.fixture
async def join(hall: Hall, door: OpenDoor) -> AsyncIterator[Join]:
    """Joins somebody to a room; gives his end of the wire."""
    running: list[asyncio.Task[None]] = []

    async def come(name: str, **fields: Any) -> PipeWire:
        wire = PipeWire()
        wire.say("join", credential=name, **fields)
        running.append(asyncio.create_task(Session(wire, hall, door, "room_1").run()))
        await wire.told("joined")
        return wire

    yield come
    for task in running:
        task.cancel()
    await asyncio.gather(*running, return_exceptions=True)


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(15):
        while not is_so():
            await asyncio.sleep(0.01)


async def test_who_does_not_read_is_dropped_and_holds_nobody_up(
    hall: Hall, join: Join, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conversation, "SEND_WITHIN_S", 0.3)
    quick, slow = await join("quick"), await join("slow")
    slow.is_stuck = True
    room = hall.rooms["room_1"]
    people = {who.entry.name: who for who in room.people.values()}
    for number in range(600):
        room.mute(people["quick"], None, is_on=number % 2 == 0)
        await asyncio.sleep(0)
    await until(lambda: slow.code is not None)
    assert slow.code == 1013
    await quick.told("participant", 600)
    assert people["slow"].lost_s is not None, "he may come back"
    assert quick.code is None


async def test_who_is_lost_keeps_his_place_for_a_while(
    hall: Hall, join: Join, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_room, "GRACE_S", 0.5)
    watcher, guest = await join("watcher"), await join("guest")
    first = await guest.told("joined")
    guest.hang_up()
    await until(lambda: guest.code is not None)
    again = await join("guest", resume=first["resume"])
    assert (await again.told("joined"))["you"]["id"] == first["you"]["id"]
    thief = await join("thief", resume=first["resume"])
    assert (await thief.told("joined"))["you"]["id"] != first["you"]["id"]
    again.hang_up()
    left = await watcher.told("left")
    assert (left["id"], left["reason"]) == (first["you"]["id"], "lost")


async def test_an_empty_room_closes_and_is_given_back(hall: Hall, join: Join, door: OpenDoor) -> None:
    guest = await join("guest")
    guest.say("leave")
    await until(lambda: guest.code == 1000)
    await until(lambda: door.released == ["room_1"])
    assert not hall.rooms
    assert (await join("guest")).sent[0]["type"] == "joined"


async def test_nobody_waits_for_ever_for_a_join(
    hall: Hall, door: OpenDoor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "JOIN_WITHIN_S", 0.05)
    wire = PipeWire()
    await Session(wire, hall, door, "room_1").run()
    assert wire.sent[0]["code"] == "message_malformed"
    assert wire.code == 1008


async def test_a_gateway_that_ends_asks_to_come_again(door: OpenDoor) -> None:
    hall, wire = a_hall(door), PipeWire()
    hall.start()
    wire.say("join", credential="anna")
    running = asyncio.create_task(Session(wire, hall, door, "room_1").run())
    await wire.told("joined")
    await hall.close()
    await asyncio.wait_for(running, 15)
    assert wire.code == 1012


async def test_a_message_may_be_wrong_without_ending_anything(join: Join) -> None:
    guest = await join("guest")
    guest.say("fly", ref="r1")
    assert (await guest.told("error"))["ref"] == "r1"
    guest.say("mute", ref="r2", is_on="perhaps")
    assert (await guest.told("error", 2))["code"] == "option_invalid"
    guest.say("join", credential="guest")
    await guest.told("error", 3)
    guest.say("ping", ref="r3")
    assert (await guest.told("pong"))["ref"] == "r3"
