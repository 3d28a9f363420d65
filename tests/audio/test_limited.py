from __future__ import annotations

import asyncio
import json
import logging
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil
import pytest

from clearcast.audio.child import Order
from clearcast.audio.limited import ENVIRONMENT, command
from clearcast.audio.sandbox import (
    prepare,
    prepare_sync,
)
from clearcast.errors import (
    AudioTooLong,
    AudioUnrecognised,
    Cancelled,
    ClearCastError,
    DecodeLimitExceeded,
)
from clearcast.settings import AudioSettings
from clearcast.testing.media import (
    write_tone_wav,
    write_wav,
)
from tests.processes import words_of


def files_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def decoder() -> psutil.Process:
    """The limited process that this one has running."""
    return next(
        child
        for child in psutil.Process().children()
        if "clearcast.audio.child" in " ".join(words_of(child))
    )


def wait_until(condition: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline_s
        time.sleep(0.02)


def test_running_decoder_knows_no_secrets_and_can_open_nothing(
    tmp_path: Path, limits: AudioSettings, hour_of_silence: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLEARCAST__MODELS__HUB_TOKEN", "hf_secret")
    monkeypatch.setenv("PYTHONPATH", "/nowhere")
    seen: list[tuple[dict[str, str], tuple[int, int], tuple[int, int], set[str]]] = []

    def look(_fraction: float) -> None:
        if not seen:
            child = decoder()
            files = {Path(file.path).name for file in child.open_files()}
            limits_set = (child.rlimit(psutil.RLIMIT_NOFILE), child.rlimit(psutil.RLIMIT_CORE))
            seen.append((child.environ(), *limits_set, files))

    prepare_sync(hour_of_silence, tmp_path / "copy.wav", limits, look)
    environment, most_files, core, files = seen[0]
    assert environment == ENVIRONMENT
    assert (most_files, core) == ((0, 0), (0, 0))
    assert hour_of_silence.name in files
    assert len(files) <= 3  # its input, the copy, and its error log


def test_long_silence_from_a_small_file_stops_at_the_longest_duration(
    tmp_path: Path, hour_of_silence: Path
) -> None:
    assert hour_of_silence.stat().st_size < 1_000_000
    told: list[float] = []
    with pytest.raises(AudioTooLong, match="1200 s") as refused:
        prepare_sync(
            hour_of_silence, tmp_path / "copy.wav", AudioSettings(max_duration_s=1200), told.append
        )
    assert refused.value.fields == {"max_duration_s": 1200.0}
    assert max(told, default=0.0) <= 1 / 3  # it did not decode on
    assert files_in(tmp_path) == set()


def test_recording_of_just_the_longest_duration_is_fine(tmp_path: Path) -> None:
    source = write_tone_wav(tmp_path / "a.wav", 2.0)
    assert prepare_sync(source, tmp_path / "copy.wav", AudioSettings(max_duration_s=2)).duration_s == 2.0
    with pytest.raises(AudioTooLong):
        prepare_sync(source, tmp_path / "copy.wav", AudioSettings(max_duration_s=1.999))


def test_decoding_that_takes_too_long_is_ended(tmp_path: Path, hour_of_silence: Path) -> None:
    with pytest.raises(DecodeLimitExceeded, match=r"0\.3 s"):
        prepare_sync(hour_of_silence, tmp_path / "copy.wav", AudioSettings(decode_timeout_s=0.3))
    assert files_in(tmp_path) == set()


def test_decoding_that_takes_too_much_memory_is_ended(tmp_path: Path, limits: AudioSettings) -> None:
    # A resampling filter from two thousand million samples a second has gigabytes of coefficients.
    source = write_wav(tmp_path / "a.wav", np.ones(60_000, np.int16), 2**31 - 1)
    with pytest.raises(DecodeLimitExceeded, match="1024 MiB"):
        prepare_sync(source, tmp_path / "copy.wav", limits)
    assert files_in(tmp_path) == {"a.wav"}


@pytest.mark.parametrize(
    ("number", "error", "says"),
    [
        (signal.SIGSEGV, AudioUnrecognised, "SIGSEGV"),
        (signal.SIGKILL, DecodeLimitExceeded, "memory"),
        (signal.SIGXCPU, DecodeLimitExceeded, "longer"),
    ],
)
def test_crash_of_the_decoder_is_told_and_leaves_nothing(
    tmp_path: Path,
    limits: AudioSettings,
    hour_of_silence: Path,
    caplog: pytest.LogCaptureFixture,
    number: signal.Signals,
    error: type[ClearCastError],
    says: str,
) -> None:
    def crash(_fraction: float) -> None:
        decoder().send_signal(number)

    with caplog.at_level(logging.WARNING), pytest.raises(error, match=says):
        prepare_sync(hour_of_silence, tmp_path / "copy.wav", limits, crash)
    assert "decoding process ended without an answer" in caplog.messages
    assert files_in(tmp_path) == set()


@pytest.mark.parametrize("reason", [Cancelled("enough"), KeyboardInterrupt()])
def test_raising_from_progress_ends_the_decoder(
    tmp_path: Path, limits: AudioSettings, hour_of_silence: Path, reason: BaseException
) -> None:
    running: list[psutil.Process] = []

    def stop(_fraction: float) -> None:
        running.append(decoder())
        raise reason

    with pytest.raises(type(reason)):
        prepare_sync(hour_of_silence, tmp_path / "copy.wav", limits, stop)
    assert not running[0].is_running()
    assert files_in(tmp_path) == set()


async def test_cancelling_ends_the_decoder_at_once(
    tmp_path: Path, limits: AudioSettings, hour_of_silence: Path
) -> None:
    going = asyncio.Event()
    job = asyncio.create_task(
        prepare(hour_of_silence, tmp_path / "copy.wav", limits, lambda _fraction: going.set())
    )
    await going.wait()
    child = decoder()
    job.cancel()
    with pytest.raises(asyncio.CancelledError):
        await job
    assert not child.is_running()
    assert files_in(tmp_path) == set()


def test_decoder_clears_up_when_its_parent_is_killed(tmp_path: Path, hour_of_silence: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from clearcast.audio.sandbox import prepare_sync;"
        "from clearcast.settings import AudioSettings; source, target = map(Path, sys.argv[1:]);"
        "prepare_sync(source, target, AudioSettings(), lambda done: print(done, flush=True))"
    )
    arguments = [sys.executable, "-c", script, str(hour_of_silence), str(tmp_path / "copy.wav")]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, cwd=Path(__file__).parents[2]) as parent:
        assert parent.stdout is not None
        parent.stdout.readline()
        (child,) = psutil.Process(parent.pid).children()
        assert len(files_in(tmp_path)) == 1
        parent.kill()
    wait_until(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE)
    assert files_in(tmp_path) == set()


def test_memory_of_the_decoder_does_not_grow_with_the_recording(
    tmp_path: Path, hour_of_silence: Path
) -> None:
    short = write_tone_wav(tmp_path / "a.wav", 1.0, sample_rate_hz=8000)
    short_bytes, hour_bytes = (peak_memory_bytes(path, tmp_path) for path in (short, hour_of_silence))
    assert (tmp_path / "out.wav").stat().st_size == 44 + 3600 * 32_000
    assert hour_bytes - short_bytes < 4 << 20
    assert hour_bytes < 100 << 20


def peak_memory_bytes(source: Path, folder: Path) -> int:
    """Largest resident size of the limited process, started by a parent that is smaller than it: Linux
    counts the parent's size at the fork as the child's.
    """
    script = (
        "import json, resource, subprocess, sys;"
        "subprocess.run(json.loads(sys.argv[1]), stdin=open(sys.argv[2], 'rb'), stdout=subprocess.DEVNULL,"
        " check=True); print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
    )
    order = Order(target=str(folder / "out.wav"), max_duration_s=4000, cpu_s=60, memory_bytes=1 << 30)
    arguments = [sys.executable, "-I", "-S", "-c", script, json.dumps(command(order)), str(source)]
    run = subprocess.run(arguments, capture_output=True, check=True, env=ENVIRONMENT)
    return int(run.stdout) * 1024


def test_decoder_loads_no_model_library() -> None:
    script = "import sys, clearcast.audio.child; print(*{name.split('.')[0] for name in sys.modules})"
    run = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, check=True, cwd=Path(__file__).parents[2]
    )
    loaded = set(run.stdout.decode().split())
    assert loaded & {"av", "numpy"} == {"av", "numpy"}
    assert not loaded & {"torch", "scipy", "pydantic", "yaml", "ray", "soundfile"}
