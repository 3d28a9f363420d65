"""Clients made for others: OpenAI's own SDK, and what WhisperLiveKit's page sends."""

from __future__ import annotations

import asyncio
import base64
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from openai import AsyncOpenAI
from openai.resources.realtime.realtime import AsyncRealtimeConnection
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from clearcast.audio.recording import SAMPLE_RATE_HZ
from clearcast.audio.sandbox import transcode
from clearcast.audio.sinc import resample
from clearcast.sample import sample_conversation
from tests.deployments.live.stage import Stage

Json = dict[str, Any]
WITHIN_S = 160


@pytest.fixture(scope="module")
def phrase() -> np.ndarray:
    """Four seconds of the sample conversation and a pause, float32 at 16 kHz."""
    samples, rate_hz = soundfile.read(sample_conversation().audio, dtype="float32")
    assert rate_hz == SAMPLE_RATE_HZ
    return np.concatenate((samples[8 * rate_hz : 12 * rate_hz], np.zeros(rate_hz, np.float32)))


def pcm_of(samples: np.ndarray) -> bytes:
    return bytes((np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes())


def base_url(stage: Stage) -> str:
    return f"ws{stage.url.removeprefix('http')}"


async def append(connection: AsyncRealtimeConnection, samples: np.ndarray) -> None:
    """At 24 kHz, as OpenAI wants it."""
    pcm = pcm_of(resample(samples[:, np.newaxis], SAMPLE_RATE_HZ, 24_000)[:, 0])
    for at in range(0, len(pcm), 9600):
        await connection.input_audio_buffer.append(audio=base64.b64encode(pcm[at : at + 9600]).decode())


def client_of(stage: Stage, key: str) -> AsyncOpenAI:
    return AsyncOpenAI(api_key=key, base_url=f"{stage.url}/v1", websocket_base_url=f"{base_url(stage)}/v1")


@pytest.mark.timeout(240)
async def test_the_openai_sdk_gets_its_events(stage: Stage, phrase: np.ndarray) -> None:
    client = client_of(stage, stage.people.create("anna"))
    async with (
        client.realtime.connect(extra_query={"intent": "transcription"}) as connection,
        asyncio.timeout(WITHIN_S),
    ):
        assert (await connection.recv()).type == "session.created"
        wanted: Any = {"type": "transcription", "audio": {"input": {"transcription": {"language": "en"}}}}
        await connection.session.update(session=wanted)
        updated = await connection.recv()
        assert updated.type == "session.updated"
        await append(connection, phrase)
        told = []
        async for event in connection:
            told.append(event)
            if event.type == "conversation.item.input_audio_transcription.completed":
                break
    kinds = [event.type for event in told]
    assert kinds[0] == "input_audio_buffer.speech_started"
    assert kinds[-3:-1] == ["input_audio_buffer.speech_stopped", "input_audio_buffer.committed"]
    deltas = [one.delta for one in told if one.type.endswith("transcription.delta")]
    completed = told[-1]
    assert completed.type == "conversation.item.input_audio_transcription.completed"
    assert len(completed.transcript.split()) > 2
    assert deltas and "".join(deltas).split()[0]
    assert {event.item_id for event in told if hasattr(event, "item_id")} == {completed.item_id}


async def test_a_wrong_key_and_a_wrong_intent_are_refused(stage: Stage) -> None:
    async with connect(f"{base_url(stage)}/v1/realtime?intent=transcription") as socket:
        told = json.loads(await socket.recv())
        assert told["error"]["code"] == "unauthenticated"
        with pytest.raises(ConnectionClosed):
            await socket.recv()
        assert socket.close_code == 4401
    async with connect(f"{base_url(stage)}/v1/realtime") as socket:
        assert json.loads(await socket.recv())["error"]["code"] == "option_invalid"


async def test_browsers_send_the_key_as_a_subprotocol(stage: Stage) -> None:
    key = stage.people.create("anna")
    protocols: Any = ["realtime", f"openai-insecure-api-key.{key}"]
    address = f"{base_url(stage)}/v1/realtime?intent=transcription"
    async with connect(address, subprotocols=protocols) as socket:
        assert socket.subprotocol == "realtime"
        assert json.loads(await socket.recv())["type"] == "session.created"


async def finished(socket: ClientConnection) -> list[Json]:
    """All that is told after the end of the sound, up to `ready_to_stop`."""
    told: list[Json] = []
    async with asyncio.timeout(WITHIN_S):
        while not told or told[-1].get("type") != "ready_to_stop":
            told.append(json.loads(await socket.recv()))
    return told


@pytest.mark.timeout(240)
async def test_whisperlivekit_clients_send_pcm(stage: Stage, phrase: np.ndarray) -> None:
    headers = {"Authorization": f"Bearer {stage.people.create('anna')}"}
    async with connect(f"{base_url(stage)}/asr?pcm=1&language=en", additional_headers=headers) as socket:
        pcm = pcm_of(phrase)
        for at in range(0, len(pcm), 3200):
            await socket.send(pcm[at : at + 3200])
        await socket.send(b"")
        told = await finished(socket)
    last = told[-2]
    assert last["status"] == "active_transcription"
    assert last["buffer_transcription"] == ""
    (line,) = last["lines"]
    assert (line["speaker"], line["start"]) == (1, "0:00:00")
    assert len(line["text"].split()) > 2


@pytest.mark.timeout(240)
async def test_whisperlivekit_pages_send_what_browsers_record(
    stage: Stage, phrase: np.ndarray, tmp_path: Path
) -> None:
    """Ogg/Opus here; the key comes in the configuration."""
    soundfile.write(tmp_path / "phrase.wav", np.concatenate((phrase, phrase)), SAMPLE_RATE_HZ)
    recorded = tmp_path / "phrase.opus"
    await transcode(tmp_path / "phrase.wav", recorded, "opus", stage.settings.audio)
    content = await asyncio.to_thread(recorded.read_bytes)
    async with connect(f"{base_url(stage)}/asr") as socket:
        config = {"type": "config", "credential": stage.people.create("anna"), "language": "en"}
        await socket.send(json.dumps(config))
        half = len(content) * 2 // 3
        for at in range(0, half, 1000):
            await socket.send(content[at : min(half, at + 1000)])
        async with asyncio.timeout(WITHIN_S):
            while not (first := json.loads(await socket.recv()))["lines"]:
                pass
        assert first["lines"][0]["text"], "before the recording is whole"
        await socket.send(content[half:])
        await socket.send(b"")
        told = await finished(socket)
    assert len(told[-2]["lines"]) >= 2


async def test_what_is_no_recording_is_refused(stage: Stage) -> None:
    headers = {"Authorization": f"Bearer {stage.people.create('anna')}"}
    async with connect(f"{base_url(stage)}/asr", additional_headers=headers) as socket:
        await socket.send(b"dear diary, " * 1000)
        await socket.send(b"")  # only now is it clear that nothing follows which makes sound of it
        async with asyncio.timeout(WITHIN_S):
            told = json.loads(await socket.recv())
        assert told["code"] == "audio_unrecognised"
