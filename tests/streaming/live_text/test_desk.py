"""Lines before previews, in the order they came, and nobody waits for somebody who left."""

from __future__ import annotations

import asyncio

from clearcast.audio.recording import Clip
from clearcast.engines.transcribe.contract import TranscribeOptions
from clearcast.speech.turns import Span
from streaming.live_text.desk import RecognitionDesk
from streaming.testing.spoken import Conversation, KnowsEveryWord

OPTIONS = TranscribeOptions(speech=(Span(0, 1),))


def clip(number: int) -> Clip:
    return Clip(f"file:///{number}.wav")


async def test_lines_are_made_in_order_and_a_preview_is_left_out_meanwhile() -> None:
    recogniser = KnowsEveryWord(Conversation.of([(0, 1)]), takes_s=0.02)
    desk = RecognitionDesk(recogniser)
    works = [asyncio.create_task(desk.must(clip(number), OPTIONS)) for number in range(4)]
    await asyncio.sleep(0)
    assert await desk.may(clip(9), OPTIONS) is None
    await asyncio.gather(*works)
    assert recogniser.asked == [clip(number) for number in range(4)]
    assert await desk.may(clip(9), OPTIONS) is not None


async def test_previews_leave_a_place_to_what_is_more_urgent() -> None:
    recogniser = KnowsEveryWord(Conversation.of([(0, 1)]), takes_s=0.02)
    desk = RecognitionDesk(recogniser, at_once=2)
    assert desk.has_room_for_previews
    work = asyncio.create_task(desk.must(clip(1), OPTIONS))
    await asyncio.sleep(0)
    assert desk.is_free
    assert not desk.has_room_for_previews
    await work


async def test_a_preview_is_stopped_for_a_line_where_that_makes_room() -> None:
    recogniser = KnowsEveryWord(Conversation.of([(0, 1)]), takes_s=60.0)
    desk = RecognitionDesk(recogniser, stops_soon=True)
    preview = asyncio.create_task(desk.preview(clip(1), OPTIONS))
    await asyncio.sleep(0.01)
    assert not desk.is_free
    assert await desk.preview(clip(2), OPTIONS) is None
    recogniser.takes_s = 0.0
    async with asyncio.timeout(5):
        await desk.must(clip(3), OPTIONS)
        assert await preview is None
        assert await desk.preview(clip(4), OPTIONS) is not None
    assert recogniser.asked == [clip(1), clip(3), clip(4)]
    assert desk.is_free


async def test_a_preview_is_left_alone_where_stopping_it_makes_no_room() -> None:
    recogniser = KnowsEveryWord(Conversation.of([(0, 1)]), takes_s=0.02)
    desk = RecognitionDesk(recogniser)
    preview = asyncio.create_task(desk.preview(clip(1), OPTIONS))
    await asyncio.sleep(0)
    await desk.must(clip(2), OPTIONS)
    assert await preview is not None


async def test_who_leaves_his_preview_gives_his_place_on() -> None:
    recogniser = KnowsEveryWord(Conversation.of([(0, 1)]), takes_s=60.0)
    desk = RecognitionDesk(recogniser, stops_soon=True)
    for is_begun in (False, True):
        preview = asyncio.create_task(desk.preview(clip(1), OPTIONS))
        await asyncio.sleep(0.01 if is_begun else 0)
        preview.cancel()
        await asyncio.wait([preview])
        assert desk.is_free


async def test_who_leaves_the_queue_gives_his_place_on() -> None:
    recogniser = KnowsEveryWord(Conversation.of([(0, 1)]), takes_s=0.02)
    desk = RecognitionDesk(recogniser, at_once=2)
    works = [asyncio.create_task(desk.must(clip(number), OPTIONS)) for number in range(6)]
    await asyncio.sleep(0)
    for work in works[1:4]:
        work.cancel()
    done = await asyncio.gather(*works, return_exceptions=True)
    assert [isinstance(one, asyncio.CancelledError) for one in done] == [
        False,
        True,
        True,
        True,
        False,
        False,
    ]
    assert desk.is_free
    async with asyncio.timeout(5):
        await asyncio.gather(*(desk.must(clip(number), OPTIONS) for number in range(4)))
