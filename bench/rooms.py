"""Live rooms: how soon a voice is heard, how many can listen; beside aiortc's MediaRelay in the same run.

Chirps leave a mouth in real time and are found again in what an ear without any buffer got: the sound
card's and the browser's share comes on top (`bench/browsers.py` measures the latter). Listeners sit in a
process of their own; what is counted is all that the process with the room spends, the broadcaster's own
encoding included.
"""

from __future__ import annotations

import asyncio
import functools
import tempfile
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Protocol

import numpy as np
from aiortc import MediaStreamTrack, RTCPeerConnection
from aiortc.contrib.media import MediaRelay

from bench._processes import cpu_between, cpu_seconds
from bench.row import Row
from clearcast.engines.denoise.contract import DenoiseOptions
from clearcast.testing.checkpoints.deepfilternet import write_deepfilternet2
from streaming.listeners import EncodedFrame
from streaming.opus import EncoderOptions
from streaming.packet_tap import AudioPacket
from streaming.peers import answer, new_peer
from streaming.processing import Denoising
from streaming.room import Room
from streaming.testing.chirps import chirps, delays_ms
from streaming.testing.crowd import crowd
from streaming.testing.peers import Ear, Guest, Mouth
from streaming.workers import DenoiseWorkers

_SPOKEN_S = 5.0
_COUNTED_S = 4.0
_ROOMS = 8
_OUR_LISTENERS, _RELAY_LISTENERS = 100, 8  # a relay's would fill a core from 20 on


class Hall(Protocol):
    """Where one speaks and many listen."""

    def speak_over(self, peer: RTCPeerConnection) -> None: ...

    def listen_over(self, peer: RTCPeerConnection) -> None: ...

    async def close(self) -> None: ...


class OurRoom:
    """The media path of a live room."""

    def __init__(
        self, denoising: Denoising | None = None, encoding: EncoderOptions = EncoderOptions()
    ) -> None:
        self._room = Room(encoding, denoising)

    def speak_over(self, peer: RTCPeerConnection) -> None:
        voice = self._room.add_broadcaster("speaker", peer)
        if voice.stage is not None:
            voice.stage.switch(True)

    def listen_over(self, peer: RTCPeerConnection) -> None:
        self._room.add_listener(peer)

    async def close(self) -> None:
        await self._room.close()


class Relay:
    """aiortc as its examples use it: a MediaRelay, with the jitter buffer as it comes."""

    def __init__(self) -> None:
        self._relay = MediaRelay()
        self._track: MediaStreamTrack | None = None

    def speak_over(self, peer: RTCPeerConnection) -> None:
        def on_track(track: MediaStreamTrack) -> None:
            self._track = track

        peer.on("track", on_track)

    def listen_over(self, peer: RTCPeerConnection) -> None:
        assert self._track is not None
        peer.addTrack(self._relay.subscribe(self._track))

    async def close(self) -> None:
        pass


def rows() -> Iterator[Row]:
    case, metric = "one voice", "mouth_to_ear_p95_ms"
    relay_ms = asyncio.run(_p95_ms(Relay()))
    ours_ms = asyncio.run(_p95_ms(OurRoom()))
    yield Row("rooms", case, metric, ours_ms, "ms", relay_ms, ours_ms / relay_ms)
    with tempfile.TemporaryDirectory() as folder:
        # Random weights: they cost what trained ones do.
        model = str(write_deepfilternet2(Path(folder)))
        for name, workers in (
            ("RNNoise", denoise_workers("rnnoise", {})),
            ("DeepFilterNet2", denoise_workers("deepfilternet2", {"model": model})),
        ):
            delay_ms, rooms = asyncio.run(_denoised(workers))
            yield Row("rooms", f"one voice, {name}", metric, delay_ms, "ms", relay_ms, delay_ms / relay_ms)
            yield Row("rooms", name, "rooms_per_core", rooms, "")
    theirs = asyncio.run(_listeners_per_core(Relay(), _RELAY_LISTENERS))
    ours = asyncio.run(_listeners_per_core(OurRoom(), _OUR_LISTENERS))
    yield Row("rooms", case, "listeners_per_core", ours, "", theirs, ours / theirs)


def denoise_workers(engine: str, options: dict[str, str]) -> DenoiseWorkers:
    """Workers that leave chirps to be found."""
    # Engines take chirps for noise; 6 dB of it leaves half of each.
    return DenoiseWorkers(
        engine, options, Path("nowhere"), options=DenoiseOptions(attenuation_limit_db=6.0)
    )


async def _denoised(workers: DenoiseWorkers) -> tuple[float, float]:
    """(mouth to ear, p95, ms; rooms per core)."""
    async with workers:
        return await _p95_ms(OurRoom(workers)), await _denoised_rooms_per_core(workers)


async def _p95_ms(hall: Hall) -> float:
    mouth, ear, listener = Mouth(chirps(1.0)), Ear(), Guest()
    async with AsyncExitStack() as ending:
        ending.push_async_callback(hall.close)
        await _speak(hall, mouth, ending)
        listener.outside.addTransceiver("audio", direction="recvonly")
        listener.listen(ear.push)
        hall.listen_over(listener.inside)
        ending.push_async_callback(listener.close)
        await listener.negotiate()
        await asyncio.sleep(_SPOKEN_S)
    return float(np.percentile(delays_ms(mouth.chirp_times_s(), ear.chirp_times_s()), 95))


async def _speak(hall: Hall, mouth: Mouth, ending: AsyncExitStack) -> None:
    speaker = Guest()
    speaker.outside.addTrack(mouth)
    hall.speak_over(speaker.inside)
    ending.push_async_callback(speaker.close)
    await speaker.negotiate()


async def _denoised_rooms_per_core(denoising: Denoising) -> float:
    """From packets to the packets of one encode, the worker's time included; connections are counted with
    the listeners. A frame goes in when the one before has come out of every room, so that nothing is
    dropped and other work on the machine does not count."""
    mouth = Mouth(chirps(1.0))
    mouth.started_s = -1e9  # as fast as it can
    payloads = [bytes(await mouth.recv()) for _ in range(50)]
    rooms = [Room(denoising=denoising) for _ in range(_ROOMS)]
    voices = [room.add_broadcaster("speaker", new_peer()) for room in rooms]
    made, came = [0] * _ROOMS, asyncio.Event()

    def count(at: int, _: EncodedFrame) -> None:
        made[at] += 1
        came.set()

    for at, room in enumerate(rooms):
        room.programme.add_tap(functools.partial(count, at))
        room.switch_denoise("speaker", True)
    frames, late = round(_COUNTED_S * 50), -(-denoising.delay_samples // 960)
    used_s, before = time.process_time(), cpu_seconds()
    for number in range(frames):
        for voice in voices:
            arrived_s = number * 0.02
            voice.push(AudioPacket(number, 960 * number, payloads[number % 50], 0, number == 0, arrived_s))
        while min(made) < number + 1 - late:
            came.clear()
            await came.wait()
    used_s = time.process_time() - used_s + cpu_between(before, cpu_seconds())
    if any(voice.stage is None or not voice.stage.heard for voice in voices):
        print("not every voice was denoised all the time")
    for room in rooms:
        await room.close()
    return _ROOMS * frames * 0.02 / used_s


async def _listeners_per_core(hall: Hall, count: int) -> float:
    async with AsyncExitStack() as ending:
        ending.push_async_callback(hall.close)
        await _speak(hall, Mouth(chirps(1.0)), ending)
        listeners = await ending.enter_async_context(crowd(count))
        answers = []
        for offer in listeners.offers:
            peer = new_peer()
            hall.listen_over(peer)
            ending.push_async_callback(peer.close)
            answers.append(await answer(peer, offer))
        await listeners.take(answers)
        await asyncio.sleep(1.0)
        before, used_s, started_s = await listeners.counts(), time.process_time(), time.monotonic()
        await asyncio.sleep(_COUNTED_S)
        used_s, wall_s = time.process_time() - used_s, time.monotonic() - started_s
        got = np.subtract(await listeners.counts(), before)
    if got.min() < 0.9 * 50 * _COUNTED_S:
        print(f"of {count} listeners, one got only {got.min()} packets in {wall_s:.1f} s")
    return float(got.sum()) / 50 / used_s  # what did not come did not cost
