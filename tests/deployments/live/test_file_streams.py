"""`/v1/stream` over a real socket: the transcript of the whole file while it is sent, so many at a time."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from websockets.asyncio.client import ClientConnection, connect

from clearcast.audio.recording import Clip
from clearcast.audio.sandbox import prepare, transcode
from clearcast.engines.transcribe.contract import TranscribeOptions
from clearcast.local import local_services
from clearcast.sample import sample_conversation
from pipelines.transcribe import run_transcription
from tests.deployments.live.stage import SetUp, Stage, running

Json = dict[str, Any]
PACKET_BYTES = 1000
SHORT_S = 8


@pytest.fixture
def short(tmp_path: Path) -> Path:
    """The first seconds of the sample conversation."""
    samples, rate_hz = soundfile.read(sample_conversation().audio, dtype="int16")
    target = tmp_path / "short.wav"
    soundfile.write(target, samples[: SHORT_S * rate_hz], rate_hz)
    return target


@dataclass
class Sent:
    """One file on its way."""

    socket: ClientConnection
    told: list[Json] = field(default_factory=list)

    async def until(self, kind: str) -> Json:
        async with asyncio.timeout(120):
            while True:
                message = json.loads(await self.socket.recv())
                self.told.append(message)
                if message["type"] in (kind, "error"):
                    return message


async def begin(stage: Stage, key: str, **fields: Any) -> Sent:
    socket = await connect(f"ws{stage.url.removeprefix('http')}/v1/stream")
    order = {"type": "file", "credential": key, "name": "short.wav", "options": {"language": "en"}}
    await socket.send(json.dumps(order | fields))
    return Sent(socket)


async def send(sent: Sent, content: bytes) -> None:
    for at in range(0, len(content), PACKET_BYTES):
        await sent.socket.send(content[at : at + PACKET_BYTES])


async def end(sent: Sent) -> Json:
    await sent.socket.send(json.dumps({"type": "end"}))
    done = await sent.until("done")
    await sent.socket.close()
    return done


async def batch_words(stage: Stage, source: Path, folder: Path) -> list[str]:
    copy = await prepare(source, folder / "copy.wav", stage.settings.audio)
    transcript = await run_transcription(
        local_services(stage.settings),
        Clip(copy.path.as_uri()),
        copy.duration_s,
        TranscribeOptions(language="en"),
    )
    return [segment.text for segment in transcript.segments]


@pytest.mark.timeout(300)
async def test_the_text_is_that_of_the_whole_recording(stage: Stage, tmp_path: Path) -> None:
    """Speech with pauses: several pieces, lines before the end, and in the end the same text."""
    source = tmp_path / "phrases.wav"
    samples, rate_hz = soundfile.read(sample_conversation().audio, dtype="int16")
    phrase = np.concatenate((samples[8 * rate_hz : 14 * rate_hz], np.zeros(rate_hz, np.int16)))
    soundfile.write(source, np.tile(phrase, 5), rate_hz)
    sent = await begin(stage, stage.people.create("anna"))
    content = await asyncio.to_thread(source.read_bytes)
    await send(sent, content[: -len(content) // 6])
    line = await sent.until("line")
    assert line["type"] == "line", "there is text before the last byte"
    assert {"type": "accepted", "decoding": "while_received"} in sent.told
    await send(sent, content[-len(content) // 6 :])
    done = await end(sent)
    batch = await batch_words(stage, source, tmp_path)
    assert [one["text"] for one in done["transcript"]["segments"]] == batch
    assert [one["text"] for one in sent.told if one["type"] == "line"] == batch
    assert done["transcript"]["duration"] == pytest.approx(35.0, abs=0.1)


@pytest.mark.timeout(300)
async def test_what_has_its_index_at_the_end_is_taken_too(
    stage: Stage, short: Path, tmp_path: Path
) -> None:
    video = tmp_path / "short.m4a"
    await transcode(short, video, "m4a", stage.settings.audio)
    content = with_index_at_the_end(await asyncio.to_thread(video.read_bytes))
    sent = await begin(stage, stage.people.create("anna"))
    await send(sent, content)
    done = await end(sent)
    assert done["type"] == "done", done
    assert next(one for one in sent.told if one["type"] == "accepted")["decoding"] == "after_last_byte"
    assert done["transcript"]["text"]


async def test_what_is_no_sound_is_refused_by_name(stage: Stage) -> None:
    sent = await begin(stage, stage.people.create("anna"))
    await send(sent, b"dear diary, " * 1000)
    assert (await end(sent))["code"] == "audio_unrecognised"
    assert sent.socket.close_code == 1008


@pytest.mark.timeout(300)
async def test_three_at_a_time_one_waits_the_next_is_sent_away(make_stage: SetUp, short: Path) -> None:
    stage = make_stage(max_streams=3, max_waiting_streams=1)
    key = stage.people.create("anna")
    content = await asyncio.to_thread(short.read_bytes)
    async with running(stage):
        three = [await begin(stage, key) for _ in range(3)]
        for one in three:
            await send(one, content)
            assert (await one.until("accepted"))["type"] == "accepted"
        waiting = await begin(stage, key)
        assert (await waiting.until("queued"))["place"] == 1
        refused = await begin(stage, key)
        told = await refused.until("done")
        assert (told["code"], told["retryable"]) == ("overloaded", True)
        assert told["retry_after_s"] > 0
        await refused.socket.wait_closed()
        assert refused.socket.close_code == 1013
        await send(waiting, content)
        texts = [(await end(one))["transcript"]["text"] for one in (*three, waiting)]
    assert len(set(texts)) == 1
    assert texts[0]


@pytest.mark.timeout(180)
async def test_who_leaves_gives_his_place_back(make_stage: SetUp, short: Path) -> None:
    stage = make_stage(max_streams=1, max_waiting_streams=1)
    key = stage.people.create("anna")
    content = await asyncio.to_thread(short.read_bytes)
    async with running(stage):
        first = await begin(stage, key)
        await send(first, content)
        await first.until("accepted")
        second = await begin(stage, key)
        await second.until("queued")
        first.socket.transport.abort()
        await send(second, content)
        assert (await end(second))["type"] == "done"
        folder = stage.settings.data_path / "live-sound"
        async with asyncio.timeout(30):  # what was received is erased after the last word to the client
            while await asyncio.to_thread(lambda: list(folder.rglob("received"))):
                await asyncio.sleep(0.05)


def with_index_at_the_end(content: bytes) -> bytes:
    """An MP4 with its `moov` box moved behind `mdat`, its offsets corrected (ISO 14496-12 §8.7.5)."""
    boxes: list[tuple[bytes, bytes]] = []
    at = 0
    while at < len(content):
        size = int.from_bytes(content[at : at + 4], "big")
        boxes.append((content[at + 4 : at + 8], content[at : at + size]))
        at += size
    kinds = [kind for kind, _ in boxes]
    if kinds.index(b"moov") > kinds.index(b"mdat"):
        return content
    moov = next(body for kind, body in boxes if kind == b"moov")
    table = moov.index(b"stco") + 8
    count = int.from_bytes(moov[table : table + 4], "big")
    fixed = bytearray(moov)
    for place in range(table + 4, table + 4 + 4 * count, 4):
        offset = int.from_bytes(fixed[place : place + 4], "big") - len(moov)
        fixed[place : place + 4] = offset.to_bytes(4, "big")
    return b"".join(body for kind, body in boxes if kind != b"moov") + bytes(fixed)
