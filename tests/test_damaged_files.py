"""Damaged files through the services that make sound: a coded error or a valid file each time, soon.

Decoding has a limit of its own, set to the ten seconds that every service may take.
A run of `make test` takes `DEFAULT_FILES` of them; CLEARCAST_DAMAGED_FILES=200 takes more.
"""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from clearcast.audio.sandbox import prepare_sync
from clearcast.audio.sound import SoundReader, SoundWriter, encode_sound, prepare_sound_sync
from clearcast.errors import ClearCastError
from clearcast.local import local_services
from clearcast.sample import sample_conversation
from clearcast.settings import Settings, load_settings
from pipelines.alone import Bench
from pipelines.recipe import KeptSound
from pipelines.recipes import all_recipes
from pipelines.scored import run_scored
from pipelines.stages import ignore_stages, run_stage

DEFAULT_FILES = 40
LONGEST_S = 10.0  # of computing, for each service; other work on the machine does not count
FORMATS = ("wav", "flac", "mp3", "ogg", "opus", "m4a")
JOBS = {"enhance": {}, "boost": {}, "separate": {}, "extract": {"everyone": True}}

Damage = Callable[[random.Random, bytearray], bytearray]


def _cut(rng: random.Random, data: bytearray) -> bytearray:
    return data[: rng.randrange(len(data))]


def _flip_bits(rng: random.Random, data: bytearray) -> bytearray:
    for _ in range(rng.choice((1, 8, 200))):
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    return data


def _break_head(rng: random.Random, data: bytearray) -> bytearray:
    for _ in range(rng.randint(1, 8)):
        data[rng.randrange(min(64, len(data)))] = rng.randrange(256)
    return data


def _lie_about_sizes(rng: random.Random, data: bytearray) -> bytearray:
    place = rng.choice((4, 16, 22, 24, 28, 40))
    data[place : place + 4] = rng.choice(
        (b"\xff\xff\xff\xff", b"\0\0\0\0", b"\xff\xff\xff\x7f", b"\1\0\0\0")
    )
    return data


def _lose_a_part(rng: random.Random, data: bytearray) -> bytearray:
    start = rng.randrange(len(data))
    del data[start : start + rng.randint(1, len(data) // 2)]
    return data


def _fill_a_part(rng: random.Random, data: bytearray) -> bytearray:
    start = rng.randrange(len(data))
    size = min(len(data) - start, rng.randint(1, 4000))
    data[start : start + size] = rng.randbytes(size)
    return data


DAMAGES: tuple[Damage, ...] = (
    _cut,
    _flip_bits,
    _break_head,
    _lie_about_sizes,
    _lose_a_part,
    _fill_a_part,
)


@pytest.fixture(scope="module")
def whole_files(tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    """Three seconds of two people in stereo, in every format."""
    folder = tmp_path_factory.mktemp("whole")
    prepare_sound_sync(sample_conversation().audio, folder / "all.rf64", load_settings("local").audio)
    with SoundReader.open(folder / "all.rf64") as reader:
        rate_hz = reader.sample_rate_hz
        voice = reader.read(7 * rate_hz, 10 * rate_hz)[:, 0]
    stereo = np.stack([voice, np.roll(voice, 40) * 0.5], axis=1).astype(np.float32)
    with SoundWriter(folder / "part.rf64", rate_hz, 2) as writer:
        writer.write(stereo)
    for name in FORMATS:
        encode_sound(folder / "part.rf64", folder / f"part.{name}", name)
    return [(folder / f"part.{name}").read_bytes() for name in FORMATS]


@pytest.mark.timeout(1800)
def test_damaged_files_end_in_a_sound_or_a_coded_error(whole_files: list[bytes], tmp_path: Path) -> None:
    settings = load_settings("local")
    limits = settings.audio.model_copy(update={"decode_timeout_s": LONGEST_S})
    settings = settings.model_copy(update={"audio": limits})
    house = Bench(local_services(settings), settings.audio, tmp_path)
    ends: Counter[str] = Counter()
    for number in range(int(os.environ.get("CLEARCAST_DAMAGED_FILES", DEFAULT_FILES))):
        rng = random.Random(number)
        data = bytearray(whole_files[number % len(whole_files)])
        damaged = tmp_path / "damaged.bin"
        damaged.write_bytes(rng.choice(DAMAGES)(rng, data))
        duration_s = _decoded(settings, house, damaged, ends)
        if duration_s is None:
            continue
        for pipeline, options in JOBS.items():
            started_s = time.process_time()
            ends[f"{pipeline}: {_made(house, pipeline, options, duration_s)}"] += 1
            assert time.process_time() - started_s < LONGEST_S, (number, pipeline)
    print(dict(ends))
    assert ends["decoded"] > 0
    assert ends["boost: a sound"] == ends["decoded"], "boost takes whatever can be decoded"


def _decoded(settings: Settings, house: Bench, damaged: Path, ends: Counter[str]) -> float | None:
    """The length of both working copies; None when there is none, for a reason with a code."""
    try:
        prepare_sync(damaged, house.folder / "audio.wav", settings.audio)
        sound = prepare_sound_sync(damaged, house.folder / "sound.rf64", settings.audio)
    except ClearCastError as error:
        assert error.http_status < 500, error  # a time-out is 504
        ends[f"decode: {error.code}"] += 1
        return None
    ends["decoded"] += 1
    return sound.duration_s


def _made(house: Bench, pipeline: str, options: dict[str, object], duration_s: float) -> str:
    recipe = all_recipes()[pipeline]
    wanted, source = recipe.Options.model_validate(options), house.source(duration_s)
    try:
        results = asyncio.run(run_scored(recipe, house.services, source, wanted, ignore_stages, run_stage))
    except ClearCastError as error:
        assert error.http_status < 500, error
        return error.code
    for name, result in results.items():
        if isinstance(result, KeptSound):
            target = house.folder / "made.flac"
            encode_sound(house.sound_path(name), target)
            assert soundfile.info(target).frames == round(duration_s * soundfile.info(target).samplerate)
    return "a sound"
