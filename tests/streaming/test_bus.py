"""What every bus promises, in memory and on a real Redis."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from clearcast.errors import OptionInvalid, SettingsInvalid, SubscriberBehind
from streaming.bus import MESSAGE_BYTES, START, TOPIC_MESSAGES, Bus, Posted, Subscription, open_bus, order

WAIT_S = 30.0


@pytest.fixture
async def bus(bus_url: str) -> AsyncIterator[Bus]:
    bus = open_bus(bus_url)
    yield bus
    await bus.close()


async def next_of(subscription: Subscription, count: int) -> list[Any]:
    return [(await asyncio.wait_for(anext(subscription), WAIT_S)).message["n"] for _ in range(count)]


async def publish(bus: Bus, topic: str, numbers: range) -> list[str]:
    return [await bus.publish(topic, {"n": number}) for number in numbers]


def numbers_of(messages: list[Posted]) -> list[Any]:
    return [posted.message["n"] for posted in messages]


async def test_subscribers_get_what_is_published_from_now_on_in_order(bus: Bus) -> None:
    await publish(bus, "room", range(3))
    with await bus.subscribe("room") as one, await bus.subscribe("room") as other:
        ids = await publish(bus, "room", range(3, 50))
        assert await next_of(one, 47) == await next_of(other, 47) == list(range(3, 50))
        assert sorted(ids, key=order) == ids


async def test_who_comes_back_gets_what_was_missed_then_what_is_live(bus: Bus) -> None:
    ids = await publish(bus, "room", range(20))
    with await bus.subscribe("room", after=ids[9]) as subscription:
        await publish(bus, "room", range(20, 25))
        assert await next_of(subscription, 15) == list(range(10, 25))


async def test_the_start_is_before_the_oldest_message_also_of_a_topic_nobody_used(bus: Bus) -> None:
    await publish(bus, "room", range(3))
    with await bus.subscribe("room", after=START) as used, await bus.subscribe("new", after=START) as new:
        await publish(bus, "new", range(2))
        assert await next_of(used, 3) == [0, 1, 2]
        assert await next_of(new, 2) == [0, 1]


async def test_topics_do_not_mix(bus: Bus) -> None:
    with await bus.subscribe("room:1") as one, await bus.subscribe("room:2") as other:
        await publish(bus, "room:2", range(5, 6))
        await publish(bus, "room:1", range(6, 7))
        assert await next_of(one, 1) == [6]
        assert await next_of(other, 1) == [5]


async def test_a_message_of_any_script_arrives_as_it_was_sent(bus: Bus) -> None:
    message = {"n": 1, "text": "می‌خواهم \u2028 \x00 'quotes\"", "deep": {"list": [1, 2.5, None, True]}}
    with await bus.subscribe("room") as subscription:
        await bus.publish("room", message)
        assert dict((await asyncio.wait_for(anext(subscription), WAIT_S)).message) == message


async def test_history_gives_the_latest_and_the_latest_after_an_id(bus: Bus) -> None:
    ids = await publish(bus, "room", range(30))
    assert numbers_of(await bus.history("room", last=5)) == [25, 26, 27, 28, 29]
    assert numbers_of(await bus.history("room", last=100, after=ids[26])) == [27, 28, 29]
    assert numbers_of(await bus.history("room", last=2, after=ids[20])) == [28, 29]
    assert await bus.history("room", last=0) == []
    assert await bus.history("nothing-here") == []


async def test_a_topic_keeps_so_many_messages_and_tells_who_missed_the_rest(bus: Bus) -> None:
    ids = await publish(bus, "room", range(TOPIC_MESSAGES + 50))
    history = await bus.history("room", last=10 * TOPIC_MESSAGES)
    assert numbers_of(history) == list(range(50, TOPIC_MESSAGES + 50))
    with await bus.subscribe("room", after=ids[49]) as nothing_missed:
        assert await next_of(nothing_missed, 1) == [50]
    with await bus.subscribe("room", after=ids[48]) as behind, pytest.raises(SubscriberBehind):
        await next_of(behind, 1)


async def test_a_slow_subscriber_is_told_and_goes_on_after_the_history(bus: Bus) -> None:
    with await bus.subscribe("room") as slow, await bus.subscribe("room") as quick:
        for begin in range(0, TOPIC_MESSAGES + 100, 100):
            await publish(bus, "room", range(begin, begin + 100))
            assert await next_of(quick, 100) == list(range(begin, begin + 100))
        with pytest.raises(SubscriberBehind):
            await next_of(slow, TOPIC_MESSAGES)
    history = await bus.history("room")
    with await bus.subscribe("room", after=history[-1].id) as again:
        await publish(bus, "room", range(7, 8))
        assert await next_of(again, 1) == [7]


async def test_a_removed_message_is_in_no_history_and_no_replay(bus: Bus) -> None:
    ids = await publish(bus, "room", range(4))
    for removed in (ids[1], ids[3], ids[3]):
        await bus.remove("room", removed)
    assert await bus.find("room", ids[1]) is None
    assert await bus.find("room", ids[2]) == Posted(ids[2], {"n": 2})
    history = await bus.history("room")
    assert numbers_of(history) == [0, 2]
    with (
        await bus.subscribe("room", after=ids[0]) as early,
        await bus.subscribe("room", after=history[-1].id) as resynced,
    ):
        await publish(bus, "room", range(4, 5))
        assert await next_of(early, 2) == [2, 4]
        assert await next_of(resynced, 1) == [4]


async def test_an_erased_topic_is_empty_and_its_subscribers_stay(bus: Bus) -> None:
    ids = await publish(bus, "room", range(3))
    with await bus.subscribe("room") as subscription:
        await bus.erase("room")
        assert await bus.history("room") == []
        with await bus.subscribe("room", after=ids[0]) as behind, pytest.raises(SubscriberBehind):
            await next_of(behind, 1)
        later = await publish(bus, "room", range(3, 4))
        assert await next_of(subscription, 1) == [3]
        assert order(later[0]) > order(ids[-1])


async def test_an_id_from_elsewhere_leads_to_the_history_and_harms_nobody(bus: Bus) -> None:
    with (
        await bus.subscribe("room", after="999999999999999-1") as lost,
        await bus.subscribe("room") as fine,
    ):
        await publish(bus, "room", range(1))
        assert await next_of(fine, 1) == [0]
        with pytest.raises(SubscriberBehind):
            await next_of(lost, 1)


@pytest.mark.parametrize("wrong", ["", "1", "1-", "a-b", "1-1-1", "1-1\n", "9" * 16 + "-1", "$"])
async def test_what_is_no_id_is_refused(bus: Bus, wrong: str) -> None:
    with pytest.raises(OptionInvalid):
        await bus.subscribe("room", after=wrong)
    with pytest.raises(OptionInvalid):
        await bus.history("room", after=wrong)
    with pytest.raises(OptionInvalid):
        await bus.find("room", wrong)
    with pytest.raises(OptionInvalid):
        await bus.remove("room", wrong)


async def test_messages_and_topics_have_bounds(bus: Bus) -> None:
    with pytest.raises(ValueError, match="bytes"):
        await bus.publish("room", {"text": "x" * MESSAGE_BYTES})
    with pytest.raises(ValueError, match="topic"):
        await bus.publish("room with spaces", {})


async def test_closing_the_bus_ends_subscriptions(bus: Bus) -> None:
    subscription = await bus.subscribe("room")
    waiting = asyncio.ensure_future(next_of(subscription, 1))
    await asyncio.sleep(0)
    await bus.close()
    with pytest.raises(StopAsyncIteration):
        await asyncio.wait_for(waiting, WAIT_S)


async def test_a_closed_subscription_ends(bus: Bus) -> None:
    with await bus.subscribe("room") as subscription:
        await publish(bus, "room", range(1))
    assert [posted async for posted in subscription] == []


def test_an_unknown_kind_of_bus_is_refused() -> None:
    with pytest.raises(SettingsInvalid):
        open_bus("kafka://somewhere")
