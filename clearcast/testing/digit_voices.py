"""Persian digits and other words, spoken by espeak-ng: for training the shipped model, its tests and its
bench.

What lives here: what trains and what is kept for measuring, how words are spoken. What does not:
the training (`tools/train_persian_digits.py`) and noise.

espeak-ng is a formant synthesiser: the voice `fa` with its variants (other pitch, formants, breath) gives
83 voices that people can follow. They are all one speaker's model, which is why a score on kept voices says
little about people.
"""

from __future__ import annotations

import random
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.signal import resample_poly

from clearcast.audio.recording import SAMPLE_RATE_HZ, FloatAudio
from clearcast.errors import ServiceUnavailable

# Never heard in training; measured on. Robots, whispers and broken variants of espeak-ng are in no list.
EVALUATION_VOICES = (
    *("grandma", "anika", "john", "m4", "klatt4", "f2", "steph", "aunty", "iven", "announcer", "pablo"),
    *("klatt2", "Gene", "Alicia", "Hugo", "RicishayMax", "Gene2", "grandpa", "edward", "m3"),
)
# Never trained on either: they decide when training stops, and the least probability.
VALIDATION_VOICES = ("Henrique", "victor", "Andrea", "Mario", "norbert", "michel", "sandro", "rob")
TRAINING_VOICES = (
    *("Diogo", "steph2", "boris", "m8", "robert", "shelby", "Michael", "m5", "croak", "zac", "antonio"),
    *("travis", "Alex", "iven4", "Andy", "Mike", "steph3", "benjamin", "m1", "linda", "Marco", "f5"),
    *("pedro", "RicishayMax2", "quincy", "adam", "Denis", "edward2", "caleb", "RicishayMax3", "gustave"),
    *("klatt6", "m2", "Annie", "iven3", "miguel", "f4", "Nguyen", "david", "Lee", "paul", "f1"),
    *("Mr serious", "marcelo", "belinda", "iven2", "m6", "f3", "klatt3", "m7", "max", "ed"),
    *("AnxiousAndy", "klatt5", "klatt"),
)
# Of the shared evaluation audio: LibriSpeech speakers by number, and noises by the names of their files.
VALIDATION_SPEAKERS = frozenset({"8312", "911", "8465", "1992", "5678", "2416"})
# The speakers of the task "transcription", whose clips measure the end; they are in no other part.
EVALUATION_SPEAKERS = frozenset({"1688", "2033", "2414", "3005", "3080", "6930"})
TRAINING_NOISES = frozenset({"noise1.wav", "ch03_sm001.wav"})
EVALUATION_NOISES = frozenset({"noise3.wav", "ch08_sm001.wav", "ch08_sm002.wav"})

# Other languages' sounds for the same phonemes: more ways to say them than one Persian table has.
ACCENTS = ("az", "bn", "it", "es", "de", "ru", "pl", "sw", "el", "fr-fr")

# In espeak-ng's phoneme letters (`espeak-ng -x`), the usual way first. Written «نه», nine is read as "na".
DIGITS: dict[str, tuple[str, ...]] = {
    "0": ("s'efR", "s'ef@R", "s'efr"),
    "1": ("j'ek", "j'ekk", "j'e:k"),
    "2": ("d'o", "d'o:"),
    "3": ("s'e", "s'e:"),
    "4": ("tS'AhAR", "tSAh'AR", "tS'A:R"),
    "5": ("p'andZ", "p'anS", "p'anj"),
    "6": ("S'eS", "S'iS"),
    "7": ("h'aft", "h'af"),
    "8": ("h'aSt", "h'aS"),
    "9": ("n'oh", "n'o:"),
    "10": ("d'ah", "d'a:"),
}
# For voices of other languages, which lack some of Persian's phonemes.
_PLAIN = {"0": "s'efr", "4": "tSah'ar"}

# Persian words that are no digits from 0 to 10, among them some that contain one.
OTHER_WORDS = (
    *("سلام", "بله", "خیر", "لطفا", "ممنون", "خداحافظ", "کتاب", "خانه", "آب", "نان", "مدرسه", "ماشین"),
    *("تلفن", "شماره", "حساب", "کارت", "روز", "شب", "فردا", "دیروز", "امروز", "هفته", "ماه", "سال"),
    *("باز", "بسته", "روشن", "خاموش", "بالا", "پایین", "چپ", "راست", "جلو", "عقب", "شروع", "پایان"),
    *("یازده", "دوازده", "سیزده", "پانزده", "هفده", "هجده", "بیست", "سی", "پنجاه", "شصت", "هفتاد"),
    *("صد", "هزار", "دوست", "دست", "سر", "پا", "چشم", "گوش", "درخت", "سیب", "شهر", "خیابان"),
    *("پدر", "مادر", "برادر", "خواهر", "بچه", "مرد", "زن", "دختر", "پسر", "خوب", "بد", "بزرگ"),
)
# Others, for measuring only.
UNHEARD_WORDS = (
    *("کوچک", "چهل", "هشتاد", "نود", "چهارده", "شانزده", "نوزده", "میلیون", "گل", "باغ", "دریا", "کوه"),
    *("قلم", "میز", "صندلی", "پنجره", "کلید", "پول", "بانک", "رمز", "تکرار", "دوباره", "کمک", "صدا"),
)

# Of words that nobody ever said, in Persian sounds: "unknown" must not mean "one of these ninety words".
_ONSETS = (
    "",
    "b",
    "p",
    "t",
    "d",
    "k",
    "g",
    "m",
    "n",
    "f",
    "v",
    "s",
    "z",
    "S",
    "h",
    "x",
    "tS",
    "dZ",
    "l",
    "R",
    "j",
)
_VOWELS = ("a", "e", "o", "A", "i", "u")
_CODAS = ("", "", "n", "m", "R", "l", "k", "t", "d", "z", "S", "st", "nd", "Rd")

_AUDIBLE = 0.01
_LONGEST_S = 1.5


@dataclass(frozen=True, slots=True)
class Spoken:
    """One word: float32 mono at 16 kHz, cut to where it is audible."""

    label: str
    voice: str
    samples: FloatAudio


@dataclass(frozen=True, slots=True)
class _Line:
    label: str
    voice: str
    text: str
    pitch: int
    words_per_minute: int


def has_espeak() -> bool:
    """Whether espeak-ng is installed."""
    return shutil.which("espeak-ng") is not None


def espeak_program(name: str = "espeak-ng") -> str:
    """Its path. Raises ServiceUnavailable."""
    program = shutil.which(name)
    if program is None:
        raise ServiceUnavailable("espeak-ng is not installed.", hint="apt-get install espeak-ng")
    return program


def digits(
    voices: Sequence[str],
    takes: int,
    seed: int,
    accents: Sequence[str] = ("fa",),
    data: Path | None = None,
) -> list[Spoken]:
    """Every digit by every voice in every accent, `takes` times with another pitch, pace and pronunciation.

    `data` is the folder of espeak-ng's data, where it is not the installed one. Raises ServiceUnavailable
    where espeak-ng is not installed.
    """
    lines = list(_digit_lines(voices, takes, random.Random(seed), accents))  # noqa: S311 - to be repeatable, not secret
    return list(_spoken(lines, data=data))


def other_words(voices: Sequence[str], words: Sequence[str], count: int, seed: int) -> list[Spoken]:
    """`count` of the words, each by some voice, labelled "unknown". Raises ServiceUnavailable."""
    rng = random.Random(seed)  # noqa: S311 - to be repeatable, not secret
    lines = [
        _Line("unknown", rng.choice(voices), rng.choice(words), rng.randint(15, 90), rng.randint(100, 230))
        for _ in range(count)
    ]
    return list(_spoken(lines, "fa"))


def made_up_words(voices: Sequence[str], count: int, seed: int, data: Path | None = None) -> list[Spoken]:
    """`count` words of one to three random syllables, labelled "unknown". Raises ServiceUnavailable."""
    rng, taken = random.Random(seed), {way.replace("'", "") for ways in DIGITS.values() for way in ways}  # noqa: S311 - to be repeatable, not secret
    lines: list[_Line] = []
    while len(lines) < count:
        syllables = [
            rng.choice(_ONSETS) + rng.choice(_VOWELS) + rng.choice(_CODAS) for _ in range(rng.randint(1, 3))
        ]
        if "".join(syllables) not in taken:
            text = f"[[{''.join(syllables[:-1])}'{syllables[-1]}]]"
            lines.append(
                _Line("unknown", rng.choice(voices), text, rng.randint(15, 90), rng.randint(100, 230))
            )
    return list(_spoken(lines, "fa", data))


def _digit_lines(
    voices: Sequence[str], takes: int, rng: random.Random, accents: Sequence[str]
) -> Iterator[_Line]:
    for accent in accents:
        for voice in voices:
            for label, ways in DIGITS.items():
                for _ in range(takes):
                    # In the long run six in ten as dictionaries have it.
                    way = ways[0] if rng.random() < 0.6 else rng.choice(ways)
                    if accent != "fa":
                        way = _PLAIN.get(label, ways[0])
                    pitch, pace = rng.randint(15, 90), rng.randint(100, 230)
                    yield _Line(label, f"{accent}+{voice}", f"[[{way}]]", pitch, pace)


def _spoken(
    lines: Sequence[_Line], language: str | None = None, data: Path | None = None
) -> Iterator[Spoken]:
    program = espeak_program()

    def say(line: _Line) -> FloatAudio | None:
        voice = line.voice if language is None else f"{language}+{line.voice}"
        place = [] if data is None else [f"--path={data}"]
        manner = [*place, "-v", voice, "-p", str(line.pitch), "-s", str(line.words_per_minute)]
        made = subprocess.run(
            [program, *manner, "--stdout", line.text], capture_output=True, check=True, timeout=60
        )
        return _trimmed(made.stdout)

    with ThreadPoolExecutor(max_workers=2) as pool:
        for line, samples in zip(lines, pool.map(say, lines), strict=True):
            if samples is not None:
                yield Spoken(line.label, line.voice.rpartition("+")[2], samples)


def _trimmed(wave: bytes) -> FloatAudio | None:
    """The audible part of what espeak-ng wrote: a WAV whose header does not know its length."""
    start = wave.find(b"data") + 8
    if start < 8:
        return None
    rate_hz = int.from_bytes(wave[24:28], "little")
    content = wave[start : start + (len(wave) - start) // 2 * 2]
    samples = np.frombuffer(content, "<i2").astype(np.float32) / np.float32(32768.0)
    samples = resample_poly(samples, SAMPLE_RATE_HZ, rate_hz).astype(np.float32)
    audible = np.flatnonzero(np.abs(samples) > _AUDIBLE)
    if len(audible) == 0:
        return None
    first, last = max(0, audible[0] - SAMPLE_RATE_HZ // 100), audible[-1] + SAMPLE_RATE_HZ // 50
    return np.asarray(samples[first:last][: round(_LONGEST_S * SAMPLE_RATE_HZ)], np.float32)
