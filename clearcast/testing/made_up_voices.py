"""Voices of espeak-ng that nobody made: its formant synthesiser with drawn pitch, formants and breath.

What lives here: drawing variants, and a data folder in which espeak-ng finds them. What does not: what they
say (`digit_voices`).

espeak-ng ships about a hundred variants. A network that learns from a few dozen of them learns them by
heart; drawn ones are as many as are wanted. Format: espeak-ng, docs/voices.md, "Variants".
"""

from __future__ import annotations

import random
import re
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from clearcast.errors import ServiceUnavailable
from clearcast.testing.digit_voices import espeak_program

_VARIANTS = "!v"  # the folder espeak-ng keeps them in


@dataclass(frozen=True, slots=True)
class MadeUpVoices:
    """Attributes:
    names: of the variants.
    path: what `espeak-ng --path` takes.
    """

    names: tuple[str, ...]
    path: Path


@contextmanager
def made_up_voices(count: int, seed: int, espeak: str = "espeak-ng") -> Iterator[MadeUpVoices]:
    """So many drawn variants, the same for the same seed. Raises ServiceUnavailable without espeak-ng."""
    rng = random.Random(seed)  # noqa: S311 - to be repeatable, not secret
    with tempfile.TemporaryDirectory(prefix="clearcast-voices-") as name:
        data = Path(name) / "espeak-ng-data"
        variants = data / "voices" / _VARIANTS
        variants.mkdir(parents=True)
        for part in _installed_data(espeak).iterdir():
            if part.name != "voices":
                (data / part.name).symlink_to(part)
        names = tuple(f"made-up-{number}" for number in range(count))
        for one in names:
            (variants / one).write_text(_variant(one, rng), encoding="ascii")
        yield MadeUpVoices(names, Path(name))


def _installed_data(espeak: str) -> Path:
    program = espeak_program(espeak)
    told = subprocess.run([program, "--version"], capture_output=True, check=True, text=True, timeout=60)
    found = re.search(r"Data at: (.+)", told.stdout)
    if found is None:
        raise ServiceUnavailable("espeak-ng does not say where its data lie.", hint="Version 1.51 does.")
    return Path(found[1].strip())


def _variant(name: str, rng: random.Random) -> str:
    """One variant file. Ranges are those of the variants that ship, without the freaks among them."""
    lowest_hz = rng.uniform(50, 240)
    tract = rng.uniform(0.82, 1.26)  # formants of a long vocal tract are low, of a short one high
    lines = [
        "language variant",
        f"name {name}",
        f"pitch {lowest_hz:.0f} {lowest_hz * rng.uniform(1.1, 1.7):.0f}",
        f"flutter {rng.randint(0, 8)}",
        f"roughness {rng.choice((0, 0, 0, 1, 2, 3))}",
        f"voicing {rng.randint(60, 130)}",
        f"consonants {rng.randint(60, 140)} {rng.randint(60, 140)}",
    ]
    for formant in range(9):
        shift = 1.0 if formant == 0 else rng.uniform(0.9, 1.1)
        height, width = rng.randint(45, 130), rng.randint(55, 160)
        lines.append(f"formant {formant} {100 * tract * shift:.0f} {height} {width}")
    if rng.random() < 0.4:
        lines.append(f"breath 0 {' '.join(str(rng.randint(0, 30)) for _ in range(5))}")
    return "\n".join(lines) + "\n"
