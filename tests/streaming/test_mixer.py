from __future__ import annotations

import asyncio
import itertools

import numpy as np

from streaming.desk import Desk
from streaming.frames import Frame
from streaming.listeners import EncodedFrame
from streaming.mixer import Mixer, limited
from streaming.opus import Decoder, EncoderOptions, Sound


def tone(hertz: float, number: int, amplitude: float = 0.3) -> Sound:
    at = np.arange(960 * number, 960 * (number + 1)) / 48_000
    return (amplitude * np.sin(2 * np.pi * hertz * at)).astype(np.float32)[:, np.newaxis]


def strength(sound: Sound, hertz: float) -> float:
    at = np.arange(len(sound)) / 48_000
    return 2 * abs(np.mean(sound[:, 0] * np.exp(-2j * np.pi * hertz * at)))


def test_everybody_hears_the_sum_and_nobody_himself() -> None:
    mixer = Mixer(960, 1)
    mixer.add("anna")
    mixer.add("ben")
    for number in range(3):
        mixer.put("anna", Frame(960 * number, tone(500, number)))
        mixer.put("ben", Frame(960 * number, tone(1500, number)))
        mix = mixer.mix()
    np.testing.assert_allclose(mix.everybody(), tone(500, 2) + tone(1500, 2), atol=1e-6)
    np.testing.assert_allclose(mix.without("anna"), tone(1500, 2), atol=1e-6)


def test_a_voice_that_is_late_fades_out_and_in_without_a_click() -> None:
    mixer = Mixer(960, 1)
    mixer.add("anna")
    parts = []
    for number in range(20):
        if number not in {8, 9, 10}:
            mixer.put("anna", Frame(960 * number, tone(300, number)))
        parts.append(mixer.mix().everybody())
    steps = np.abs(np.diff(np.concatenate(parts)[:, 0]))
    assert steps.max() <= np.abs(np.diff(tone(300, 0)[:, 0])).max() * 1.1


def test_a_voice_that_was_held_up_is_not_late_for_ever() -> None:
    mixer = Mixer(960, 1)
    mixer.add("anna")
    for number in range(6):
        mixer.put("anna", Frame(960 * number, tone(300, number)))
    for number in range(6, 700):
        mixer.put("anna", Frame(960 * number, np.full((960, 1), number / 1000, np.float32)))
        mix = mixer.mix()
    np.testing.assert_allclose(mix.everybody(), 0.699, atol=1e-6)


def test_many_loud_voices_stay_below_full_scale() -> None:
    rng = np.random.default_rng(0)
    loud = sum(rng.uniform(-1, 1, (960, 1)).astype(np.float32) for _ in range(10))
    assert np.abs(limited(loud)).max() < 1.0
    quiet = tone(300, 0)
    assert limited(quiet) is quiet


async def test_one_voice_two_voices_one_voice_on_one_timeline() -> None:
    desk = Desk(EncoderOptions())
    taken: list[EncodedFrame] = []
    desk.programme.add_tap(taken.append)
    others: list[EncodedFrame] = []
    desk.without("a").add_tap(others.append)

    async def talk(names: str, start: int, count: int) -> None:
        for number in range(start, start + count):
            for name in names:
                desk.put(name, Frame(960 * number, tone(500 if name == "a" else 1500, number)))
            await asyncio.sleep(0.02)

    desk.join("a")
    await talk("a", 0, 10)
    desk.join("b")
    await talk("ab", 10, 40)
    desk.leave("a")
    await talk("b", 50, 10)
    await desk.close()
    positions = [frame.position for frame in taken]
    assert all(later - earlier >= 960 for earlier, later in itertools.pairwise(positions))
    # Time went on as on the wall, whatever the way: 60 frames were spoken, a little more time passed.
    assert 55 * 960 <= positions[-1] + 960 - positions[0] <= 90 * 960
    decoder = Decoder()
    sound = np.concatenate([decoder.decode(frame.payload) for frame in taken])
    middle = sound[20 * 960 : 40 * 960]
    assert strength(middle, 500) > 0.15
    assert strength(middle, 1500) > 0.15
    assert strength(sound[:9600], 1500) < 0.02
    decoder = Decoder()
    heard_by_a = np.concatenate([decoder.decode(frame.payload) for frame in others])
    assert strength(heard_by_a[4800:24_000], 1500) > 0.15
    assert strength(heard_by_a, 500) < 0.02
