"""`/v1/keywords` over a real socket: words as they end, those that are rejected, what is refused."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from websockets.asyncio.client import ClientConnection, connect

from clearcast.audio.recording import SAMPLE_RATE_HZ, FloatAudio, Recording
from clearcast.audio.sinc import resample
from clearcast.engines.classify.contract import ClassifyOptions, KeywordEngine
from clearcast.engines.engine import EngineContext, make_engine
from tests.deployments.live.stage import SetUp, Stage, running

Json = dict[str, Any]
WITHIN_S = 60


def address(stage: Stage) -> str:
    return f"ws{stage.url.removeprefix('http')}/v1/keywords"


async def begin(socket: ClientConnection, **hello: Any) -> Json:
    """Say hello; the answer."""
    await socket.send(json.dumps({"type": "hello", **hello}))
    return dict(json.loads(await asyncio.wait_for(socket.recv(), WITHIN_S)))


async def send(socket: ClientConnection, samples: FloatAudio) -> None:
    """float32 sound as 16-bit PCM, in pieces of 20 ms at 16 kHz."""
    pcm = (np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes()
    for at in range(0, len(pcm), 640):
        await socket.send(pcm[at : at + 640])


async def words_of(socket: ClientConnection, samples: FloatAudio) -> list[Json]:
    """Send sound, then close; the words that were told."""
    await send(socket, samples)
    await socket.send(json.dumps({"type": "close"}))
    async with asyncio.timeout(WITHIN_S):
        told = [json.loads(text) async for text in socket]
    assert told.pop()["type"] == "closed"
    assert socket.close_code == 1000
    assert {one["type"] for one in told} <= {"word"}
    return told


@pytest.fixture
def string(shared_audio: Path) -> FloatAudio:
    """Eight Persian digits with pauses, float32 at 16 kHz."""
    samples, rate_hz = soundfile.read(shared_audio / "kws" / "string_0.flac", dtype="float32")
    assert rate_hz == SAMPLE_RATE_HZ
    return np.asarray(samples, np.float32)


@pytest.fixture
def engine(tmp_path: Path) -> KeywordEngine:
    return make_engine(KeywordEngine, "residual_cnn", {}, EngineContext(tmp_path))


async def test_words_are_those_of_the_whole_file(
    stage: Stage, string: FloatAudio, engine: KeywordEngine
) -> None:
    """The same labels at the same times, at any rate; each word first as one that may go on."""
    wanted = engine.classify(Recording.from_array(string)).words
    key = stage.people.create("anna")
    for rate_hz in (SAMPLE_RATE_HZ, 48_000):
        async with connect(address(stage)) as socket:
            hello = await begin(socket, credential=key, sample_rate_hz=rate_hz)
            assert (hello["engine"], hello["model"]) == ("residual_cnn", "persian-digits")
            assert hello["labels"] == [str(digit) for digit in range(11)]
            sound = resample(string[:, np.newaxis], SAMPLE_RATE_HZ, rate_hz)[:, 0]
            told = await words_of(socket, sound)
        final = [one for one in told if one["is_final"]]
        assert [one["label"] for one in final] == [word.label for word in wanted]
        for one, word in zip(final, wanted, strict=True):
            assert one["start_s"] == pytest.approx(word.start_s, abs=0.011)
            assert one["end_s"] == pytest.approx(word.end_s, abs=0.011)
            assert one["probability"] == pytest.approx(word.probability, abs=0.05)
        first = {one["id"]: one for one in reversed(told)}
        assert sorted(first) == [one["id"] for one in final] == list(range(1, len(wanted) + 1))
        assert not any(one["is_final"] for one in first.values())


async def test_other_words_are_told_on_request_only(
    stage: Stage, shared_audio: Path, engine: KeywordEngine
) -> None:
    speech, rate_hz = soundfile.read(shared_audio / "asr" / "1688-142285-0009.flac", dtype="float32")
    speech = resample(speech[:, np.newaxis], rate_hz, SAMPLE_RATE_HZ)[:, 0]
    key = stage.people.create("anna")
    async with connect(address(stage)) as socket:
        await begin(socket, credential=key, options={"min_probability": 1.0})
        told = await words_of(socket, speech)
    assert [one for one in told if not one["is_taken_back"]] == []
    async with connect(address(stage)) as socket:
        await begin(socket, credential=key, options={"min_probability": 1.0, "keep_unknown": True})
        told = await words_of(socket, speech)
    wanted = engine.classify(
        Recording.from_array(speech), ClassifyOptions(min_probability=1.0, keep_unknown=True)
    )
    assert len([one for one in told if one["is_final"]]) == len(wanted.words) > 0
    assert {one["label"] for one in told} == {"unknown"}


async def test_what_there_is_not_is_refused_by_name(stage: Stage) -> None:
    key = stage.people.create("anna")
    for hello, named in (
        ({"options": {"min_silence_s": 9}}, "min_silence_s"),
        ({"options": {"loudness": 1}}, "loudness"),
        ({"sample_rate_hz": 1}, "sample rate"),
        ({"model": "/etc/"}, "persian-digits"),
    ):
        async with connect(address(stage)) as socket:
            told = await begin(socket, credential=key, **hello)
            assert told["code"] == "option_invalid"
            assert named in told["detail"] + told.get("hint", "")
            await socket.wait_closed()
            assert socket.close_code == 1008


async def test_a_word_is_told_before_100_ms_more_have_come(
    stage: Stage, string: FloatAudio, engine: KeywordEngine
) -> None:
    first = engine.classify(Recording.from_array(string)).words[0]
    begun = string[: round((first.end_s + 0.09) * SAMPLE_RATE_HZ)]
    async with connect(address(stage)) as socket:
        await begin(socket, credential=stage.people.create("anna"))
        await send(socket, begun)
        told = json.loads(await asyncio.wait_for(socket.recv(), WITHIN_S))
    assert (told["type"], told["label"], told["is_final"]) == ("word", first.label, False)


async def test_a_stranger_is_sent_away(stage: Stage) -> None:
    async with connect(address(stage)) as socket:
        assert (await begin(socket, credential="cc_nobody"))["code"] == "unauthenticated"
        await socket.wait_closed()
        assert socket.close_code == 4401


async def test_one_more_than_fits_is_told_to_come_again(make_stage: SetUp) -> None:
    stage = make_stage(max_keyword_streams=1)
    async with running(stage):
        key = stage.people.create("anna")
        async with connect(address(stage)) as first, connect(address(stage)) as second:
            assert (await begin(first, credential=key))["type"] == "model_loaded"
            told = await begin(second, credential=key)
            assert told["code"] == "overloaded"
            assert told["retry_after_s"] > 0
            await second.wait_closed()
            assert second.close_code == 1013
            await first.send(json.dumps({"type": "close"}))
            await first.wait_closed()
        async with connect(address(stage)) as third:
            assert (await begin(third, credential=key))["type"] == "model_loaded"
