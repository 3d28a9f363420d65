"""Live text: how soon lines and previews come after what was said, at 1 socket, and at 8 for five minutes;
how many words live costs against the whole recording; three streams of files at once against one after
another.

Real speech from the shared set, sent as fast as it was spoken to the whole platform over Serve. When it
begins and ends is told by its true words (`bench/spoken_span.py`).
"""

from __future__ import annotations

import asyncio
import json
import math
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from websockets.asyncio.client import connect

from bench.row import Row
from bench.spoken_span import TimedClip, timed
from bench.transcription import Clip, clips
from bench.word_error import WordErrors, word_errors
from clearcast.audio.recording import SAMPLE_RATE_HZ, FloatAudio
from clearcast.client import ClearCast
from clearcast.ports import free_port
from clearcast.settings import Settings, load_settings
from deployments.server import running

SOCKETS = 8
SUSTAINED_S = 300.0
WARM_UP_S = 30.0  # in which a second recogniser starts
PAUSE_S = 1.5
_PIECE = SAMPLE_RATE_HZ // 25  # as our own clients send it


@dataclass
class Heard:
    """What one socket was told. Attributes:
    ends_s: where each clip's speech ended, seconds since the first sound.
    final_ms: from there to the line that has its last word.
    partial_ms: from the beginning of each clip's speech to its first preview or line.
    """

    ends_s: list[float] = field(default_factory=list)
    final_ms: list[float] = field(default_factory=list)
    partial_ms: list[float] = field(default_factory=list)
    errors: WordErrors = WordErrors()


def rows() -> Iterator[Row]:
    heard = list(timed(one for one in clips() if len(one.samples) < 15 * SAMPLE_RATE_HZ))
    if not heard:
        return
    with tempfile.TemporaryDirectory() as place:
        settings = _settings(Path(place))
        with running(settings) as addresses, ClearCast(addresses.url) as client:
            gateway = addresses.live_urls[0].replace("http", "ws", 1)
            yield from _live_rows(gateway, heard, _batch_errors(client, heard, Path(place)))
            yield from _stream_rows(gateway, heard[0])


def _settings(folder: Path) -> Settings:
    settings = load_settings("local")
    return settings.model_copy(
        update={
            "data_dir": folder / "data",
            "http": settings.http.model_copy(update={"port": free_port(), "require_key": False}),
            "live": settings.live.model_copy(update={"port": free_port()}),
        }
    )


def _batch_errors(client: ClearCast, heard: Sequence[Clip], folder: Path) -> WordErrors:
    total = WordErrors()
    for number, clip in enumerate(heard):
        path = folder / f"{number}.wav"
        soundfile.write(path, clip.samples, SAMPLE_RATE_HZ)
        total += word_errors(clip.text, client.transcribe(path, language="en").text)
    return total


def _live_rows(gateway: str, heard: Sequence[TimedClip], batch: WordErrors) -> Iterator[Row]:
    alone = asyncio.run(_one_socket(gateway, heard))
    alone_ms = float(np.percentile(alone.final_ms, 95))
    yield Row("live", "1 socket", "final_text_p95_ms", alone_ms, "ms")
    yield Row("live", "1 socket", "first_partial_p95_ms", float(np.percentile(alone.partial_ms, 95)), "ms")
    yield Row("live", "1 socket", "WER", alone.errors.rate, "", batch.rate, alone.errors.rate / batch.rate)
    told = asyncio.run(_all_sockets(gateway, heard))
    case = f"{SOCKETS} sockets"
    finals_ms = _finals_between(told, WARM_UP_S, SUSTAINED_S)
    yield Row("live", case, "final_text_p95_ms", finals_ms, "ms", alone_ms, finals_ms / alone_ms)
    partials = [one for each in told for one in each.partial_ms]
    yield Row("live", case, "first_partial_p95_ms", float(np.percentile(partials, 95)), "ms")
    third_s = (SUSTAINED_S - WARM_UP_S) / 3
    first_ms = _finals_between(told, WARM_UP_S, WARM_UP_S + third_s)
    last_ms = _finals_between(told, SUSTAINED_S - third_s, SUSTAINED_S)
    case += ", last third of five minutes against the first"
    yield Row("live", case, "final_text_p95_ms", last_ms, "ms", first_ms, last_ms / first_ms)


def _finals_between(told: Sequence[Heard], start_s: float, end_s: float) -> float:
    """95th percentile of `final_ms` of the clips that ended in that time, milliseconds."""
    finals = [
        final_ms
        for each in told
        for at_s, final_ms in zip(each.ends_s, each.final_ms, strict=True)
        if start_s <= at_s < end_s
    ]
    return float(np.percentile(finals, 95))


async def _all_sockets(gateway: str, heard: Sequence[TimedClip]) -> list[Heard]:
    """Each begins with another clip, a little later than the one before, and goes on for five minutes."""
    length_s = sum(len(clip.samples) / SAMPLE_RATE_HZ + PAUSE_S for clip in heard)

    async def one(number: int) -> Heard:
        await asyncio.sleep(0.7 * number)
        turned = [*heard[number % len(heard) :], *heard[: number % len(heard)]]
        return await _one_socket(gateway, turned * math.ceil(SUSTAINED_S / length_s))

    return list(await asyncio.gather(*(one(number) for number in range(SOCKETS))))


async def _one_socket(gateway: str, heard: Sequence[TimedClip]) -> Heard:
    async with connect(f"{gateway}/v1/live", max_size=None) as socket:
        options = {"language": "en", "speakers": 0}
        await socket.send(json.dumps({"type": "hello", "options": options}))
        await socket.send(json.dumps({"type": "start_transcription"}))
        while json.loads(await socket.recv())["type"] != "transcription_started":
            pass
        told: list[tuple[float, dict[str, Any]]] = []

        async def listen() -> None:
            async for message in socket:
                told.append((time.monotonic(), json.loads(message)))  # noqa: PERF401 - read while it comes

        listening = asyncio.create_task(listen())
        sound = [part for clip in heard for part in (clip.samples, _silence())]
        began_s = await _pace(socket, np.concatenate(sound))
        await socket.send(json.dumps({"type": "close"}))
        await listening
    return _judged(heard, told, began_s)


def _silence() -> FloatAudio:
    return np.zeros(round(PAUSE_S * SAMPLE_RATE_HZ), np.float32)


async def _pace(socket: Any, samples: FloatAudio) -> float:
    """Send each piece when its last sample was spoken; gives the moment of the first sample."""
    pcm = (np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes()
    began_s = time.monotonic()
    for at in range(0, len(pcm), 2 * _PIECE):
        due_s = began_s + (at // 2 + _PIECE) / SAMPLE_RATE_HZ
        await asyncio.sleep(max(0.0, due_s - time.monotonic()))
        await socket.send(pcm[at : at + 2 * _PIECE])
    return began_s


def _judged(
    heard: Sequence[TimedClip], told: Sequence[tuple[float, dict[str, Any]]], began_s: float
) -> Heard:
    found = Heard()
    first = 0.0
    for clip in heard:
        last = first + len(clip.samples) / SAMPLE_RATE_HZ + PAUSE_S
        own = [
            (at_s, message)
            for at_s, message in told
            if message["type"] in ("partial", "transcription")
            and first - PAUSE_S / 2 <= message["start_s"] < last - PAUSE_S / 2
        ]
        lines = [(at_s, message) for at_s, message in own if message["type"] == "transcription"]
        if lines and clip.speech_s is not None:
            start_s, end_s = clip.speech_s
            found.ends_s.append(first + end_s)
            found.final_ms.append(1000 * (lines[-1][0] - began_s - first - end_s))
            found.partial_ms.append(1000 * (own[0][0] - began_s - first - start_s))
        found.errors += word_errors(clip.text, " ".join(message["text"] for _, message in lines))
        first = last
    return found


def _stream_rows(gateway: str, clip: Clip) -> Iterator[Row]:
    """Three at once; reference: three one after another."""
    pcm = (np.clip(np.tile(clip.samples, 3), -1, 1) * 32767).astype("<i2")
    with tempfile.NamedTemporaryFile(suffix=".wav") as file:
        soundfile.write(file.name, pcm, SAMPLE_RATE_HZ)
        content = Path(file.name).read_bytes()

    async def at_once(number: int) -> float:
        began_s = time.monotonic()
        await asyncio.gather(*(_stream(gateway, content) for _ in range(number)))
        return time.monotonic() - began_s

    alone_s = sum(asyncio.run(at_once(1)) for _ in range(3))
    together_s = asyncio.run(at_once(3))
    yield Row("live", "3 streams of files", "wall", together_s, "s", alone_s, together_s / alone_s)


async def _stream(gateway: str, content: bytes) -> None:
    async with connect(f"{gateway}/v1/stream", max_size=None) as socket:
        await socket.send(json.dumps({"type": "file", "options": {"language": "en"}}))
        for at in range(0, len(content), 32_000):
            await socket.send(content[at : at + 32_000])
        await socket.send(json.dumps({"type": "end"}))
        last = [json.loads(message) async for message in socket][-1]
        assert last["type"] == "done", last
