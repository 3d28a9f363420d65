"""`/v1/live` over a real socket: hello, voices, lines, coming back."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from clearcast.audio.recording import SAMPLE_RATE_HZ
from clearcast.audio.sinc import resample
from clearcast.engines.transcribe.contract import TranscriptionEngine
from clearcast.local import engine_from
from clearcast.settings import load_settings
from deployments.live.live_text import at_once
from tests.deployments.live.stage import SetUp, Stage, running

Json = dict[str, Any]


def address(stage: Stage) -> str:
    return f"ws{stage.url.removeprefix('http')}/v1/live"


async def ask(socket: ClientConnection, kind: str, answer: str, **fields: Any) -> tuple[Json, list[Json]]:
    """Send a message; the answer, and what came before it."""
    await socket.send(json.dumps({"type": kind, **fields}))
    before: list[Json] = []
    async with asyncio.timeout(120):
        while True:
            told = json.loads(await socket.recv())
            if told["type"] in (answer, "error"):
                return told, before
            before.append(told)


async def say(socket: ClientConnection, samples: np.ndarray) -> None:
    """float32 mono at 16 kHz, in pieces of 100 ms."""
    pcm = (np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes()
    for at in range(0, len(pcm), 3200):
        await socket.send(pcm[at : at + 3200])


async def test_a_stranger_is_sent_away(stage: Stage) -> None:
    async with connect(address(stage)) as socket:
        told, _ = await ask(socket, "hello", "model_loaded", credential="cc_nobody")
        assert told["code"] == "unauthenticated"
        with pytest.raises(ConnectionClosed):
            await socket.recv()
        assert socket.close_code == 4401


async def test_hello_names_the_engine(stage: Stage) -> None:
    async with connect(address(stage)) as socket:
        key = stage.people.create("anna")
        told, _ = await ask(socket, "hello", "model_loaded", credential=key)
        assert (told["engine"], told["model"]) == ("pocketsphinx", "en-us")
        assert told["received_samples"] == 0
        pong, _ = await ask(socket, "ping", "pong", ref="7")
        assert pong["ref"] == "7"
        await ask(socket, "close", "closed")
        with pytest.raises(ConnectionClosed):
            await socket.recv()
        assert socket.close_code == 1000


async def test_wrong_options_are_refused_by_name(stage: Stage) -> None:
    async with connect(address(stage)) as socket:
        key = stage.people.create("anna")
        told, _ = await ask(socket, "hello", "model_loaded", credential=key, options={"silence_s": 99})
        assert told["code"] == "option_invalid"
        assert "silence_s" in told["detail"]


async def test_one_more_than_fits_is_told_to_come_again(make_stage: SetUp) -> None:
    stage = make_stage(max_transcriptions=1)
    async with running(stage), connect(address(stage)) as first, connect(address(stage)) as second:
        key = stage.people.create("anna")
        assert (await ask(first, "hello", "model_loaded", credential=key))[0]["type"] == "model_loaded"
        told, _ = await ask(second, "hello", "model_loaded", credential=key)
        assert told["code"] == "overloaded"
        assert told["retry_after_s"] > 0
        with pytest.raises(ConnectionClosed):
            await second.recv()
        assert second.close_code == 1013


async def test_silence_registers_nobody(stage: Stage) -> None:
    async with connect(address(stage)) as socket:
        await ask(socket, "hello", "model_loaded", credential=stage.people.create("anna"))
        await ask(socket, "start_speaker_registration", "speaker_registration_started", speaker_id=0)
        await say(socket, np.zeros(4 * SAMPLE_RATE_HZ, np.float32))
        told, _ = await ask(
            socket, "complete_speaker_registration", "speaker_registration_failed", speaker_id=0
        )
        assert told["code"] == "speech_too_short"


async def test_two_registered_voices_are_named_line_by_line(stage: Stage, shared_audio: Path) -> None:
    """Two people of the shared set register, then each says another sentence."""
    voices = two_speakers(shared_audio)
    async with connect(address(stage)) as socket:
        key = stage.people.create("anna")
        await ask(
            socket, "hello", "model_loaded", credential=key, options={"language": "en", "speakers": 2}
        )
        for number, (name, (sample, _)) in enumerate(voices.items()):
            await ask(
                socket,
                "start_speaker_registration",
                "speaker_registration_started",
                speaker_id=number,
                name=name,
            )
            await say(socket, sample[: 8 * SAMPLE_RATE_HZ])
            told, _ = await ask(
                socket, "complete_speaker_registration", "speaker_registration_completed", speaker_id=number
            )
            assert told["type"] == "speaker_registration_completed", told
            assert told["speech_s"] > 3
        await ask(socket, "start_transcription", "transcription_started")
        pause = np.zeros(SAMPLE_RATE_HZ, np.float32)
        for _, sentence in voices.values():
            await say(socket, np.concatenate((sentence[: 4 * SAMPLE_RATE_HZ], pause)))
        _, told = await ask(socket, "stop_transcription", "transcription_stopped")
    lines = [one for one in told if one["type"] == "transcription"]
    assert [line["id"] for line in lines] == list(range(1, len(lines) + 1))
    assert all(line["text"] and "pocketsphinx" in line["engines"][0] for line in lines)
    named = {name: [line["speaker_id"] for line in lines if line["name"] == name] for name in voices}
    assert all(set(ids) == {number} for number, ids in enumerate(named.values())), told


async def test_who_comes_back_loses_no_line(stage: Stage, shared_audio: Path) -> None:
    """The connection breaks in mid-sentence; sound goes on from where the server had it."""
    sentence = next(iter(two_speakers(shared_audio).values()))[1][: 4 * SAMPLE_RATE_HZ]
    sound = np.concatenate((sentence, np.zeros(SAMPLE_RATE_HZ, np.float32)))
    key = stage.people.create("anna")
    options = {"language": "en", "speakers": 0, "partials": False}

    async def lines_of(breaks: bool) -> list[str]:
        socket = await connect(address(stage))
        hello, _ = await ask(socket, "hello", "model_loaded", credential=key, options=options)
        await ask(socket, "start_transcription", "transcription_started")
        sent = len(sound)
        if breaks:
            await say(socket, sound[: 2 * SAMPLE_RATE_HZ])
            socket.transport.abort()  # no goodbye
            socket = await connect(address(stage))
            hello, _ = await ask(
                socket, "hello", "model_loaded", credential=key, resume=hello["resume"], options=options
            )
            sent = hello["received_samples"]
            assert 0 < sent <= 2 * SAMPLE_RATE_HZ
            await say(socket, sound[sent:])
        else:
            await say(socket, sound)
        _, told = await ask(socket, "stop_transcription", "transcription_stopped")
        await socket.close()
        return [one["text"] for one in told if one["type"] == "transcription"]

    whole = await lines_of(breaks=False)
    assert whole
    assert await lines_of(breaks=True) == whole


@pytest.mark.parametrize(("profile", "expected"), [("local", 2), ("gpu", 8), ("cluster", 16)])
def test_the_recogniser_is_asked_for_as_many_at_once_as_it_works_on(profile: str, expected: int) -> None:
    """A replica each; those of a GPU eight, in one batch."""
    settings = load_settings(profile)
    assert at_once(settings.serve.transcriber, engine_from(TranscriptionEngine, settings)) == expected


def two_speakers(shared_audio: Path) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Two people by name, each with a sample and something else that they say."""
    items = json.loads((shared_audio / "manifest.json").read_text(encoding="utf-8"))["items"]
    found: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    tests = {one["truth"]["speaker"]: one for one in items if one["task"] == "identification_test"}
    for item in items:
        speaker = item["truth"].get("speaker") if item["task"] == "identification_enrol" else None
        if speaker in tests and len(found) < 2:
            found[speaker] = (
                sound_of(shared_audio / item["file"]),
                sound_of(shared_audio / tests[speaker]["file"]),
            )
    return found


def sound_of(path: Path) -> np.ndarray:
    samples, rate_hz = soundfile.read(path, dtype="float32")
    return resample(samples[:, np.newaxis], rate_hz, SAMPLE_RATE_HZ)[:, 0]
