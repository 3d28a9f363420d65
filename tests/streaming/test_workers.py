"""Denoising in processes of their own: the same sound as in this one, and no fault that lasts."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import psutil
import pytest

from clearcast.engines.denoise.contract import DenoiseEngine, DenoiseOptions
from clearcast.engines.engine import EngineContext, make_engine
from clearcast.errors import ModelMissing, OptionInvalid, Overloaded, ServiceUnavailable, SettingsInvalid
from clearcast.testing.media import speech_like
from streaming.opus import Sound
from streaming.workers import DenoiseWorkers, WorkerProcessor

pytestmark = pytest.mark.alone

NOWHERE = Path("nowhere")
LIGHT = DenoiseOptions(attenuation_limit_db=12.0)


def noisy(seconds: float, channels: int = 1) -> Sound:
    speech = np.repeat(speech_like(seconds, 48_000)[:, :1], channels, axis=1)
    return (speech + np.random.default_rng(1).normal(0, 0.02, speech.shape)).astype(np.float32)


async def through(processor: WorkerProcessor, sound: Sound, frame_samples: int = 960) -> Sound:
    frames = range(0, len(sound), frame_samples)
    return np.concatenate([await processor.process(sound[at : at + frame_samples]) for at in frames])


async def until(true: Callable[[], object], seconds: float = 60.0) -> None:
    async with asyncio.timeout(seconds):
        while not true():
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("frame_samples", [960, 480])
@pytest.mark.parametrize("engine", ["rnnoise", "deepfilternet2"])
async def test_a_worker_gives_what_the_engine_gives_itself(
    engine: str, frame_samples: int, engine_options: dict[str, dict[str, str]]
) -> None:
    options = engine_options[engine]
    here = make_engine(DenoiseEngine, engine, options, EngineContext(NOWHERE))
    async with DenoiseWorkers(engine, options, NOWHERE, options=LIGHT) as workers:
        for channels in (1, 2):
            sound = noisy(1.5, channels)
            voices = [workers.open(channels), workers.open(channels)]
            shifted = np.roll(sound, 5000, axis=0)
            got = await asyncio.gather(
                through(voices[0], sound, frame_samples), through(voices[1], shifted, frame_samples)
            )
            for heard, said in zip(got, (sound, shifted), strict=True):
                with here.open_stream(48_000, channels, LIGHT) as stream:
                    assert workers.delay_samples == stream.delay_samples
                    expected = stream.push(said)
                np.testing.assert_allclose(heard, expected, atol=1e-6)
                assert np.abs(heard - said[: len(heard)]).max() > 0.01  # something was done to it


async def test_voices_are_shared_out_among_workers_until_all_are_full() -> None:
    async with DenoiseWorkers("rnnoise", {}, NOWHERE, workers=2, voices_per_worker=2) as workers:
        voices = [workers.open(1) for _ in range(4)]
        assert workers.voices == 4
        assert len(set(workers.pids)) == 2
        with pytest.raises(Overloaded):
            workers.open(1)
        await voices[0].close()
        again = workers.open(1)
        assert len(await through(again, noisy(0.5))) == 24_000 - workers.delay_samples


async def test_a_killed_worker_fails_its_voices_at_once_and_comes_back(rnnoise: DenoiseWorkers) -> None:
    voice, (pid,) = rnnoise.open(1), rnnoise.pids
    await through(voice, noisy(0.2))
    os.kill(pid, signal.SIGKILL)
    with pytest.raises(ServiceUnavailable):
        async with asyncio.timeout(1.0):
            await through(voice, noisy(5.0))
    await voice.close()
    await until(lambda: rnnoise.pids)
    assert rnnoise.pids != [pid]
    assert len(await through(rnnoise.open(1), noisy(0.2))) == 9600 - rnnoise.delay_samples


async def test_a_worker_that_stands_still_is_replaced_and_takes_nobody_meanwhile() -> None:
    async with DenoiseWorkers("rnnoise", {}, NOWHERE, workers=2) as workers:
        pids, voice = workers.pids, workers.open(1)
        os.kill(pids[0], signal.SIGSTOP)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await voice.process(noisy(0.02))
        with pytest.raises(ServiceUnavailable):  # one frame under way is all there may be
            await voice.process(noisy(0.02))
        other = workers.open(1)
        assert len(await through(other, noisy(0.2))) == 9600 - workers.delay_samples
        await until(lambda: not psutil.pid_exists(pids[0]) and len(workers.pids) == 2)
        assert workers.pids[1] == pids[1]
        assert len(await through(other, noisy(0.2))) == 9600


async def test_an_engines_fault_fails_one_voice_only(rnnoise: DenoiseWorkers) -> None:
    bad, good = rnnoise.open(65), rnnoise.open(1)
    with pytest.raises(ServiceUnavailable):
        await bad.process(np.zeros((960, 65), np.float32))
    assert len(await through(good, noisy(0.2))) == 9600 - rnnoise.delay_samples


async def test_an_interrupt_at_the_terminal_is_not_for_the_workers(rnnoise: DenoiseWorkers) -> None:
    pids, voice = rnnoise.pids, rnnoise.open(1)
    os.kill(pids[0], signal.SIGINT)
    await through(voice, noisy(0.5))
    assert rnnoise.pids == pids


@pytest.mark.parametrize(
    ("engine", "options", "denoise", "error"),
    [
        ("deepfilternet2", {}, DenoiseOptions(), ModelMissing),
        ("rnnoise", {}, DenoiseOptions(post_filter=True), OptionInvalid),
        ("rnnoise", {"strength": "much"}, DenoiseOptions(), SettingsInvalid),
    ],
)
async def test_what_cannot_be_loaded_is_said_at_the_start(
    engine: str,
    options: dict[str, str],
    denoise: DenoiseOptions,
    error: type[Exception],
    tmp_path: Path,
) -> None:
    before = psutil.Process().children()
    with pytest.raises(error):
        await DenoiseWorkers(engine, options, tmp_path, workers=2, options=denoise).start()
    assert psutil.Process().children() == before


def test_a_killed_parent_leaves_no_worker_behind() -> None:
    script = (
        "import asyncio, time\n"
        "from pathlib import Path\n"
        "from streaming.workers import DenoiseWorkers\n"
        "async def main():\n"
        "    workers = DenoiseWorkers('rnnoise', {}, Path('nowhere'), workers=2)\n"
        "    await workers.start()\n"
        "    print(*workers.pids, flush=True)\n"
        "    time.sleep(60)\n"
        "asyncio.run(main())\n"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        workers = [psutil.Process(int(pid)) for pid in parent.stdout.readline().split()]
        parent.kill()
        left = _alive_after(workers, 10.0)
    assert len(workers) == 2
    assert not left


def _alive_after(processes: Sequence[psutil.Process], seconds: float) -> list[psutil.Process]:
    return psutil.wait_procs(processes, timeout=seconds)[1]
