"""Decoding processes forked from a Python that is ready: the same answers and limits, at once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from clearcast.audio import limited
from clearcast.audio.nursery import Nursery
from clearcast.audio.sandbox import prepare_sync
from clearcast.errors import AudioTooLong, AudioUnrecognised, Cancelled, DecodeLimitExceeded
from clearcast.origin import ROOT
from clearcast.settings import AudioSettings
from clearcast.testing.media import write_silence_bomb, write_text, write_tone_wav

LIMITS = AudioSettings()


@pytest.fixture
def nursery(monkeypatch: pytest.MonkeyPatch) -> Iterator[Nursery]:
    nursery = Nursery(limited.ENVIRONMENT, ROOT)
    monkeypatch.setattr(limited, "_nursery", nursery)
    yield nursery
    nursery.close()


def children_of(nursery: Nursery) -> list[psutil.Process]:
    assert nursery._python is not None
    return psutil.Process(nursery._python.pid).children()


def test_the_working_copy_is_that_of_a_fresh_process(
    nursery: Nursery, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = write_tone_wav(tmp_path / "tone.wav", 2.0, 48_000, 2)
    ready = [prepare_sync(source, tmp_path / f"{number}.wav", LIMITS) for number in range(3)]
    assert nursery._python is not None
    monkeypatch.setattr(limited, "_nursery", None)
    fresh = prepare_sync(source, tmp_path / "fresh.wav", LIMITS)
    for one in ready:
        assert replace(one, path=fresh.path) == fresh
        assert one.path.read_bytes() == fresh.path.read_bytes()


def test_errors_are_those_of_a_fresh_process(nursery: Nursery, tmp_path: Path) -> None:
    with pytest.raises(AudioUnrecognised):
        prepare_sync(write_text(tmp_path / "text.wav"), tmp_path / "out.wav", LIMITS)
    short = LIMITS.model_copy(update={"max_duration_s": 1.0})
    with pytest.raises(AudioTooLong):
        prepare_sync(write_tone_wav(tmp_path / "tone.wav"), tmp_path / "out.wav", short)
    assert not (tmp_path / "out.wav").exists()
    assert prepare_sync(tmp_path / "tone.wav", tmp_path / "out.wav", LIMITS).duration_s == 2.0


def test_every_process_has_limits_of_its_own(nursery: Nursery, tmp_path: Path) -> None:
    tone = write_tone_wav(tmp_path / "tone.wav")
    tight = LIMITS.model_copy(update={"decode_memory_bytes": 1 << 26})
    with pytest.raises(DecodeLimitExceeded):
        prepare_sync(tone, tmp_path / "out.wav", tight)
    assert prepare_sync(tone, tmp_path / "out.wav", LIMITS).duration_s == 2.0


def test_one_that_takes_too_long_is_ended(nursery: Nursery, tmp_path: Path) -> None:
    bomb = write_silence_bomb(tmp_path / "bomb.flac", 4 * 3600.0)
    hasty = LIMITS.model_copy(update={"decode_timeout_s": 0.2})
    with pytest.raises(DecodeLimitExceeded):
        prepare_sync(bomb, tmp_path / "out.wav", hasty)
    assert children_of(nursery) == []


def test_stopping_ends_it(nursery: Nursery, tmp_path: Path) -> None:
    def stop(_fraction: float) -> None:
        raise Cancelled("enough")

    bomb = write_silence_bomb(tmp_path / "bomb.flac", 4 * 3600.0)
    with pytest.raises(Cancelled):
        prepare_sync(bomb, tmp_path / "out.wav", LIMITS, stop)
    assert children_of(nursery) == []


def test_several_at_once_all_get_their_answers(nursery: Nursery, tmp_path: Path) -> None:
    tone = write_tone_wav(tmp_path / "tone.wav", 20.0)
    found: list[float] = []

    def decode(number: int) -> None:
        found.append(prepare_sync(tone, tmp_path / f"{number}.wav", LIMITS).duration_s)

    threads = [threading.Thread(target=decode, args=[number]) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [20.0] * 4


def test_when_it_dies_another_is_made(nursery: Nursery, tmp_path: Path) -> None:
    tone = write_tone_wav(tmp_path / "tone.wav")
    prepare_sync(tone, tmp_path / "out.wav", LIMITS)
    assert nursery._python is not None
    first = nursery._python.pid
    os.kill(first, signal.SIGKILL)
    for _ in range(2):
        assert prepare_sync(tone, tmp_path / "out.wav", LIMITS).duration_s == 2.0
    assert nursery._python is not None
    assert nursery._python.pid != first


def test_it_ends_with_its_owner(tmp_path: Path) -> None:
    write_tone_wav(tmp_path / "tone.wav")
    owner = """
        import sys, time
        from pathlib import Path
        from clearcast.audio import limited
        from clearcast.audio.sandbox import prepare_sync
        from clearcast.settings import AudioSettings

        limited.start_at_once()
        folder = Path(sys.argv[1])
        prepare_sync(folder / "tone.wav", folder / "out.wav", AudioSettings())
        print("ready", flush=True)
        time.sleep(600)
    """
    command = [sys.executable, "-c", textwrap.dedent(owner), str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        family = psutil.Process(process.pid).children(recursive=True)
        assert len(family) == 1
        process.kill()
    _, alive = psutil.wait_procs(family, timeout=30)
    assert alive == []
