"""One voice of a room as text: nothing is lost or doubled, times are the room's, nobody is held up."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest

from streaming.frames import Frame
from streaming.live_text.captioned_voice import CaptionedVoice
from streaming.live_text.lines import Line, LiveEvent
from streaming.live_text.options import LiveOptions
from streaming.live_text.session import BEHIND_S
from streaming.opus import SAMPLE_RATE_HZ, Sound
from streaming.testing.spoken import Conversation, KnowsEveryWord, sittings_of

OPTIONS = LiveOptions(speakers=0, partials=False)
FRAME = SAMPLE_RATE_HZ // 50


class Studio:
    """A voice of which a test says when what comes."""

    def __init__(self, conversation: Conversation) -> None:
        self.recogniser = KnowsEveryWord(conversation)
        self.sittings = sittings_of(self.recogniser)
        self.told: list[LiveEvent] = []
        self.now_s = 0.0  # in the room
        self.voice: CaptionedVoice = self.sittings.caption(OPTIONS, self.told.append, lambda: self.now_s)

    def hear(self, sound: Sound, position: int) -> None:
        """As frames of 20 ms, which come when they were spoken."""
        for at in range(0, len(sound) - FRAME + 1, FRAME):
            self.now_s += FRAME / SAMPLE_RATE_HZ
            self.voice.put(Frame(position + at, sound[at : at + FRAME]))

    @property
    def lines(self) -> list[Line]:
        return [event for event in self.told if isinstance(event, Line)]

    async def until(self, is_so: Callable[[], bool]) -> None:
        async with asyncio.timeout(30):
            while not is_so():
                await asyncio.sleep(0.02)

    async def close(self) -> None:
        await self.voice.close()
        await self.sittings.close()


def tone(conversation: Conversation, channels: int = 1) -> Sound:
    """Loud where there is a word, at 48 kHz."""
    count = round(conversation.duration_s * SAMPLE_RATE_HZ)
    sound = np.zeros((count, channels), np.float32)
    for word in conversation.words:
        first, last = round(word.start_s * SAMPLE_RATE_HZ), round(word.end_s * SAMPLE_RATE_HZ)
        sound[first:last] = (
            0.3 * np.sin(2 * np.pi * 300 * np.arange(last - first) / SAMPLE_RATE_HZ)[:, None]
        )
    return sound


@pytest.mark.parametrize("channels", [1, 2])
async def test_every_word_comes_once_at_its_time_in_the_room(channels: int) -> None:
    conversation = Conversation.of([(0.5, 4), (1.0, 5)])
    studio = Studio(conversation)
    studio.now_s = 100.0
    sound = tone(conversation, channels)
    studio.now_s += 3.0  # the loop had no time for the first frames
    studio.hear(sound[:FRAME], position=480_000)
    studio.now_s -= 3.0
    studio.hear(sound[FRAME:], position=480_000 + FRAME)
    await studio.voice.finish()
    words = [word for line in studio.lines for word in line.words]
    assert [word.text for word in words] == [word.text for word in conversation.words]
    for word, said in zip(words, conversation.words, strict=True):
        assert word.start_s == pytest.approx(100.0 + said.start_s, abs=0.001)
    assert all(one.end_s <= other.start_s for one, other in pairwise(studio.lines))
    await studio.close()


async def test_a_sender_that_falls_silent_ends_its_line_and_goes_on_when_it_comes_again() -> None:
    """With DTX, or a network that fails, no packet says that nobody speaks."""
    # What comes after the pause lies behind a second of silence where the recogniser looks for it.
    conversation = Conversation.of([(0.5, 3), (1.0, 2)])
    sound = tone(conversation)
    pause = round(1.7 * SAMPLE_RATE_HZ)
    studio = Studio(conversation)
    studio.hear(sound[:pause], position=0)
    await studio.until(lambda: len(studio.lines) == 1)  # by itself
    studio.now_s += 60.0 - 1.0  # a minute of silence, of which one second was in the conversation
    studio.hear(sound[round(2.7 * SAMPLE_RATE_HZ) :], position=pause + 60 * SAMPLE_RATE_HZ)
    await studio.voice.finish()
    assert [line.text for line in studio.lines] == ["word0 word1 word2", "word3 word4"]
    assert studio.lines[0].start_s == pytest.approx(0.5, abs=0.05)
    assert studio.lines[1].start_s == pytest.approx(1.7 + 59.0, abs=0.05)
    await studio.close()


async def test_a_recogniser_that_hangs_holds_nobody_up_and_what_is_too_much_is_left_out() -> None:
    conversation = Conversation.of([(0.6, 3)] * 60)
    studio = Studio(conversation)
    studio.recogniser.takes_s = 3600
    sound = tone(conversation)
    for at in range(0, 90 * SAMPLE_RATE_HZ, 5 * SAMPLE_RATE_HZ):
        studio.hear(sound[at : at + 5 * SAMPLE_RATE_HZ], position=at)
        await asyncio.sleep(0.15)
    assert studio.voice.lag_s > BEHIND_S
    assert studio.voice.left_out_s > 0
    async with asyncio.timeout(5):
        await studio.close()
    assert not studio.sittings.count
