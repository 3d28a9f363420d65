"""What every presence promises, in memory and on a real Redis."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from clearcast.errors import SettingsInvalid
from streaming.presence import PersonState, Presence, PresenceWatch, open_presence

WAIT_S = 30.0


@pytest.fixture
async def presence(bus_url: str) -> AsyncIterator[Presence]:
    presence = open_presence(bus_url)
    yield presence
    await presence.close()


@pytest.fixture
async def forgetful(bus_url: str) -> AsyncIterator[Presence]:
    presence = open_presence(bus_url, expires_after_s=1.0)
    yield presence
    await presence.close()


async def everything(user_id: str, room_id: str) -> bool:
    return True


async def following(watch: PresenceWatch) -> PersonState:
    return await asyncio.wait_for(anext(watch), WAIT_S)


async def test_watchers_hear_first_how_it_is_then_every_change(presence: Presence) -> None:
    await presence.tell("sara", "c1", "online")
    with await presence.watch(["sara", "reza"], everything) as watch:
        first = {await following(watch), await following(watch)}
        assert first == {PersonState("sara", "online"), PersonState("reza", "offline")}
        await presence.tell("reza", "c2", "streaming", "room_1")
        assert await following(watch) == PersonState("reza", "streaming", "room_1")
        await presence.leave("reza", "c2")
        assert await following(watch) == PersonState("reza", "offline")


async def test_the_strongest_connection_counts(presence: Presence) -> None:
    with await presence.watch(["sara"], everything) as watch:
        assert await following(watch) == PersonState("sara")
        await presence.tell("sara", "c1", "online")
        assert await following(watch) == PersonState("sara", "online")
        await presence.tell("sara", "c3", "listening", "room_3")
        assert await following(watch) == PersonState("sara", "listening", "room_3")
        await presence.tell("sara", "c2", "streaming", "room_2")
        assert await following(watch) == PersonState("sara", "streaming", "room_2")
        await presence.leave("sara", "c2")
        assert await following(watch) == PersonState("sara", "listening", "room_3")
        await presence.tell("sara", "c3", "offline")
        assert await following(watch) == PersonState("sara", "online")
    assert await presence.states(["sara", "nobody"]) == {
        "sara": PersonState("sara", "online"),
        "nobody": PersonState("nobody"),
    }


async def test_of_equal_connections_always_the_same_gives_the_room(presence: Presence) -> None:
    with await presence.watch(["sara"], everything) as watch:
        await presence.tell("sara", "c2", "listening", "room_2")
        await presence.tell("sara", "c1", "listening", "room_1")
        for _ in range(3):  # heartbeats
            await presence.tell("sara", "c2", "listening", "room_2")
            await presence.tell("sara", "c1", "listening", "room_1")
        await presence.tell("sara", "c1", "streaming", "room_1")
        seen = []
        while not seen or seen[-1].state != "streaming":
            seen.append(await following(watch))
        assert seen.count(PersonState("sara", "listening", "room_1")) <= 1


async def test_a_connection_without_heartbeats_expires_and_one_with_them_does_not(
    forgetful: Presence,
) -> None:
    await forgetful.tell("sara", "c1", "streaming", "room_1")
    await forgetful.tell("reza", "c2", "streaming", "room_1")
    with await forgetful.watch(["sara", "reza"], everything) as watch:
        first = {await following(watch), await following(watch)}
        assert {person.state for person in first} == {"streaming"}
        gone = asyncio.ensure_future(following(watch))
        while not gone.done():
            await forgetful.tell("reza", "c2", "streaming", "room_1")
            await asyncio.sleep(0.1)
        assert gone.result() == PersonState("sara", "offline")
        assert (await forgetful.states(["reza"]))["reza"].state == "streaming"


async def test_a_room_is_told_only_to_those_who_may_enter_it(presence: Presence) -> None:
    async def only_the_second(user_id: str, room_id: str) -> bool:
        return (user_id, room_id) == ("sara", "room_2")

    with await presence.watch(["sara"], only_the_second) as watch:
        assert await following(watch) == PersonState("sara")
        await presence.tell("sara", "c1", "streaming", "room_1")
        assert await following(watch) == PersonState("sara", "streaming", None)
        await presence.tell("sara", "c1", "streaming", "room_2")
        assert await following(watch) == PersonState("sara", "streaming", "room_2")


async def test_a_slow_watcher_reads_only_the_latest_state_of_each(presence: Presence) -> None:
    with (
        await presence.watch(["sara", "reza"], everything) as slow,
        await presence.watch(["reza"], everything) as quick,
    ):
        for _ in range(200):
            await presence.tell("sara", "c1", "online")
            await presence.leave("sara", "c1")
        await presence.tell("sara", "c1", "listening", "room_1")
        await presence.tell("reza", "c2", "online")
        while (await following(quick)).state != "online":  # changes come in order: the last has come
            pass
        seen = [await following(slow), await following(slow)]
        assert set(seen) == {PersonState("sara", "listening", "room_1"), PersonState("reza", "online")}


async def test_a_watch_that_is_closed_or_whose_presence_is_closed_ends(presence: Presence) -> None:
    with await presence.watch(["sara"], everything) as closed:
        pass
    assert [person async for person in closed] == []
    open_still = await presence.watch(["sara"], everything)
    assert await following(open_still) == PersonState("sara")
    waiting = asyncio.ensure_future(following(open_still))
    await asyncio.sleep(0)
    await presence.close()
    with pytest.raises(StopAsyncIteration):
        await asyncio.wait_for(waiting, WAIT_S)


async def test_an_unknown_kind_of_presence_is_refused() -> None:
    with pytest.raises(SettingsInvalid):
        open_presence("file:///tmp")
