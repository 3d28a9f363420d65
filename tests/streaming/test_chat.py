"""The chat of a room, over both kinds of bus."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from clearcast.errors import Forbidden, NotFound, OptionInvalid, RateLimited
from streaming.bus import START, Bus, open_bus, order
from streaming.chat import (
    HISTORY_MESSAGES,
    RATE_MESSAGES,
    RATE_WINDOW_S,
    ChatEvent,
    ChatFeed,
    ChatMessage,
    ChatRemoved,
    ChatTopic,
)

WAIT_S = 30.0


class Clock:
    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
async def bus(bus_url: str) -> AsyncIterator[Bus]:
    bus = open_bus(bus_url)
    yield bus
    await bus.close()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def chat(bus: Bus, clock: Clock) -> ChatTopic:
    return ChatTopic(bus, "room_1", clock)


async def following(feed: ChatFeed) -> ChatEvent:
    return await asyncio.wait_for(anext(feed), WAIT_S)


async def test_what_is_said_reaches_everybody_and_the_history(chat: ChatTopic, bus: Bus) -> None:
    on_another_node = ChatTopic(bus, "room_1")
    with await chat.follow() as here, await on_another_node.follow() as there:
        said = await chat.post("p1", "u1", "سارا", " می‌خواهم \u202eبدانم ")
        assert said.text == "می‌خواهم بدانم"
        assert await following(here) == await following(there) == said
    assert await on_another_node.history() == [said]
    assert await ChatTopic(bus, "room_2").history() == []


async def test_the_history_is_the_latest_and_ids_grow(chat: ChatTopic, clock: Clock) -> None:
    said = []
    for number in range(HISTORY_MESSAGES + 20):
        clock.now_s += 1.1
        said.append(await chat.post("p1", "u1", "sara", str(number)))
    assert await chat.history() == said[20:]
    assert await chat.history(last=3) == said[-3:]
    assert await chat.history(after=said[-3].id) == said[-2:]
    assert sorted(said, key=lambda message: order(message.id)) == said


async def test_who_comes_back_hears_what_was_said_and_removed_meanwhile(chat: ChatTopic) -> None:
    first = await chat.post("p1", "u1", "sara", "first")
    second = await chat.post("p2", "u2", "reza", "second")
    await chat.remove(first.id, "u1")
    with await chat.follow(after=first.id) as feed:
        assert await following(feed) == second
        removed = await following(feed)
        assert isinstance(removed, ChatRemoved)
        assert removed.of == first.id


async def test_a_removed_text_is_nowhere_any_more(chat: ChatTopic, bus: Bus) -> None:
    secret = await chat.post("p1", "u1", "sara", "my password is swordfish")
    kept = await chat.post("p2", "u2", "reza", "hello")
    with await chat.follow() as feed:
        await chat.remove(secret.id, "u1")
        removed = await following(feed)
        assert isinstance(removed, ChatRemoved)
        assert removed.of == secret.id
    assert await chat.history() == [kept]
    with await chat.follow(START) as late:
        assert [await following(late), await following(late)] == [kept, removed]
    assert "swordfish" not in str(await bus.history("chat:room_1"))


async def test_a_text_whose_removal_stopped_half_way_is_hidden_already(chat: ChatTopic, bus: Bus) -> None:
    said = await chat.post("p1", "u1", "sara", "secret")
    await bus.publish("chat:room_1", {"kind": "removed", "of": said.id})
    assert await chat.history() == []
    await chat.remove(said.id, "u1")
    assert await bus.find("chat:room_1", said.id) is None


async def test_one_removes_ones_own_and_moderators_anything(chat: ChatTopic) -> None:
    said = await chat.post("p1", "u1", "sara", "hello")
    with pytest.raises(Forbidden):
        await chat.remove(said.id, "u2")
    await chat.remove(said.id, "u2", is_moderator=True)
    with pytest.raises(NotFound):
        await chat.remove(said.id, "u1")
    with pytest.raises(OptionInvalid):
        await chat.remove("nonsense", "u1")


async def test_one_removes_ones_own_after_coming_back_as_another_participant(chat: ChatTopic) -> None:
    said = await chat.post("p1", "u1", "sara", "hello")
    await chat.post("p9", "u1", "sara", "I am back")
    await chat.remove(said.id, "u1")
    assert [message.text for message in await chat.history()] == ["I am back"]


async def test_each_person_may_say_so_much_at_a_time(chat: ChatTopic, clock: Clock) -> None:
    for number in range(RATE_MESSAGES):
        clock.now_s += 0.5
        await chat.post("p1", "u1", "sara", str(number))
    with pytest.raises(RateLimited) as limited:
        await chat.post("p1", "u1", "sara", "too much")
    assert limited.value.retry_after_s == 3
    await chat.post("p2", "u2", "reza", "somebody else")
    clock.now_s += RATE_WINDOW_S - 1.9
    await chat.post("p1", "u1", "sara", "again")
    with pytest.raises(RateLimited):
        await chat.post("p1", "u1", "sara", "too much again")
    texts = [message.text for message in await chat.history()]
    assert texts == ["0", "1", "2", "3", "4", "somebody else", "again"]


async def test_an_erased_chat_is_empty(chat: ChatTopic) -> None:
    await chat.post("p1", "u1", "sara", "hello")
    await chat.erase()
    assert await chat.history() == []
    said = await chat.post("p1", "u1", "sara", "anew")
    assert await chat.history() == [said]
    assert isinstance(said, ChatMessage)
