"""OpenAI's Realtime events and WhisperLiveKit's states, over a made-up conversation."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from clearcast.audio.sinc import resample
from clearcast.settings import AudioSettings
from streaming.live_text.realtime import RealtimeTalk
from streaming.live_text.sitting import Person
from streaming.live_text.sittings import Sittings
from streaming.live_text.talk import LiveTalk
from streaming.live_text.whisper_livekit import WhisperLiveKitTalk, read_config
from streaming.testing.spoken import Conversation, KnowsEveryWord, sittings_of
from streaming.wire import WireClosed

Json = dict[str, Any]
CONVERSATION = Conversation.of([(0.5, 4), (1.0, 5)])
FIRST, SECOND = "word0 word1 word2 word3", "word4 word5 word6 word7 word8"
COMPLETED = "conversation.item.input_audio_transcription.completed"


class Line:
    """A wire whose other end is in the test."""

    def __init__(self) -> None:
        self.incoming: asyncio.Queue[str | bytes | None] = asyncio.Queue()
        self.told: asyncio.Queue[Json] = asyncio.Queue()
        self.code: int | None = None
        self.is_broken = False

    async def receive(self) -> str | bytes:
        message = await self.incoming.get()
        if message is None:
            raise WireClosed
        return message

    async def send(self, text: str) -> None:
        if self.is_broken:
            raise WireClosed
        self.told.put_nowait(json.loads(text))

    async def close(self, code: int) -> None:
        self.code = code

    def say(self, kind: str, **fields: Any) -> None:
        self.incoming.put_nowait(json.dumps({"type": kind, **fields}))

    async def until(self, kind: str) -> list[Json]:
        """What is told, up to a message of that kind."""
        told: list[Json] = []
        async with asyncio.timeout(30):
            while not told or told[-1].get("type") != kind:
                told.append(await self.told.get())
        return told


async def anybody(_credential: str | None, _with_voices: bool) -> Person:
    return Person("anna", (), lambda *_: None)


@pytest.fixture
def sittings() -> Sittings:
    return sittings_of(KnowsEveryWord(CONVERSATION, takes_s=0.05), 1)


@asynccontextmanager
async def realtime(sittings: Sittings) -> AsyncIterator[Line]:
    line = Line()
    talking = asyncio.create_task(RealtimeTalk(line, sittings, anybody, None).run())
    assert (await line.until("session.created"))[0]["session"]["type"] == "transcription"
    yield line
    line.incoming.put_nowait(None)
    await talking
    assert sittings.count == 0


def append(line: Line) -> None:
    """The conversation at 24 kHz."""
    sound = resample(CONVERSATION.sound()[:, np.newaxis], 16_000, 24_000)[:, 0]
    pcm = (sound * 32767).astype("<i2").tobytes()
    for at in range(0, len(pcm), 4800):
        line.say("input_audio_buffer.append", audio=base64.b64encode(pcm[at : at + 4800]).decode())


async def test_every_line_is_an_item_whose_deltas_only_add(sittings: Sittings) -> None:
    async with realtime(sittings) as line:
        append(line)
        first, second = await line.until(COMPLETED), await line.until(COMPLETED)
    for told, text in ((first, FIRST), (second, SECOND)):
        assert told[0]["type"] == "input_audio_buffer.speech_started"
        assert [one["type"] for one in told[-3:-1]] == [
            "input_audio_buffer.speech_stopped",
            "input_audio_buffer.committed",
        ]
        assert told[-1]["transcript"] == text
        assert text.startswith("".join(one.get("delta", "") for one in told))
        assert len({one["item_id"] for one in told}) == 1
    assert second[-2]["previous_item_id"] == first[-1]["item_id"]


async def test_who_commits_gets_one_item_for_each_commit(sittings: Sittings) -> None:
    async with realtime(sittings) as line:
        session = {"type": "transcription", "audio": {"input": {"turn_detection": None}}}
        line.say("session.update", session=session)
        updated = (await line.until("session.updated"))[-1]
        assert updated["session"]["audio"]["input"]["turn_detection"] is None
        append(line)
        line.say("input_audio_buffer.commit")
        told = await line.until(COMPLETED)
        assert told[-1]["transcript"] == f"{FIRST} {SECOND}"
        line.say("input_audio_buffer.clear")
        assert len(await line.until("input_audio_buffer.cleared")) == 1


async def test_older_clients_update_as_they_know_it(sittings: Sittings) -> None:
    async with realtime(sittings) as line:
        session = {"input_audio_format": "pcm16", "input_audio_transcription": {"language": "en"}}
        line.say("transcription_session.update", session=session)
        updated = (await line.until("transcription_session.updated"))[-1]
        assert updated["session"]["audio"]["input"]["transcription"] == {"language": "en"}


@pytest.mark.parametrize(
    "event",
    [
        {"type": "response.create"},
        {"type": "input_audio_buffer.append", "audio": "no base64!"},
        {"type": "session.update", "session": {"type": "realtime"}},
        {"type": "session.update", "session": {"input_audio_format": "g711_ulaw"}},
    ],
)
async def test_what_there_is_not_is_an_error_and_the_session_goes_on(
    sittings: Sittings, event: Json
) -> None:
    async with realtime(sittings) as line:
        line.incoming.put_nowait(json.dumps({**event, "event_id": "mine"}))
        assert (await line.until("error"))[-1]["error"]["event_id"] == "mine"
        append(line)
        assert (await line.until(COMPLETED))[-1]["transcript"] == FIRST


async def test_without_a_place_the_client_is_told_to_come_again(sittings: Sittings) -> None:
    async with realtime(sittings) as first:
        append(first)
        await first.until(COMPLETED)
        second = Line()
        append(second)
        await RealtimeTalk(second, sittings, anybody, None).run()
        assert (await second.until("error"))[-1]["error"]["code"] == "overloaded"
        assert second.code == 1013


async def test_who_breaks_off_while_the_last_lines_are_made_is_told_them_later(sittings: Sittings) -> None:
    """`stop_transcription`, and the connection breaks before its answer."""
    first, second = Line(), Line()
    talking = asyncio.create_task(LiveTalk(first, sittings, anybody).run())
    first.say("hello")
    resume = (await first.until("model_loaded"))[-1]["resume"]
    first.say("start_transcription")
    await first.until("transcription_started")
    first.incoming.put_nowait((CONVERSATION.sound() * 32767).astype("<i2").tobytes())
    first.say("stop_transcription")
    first.is_broken = True
    await talking
    talking = asyncio.create_task(LiveTalk(second, sittings, anybody).run())
    second.say("hello", resume=resume)
    second.say("start_transcription")
    second.say("close")
    told = await second.until("closed")
    assert [one["text"] for one in told if one["type"] == "transcription"] == [FIRST, SECOND]
    assert [one["id"] for one in told if one["type"] == "transcription"] == [1, 2]
    await talking


async def test_whisperlivekit_is_told_the_whole_state_each_time(sittings: Sittings, tmp_path: Path) -> None:
    line = Line()
    pcm = (CONVERSATION.sound() * 32767).astype("<i2").tobytes()
    for at in range(0, len(pcm), 3200):
        line.incoming.put_nowait(pcm[at : at + 3200])
    line.incoming.put_nowait(b"")
    talk = WhisperLiveKitTalk(line, sittings, anybody, AudioSettings(), read_config({"pcm": "1"}))
    await talk.run(tmp_path)
    told = await line.until("ready_to_stop")
    assert [one["text"] for one in told[-2]["lines"]] == [FIRST, SECOND]
    assert told[-2]["lines"][1]["start"] == "0:00:03"
    assert all(one["status"] == "active_transcription" for one in told[:-1])
    buffers = [one["buffer_transcription"] for one in told[:-1] if one["buffer_transcription"]]
    assert all(FIRST.startswith(one) or SECOND.startswith(one) for one in buffers)
    assert line.code == 1000
