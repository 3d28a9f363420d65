"""Switching moves nothing in time, clicks nowhere, and a processor's faults are not heard."""

from __future__ import annotations

import asyncio
import functools
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from clearcast.testing.media import speech_like
from streaming.frames import Frame
from streaming.opus import Sound
from streaming.processing import ProcessingStage
from streaming.workers import DenoiseWorkers


class Negating:
    """A processor of known result: the sound upside down, late by two and a half frames."""

    delay_samples = 2400

    def __init__(self, fails_after: int = 10**9) -> None:
        self._late: Sound = np.zeros((0, 1), np.float32)
        self._taken = self._given = 0
        self._fails_after = fails_after
        self.closed = False

    async def process(self, samples: Sound) -> Sound:
        self._taken += len(samples)
        if self._taken > self._fails_after:
            raise RuntimeError("the model broke")
        self._late = np.concatenate([self._late, -samples])
        ready = max(0, self._taken - self.delay_samples - self._given)
        out, self._late = self._late[:ready], self._late[ready:]
        self._given += ready
        return out

    async def close(self) -> None:
        self.closed = True


class Late(Negating):
    """Later than it says."""

    async def process(self, samples: Sound) -> Sound:
        return (await super().process(samples))[:0]


class Stuck(Negating):
    async def process(self, samples: Sound) -> Sound:
        await asyncio.Event().wait()
        return samples


class Answering(Negating):
    """When it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.may = asyncio.Event()

    async def process(self, samples: Sound) -> Sound:
        await self.may.wait()
        return await super().process(samples)


def frames_of(sound: Sound, start: int = 0) -> list[Frame]:
    return [Frame(start + at, sound[at : at + 960]) for at in range(0, len(sound) - 959, 960)]


async def through(stage: ProcessingStage, frames: list[Frame], switches: dict[int, bool]) -> list[Frame]:
    out: list[Frame] = []
    for index, frame in enumerate(frames):
        if index in switches:
            stage.switch(switches[index])
        out += await stage.push(frame)
    out += await stage.flush()
    await stage.close()
    return out


def tone(seconds: float) -> Sound:
    at = np.arange(round(48_000 * seconds)) / 48_000
    return (0.5 * np.sin(2 * np.pi * 300 * at)).astype(np.float32)[:, np.newaxis]


async def test_switching_keeps_every_sample_at_its_time() -> None:
    sound = tone(3.0)
    stage = ProcessingStage(Negating, Negating.delay_samples, 960)
    assert stage.delay_samples == 2880
    out = await through(stage, frames_of(sound), {30: True, 90: False, 91: True, 110: False})
    assert [frame.position for frame in out] == list(range(0, len(sound), 960))
    signs = set()
    for frame in out:
        original = sound[frame.position : frame.position + 960]
        share = float(np.sum(frame.samples * original) / np.sum(original**2))
        assert np.abs(frame.samples).max() <= np.abs(original).max() + 1e-6
        signs.add(round(share))
    assert signs == {1, 0, -1}  # untouched, fading, processed


async def test_every_frame_leaves_late_by_the_same_time_on_or_off() -> None:
    stage = ProcessingStage(Negating, Negating.delay_samples, 960)
    given = []
    for index, frame in enumerate(frames_of(tone(2.0))):
        stage.switch(20 <= index < 60)
        given.append(len(await stage.push(frame)))
    assert given == [0, 0, 0] + [1] * (len(given) - 3)
    await stage.close()


async def test_who_fell_behind_catches_up_in_one_go() -> None:
    """Frames that waited go through together, over a jump in time too, and come out as one by one."""
    frames = [*frames_of(tone(0.5)), *frames_of(tone(0.5), start=240_000)]
    one_by_one, together = [ProcessingStage(Negating, Negating.delay_samples, 960) for _ in range(2)]
    one_by_one.switch(True)
    together.switch(True)
    expected = [out for frame in frames for out in await one_by_one.push(frame)]
    got = [out for at in range(0, len(frames), 10) for out in await together.push(*frames[at : at + 10])]
    assert [frame.position for frame in got] == [frame.position for frame in expected]
    for mine, theirs in zip(got, expected, strict=True):
        np.testing.assert_array_equal(mine.samples, theirs.samples)
    await one_by_one.close()
    await together.close()


async def test_a_jump_in_time_pushes_out_what_was_before_it() -> None:
    stage = ProcessingStage(Negating, Negating.delay_samples, 960)
    stage.switch(True)
    before, after = frames_of(tone(0.5)), frames_of(tone(0.5), start=240_000)
    out = [frame for one in before + after for frame in await stage.push(one)]
    assert [frame.position for frame in out[: len(before)]] == [frame.position for frame in before]
    assert out[len(before)].position == 240_000
    np.testing.assert_allclose(out[len(before) - 1].samples, -before[-1].samples, atol=1e-6)
    np.testing.assert_allclose(out[len(before)].samples, -after[0].samples, atol=1e-6)
    await stage.close()


@pytest.mark.parametrize("broken", [functools.partial(Negating, 30 * 960), Stuck, Late])
async def test_when_the_model_breaks_the_sound_goes_on_untouched(
    broken: type[Negating], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streaming.processing._PATIENCE_S", 0.05)
    sound = tone(1.0)
    stage = ProcessingStage(broken, Negating.delay_samples, 960)
    out = await through(stage, frames_of(sound), {0: True})
    assert stage.failed
    assert [frame.position for frame in out] == list(range(0, len(sound), 960))
    np.testing.assert_array_equal(out[-1].samples, sound[-960:])


async def test_a_broken_model_is_replaced_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streaming.processing._RETRY_S", 0.2)
    made: list[Negating] = []

    def open_processor() -> Negating:
        made.append(Negating(fails_after=10**9 if made else 20 * 960))
        return made[-1]

    sound = tone(2.0)
    stage = ProcessingStage(open_processor, Negating.delay_samples, 960)
    out = await through(stage, frames_of(sound), {0: True})
    assert [frame.position for frame in out] == list(range(0, len(sound), 960))
    assert [one.closed for one in made] == [True, True]
    assert not stage.failed
    np.testing.assert_allclose(out[-1].samples, -sound[-960:], atol=1e-6)


@pytest.mark.parametrize("engine", ["rnnoise", "deepfilternet2"])
async def test_an_engine_switched_in_mid_word_neither_clicks_nor_pauses(
    engine: str, engine_options: dict[str, dict[str, str]]
) -> None:
    """The steepest step around the switch stays within those of the untouched and the cleaned sound."""
    speech = speech_like(4.0, 48_000)
    sound = speech + np.random.default_rng(1).normal(0, 0.02, speech.shape).astype(np.float32)
    frames = frames_of(sound.astype(np.float32))
    async with DenoiseWorkers(engine, engine_options[engine], Path("nowhere")) as workers:
        open_processor = functools.partial(workers.open, 1)
        plain, cleaned, switched = [
            await through(ProcessingStage(open_processor, workers.delay_samples, 960), frames, switches)
            for switches in ({}, {0: True}, {50: True, 100: False, 140: True})
        ]
    assert all(later.position - earlier.position == 960 for earlier, later in pairwise(switched))
    joined = [np.concatenate([frame.samples[:, 0] for frame in one]) for one in (plain, cleaned, switched)]
    step = [float(np.abs(np.diff(one)).max()) for one in joined]
    assert step[2] <= max(step[0], step[1]) * 1.02
    # Untouched before and between, another sound while it is on.
    on, off = slice(80 * 960, 95 * 960), slice(110 * 960, 135 * 960)
    np.testing.assert_array_equal(joined[2][off], joined[0][off])
    assert np.abs(joined[2] - joined[0])[on].max() > 0.01
    assert np.abs(joined[2] - joined[1])[on].max() < 0.2


async def test_who_is_cancelled_just_when_the_processor_answers_ends() -> None:
    """Or a room would wait for ever for a voice that leaves."""
    for loops in range(4):
        processor = Answering()
        stage = ProcessingStage(lambda: processor, processor.delay_samples, 960)  # noqa: B023 - opened here
        stage.switch(True)
        pushing = asyncio.create_task(stage.push(*frames_of(np.zeros((960, 1), np.float32))))
        await asyncio.sleep(0.01)
        processor.may.set()
        for _ in range(loops):
            await asyncio.sleep(0)
        is_over = pushing.done()
        pushing.cancel()
        await asyncio.wait([pushing], timeout=5)
        assert is_over or pushing.cancelled()
        await stage.close()
