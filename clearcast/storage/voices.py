"""Enrolled voices: the data types and the JSON file they are exported to and imported from.

What lives here: `Voice`, `VoiceSample`, `VoiceBook` and its file. What does not: making voiceprints
(`engines/embed`), comparing them (`engines/identify`) and keeping books (`voice_store`).

The file, version 1:

    {"clearcast": 1, "type": "voices", "voices": [
        {"name": "Anna", "created_at": "2026-01-31T09:00:00+00:00", "samples": [
            {"model": "resemblyzer", "dimension": 256, "speech_s": 5.2, "embedding": [0.0123, …]}]}]}

The file of the systems before ClearCast is read too: an object of name → voiceprint, or name → list of
voiceprints, whose model follows from their length.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from clearcast.errors import Conflict, FileFormatInvalid, NotFound, OptionInvalid
from clearcast.speech.json_fields import Fields, fail, parse_object

MAX_NAME_CHARACTERS = 100
MAX_DIMENSION = 4096
MAX_FILE_BYTES = 50_000_000  # about 15,000 voiceprints of 256 numbers
SCHEMA_VERSION = 1
LEGACY_MODELS = {256: "resemblyzer", 192: "spkrec-ecapa-voxceleb"}
"""The model that made a voiceprint of the earlier systems, by its length."""

_UNIT_TOLERANCE = 1e-3  # how far from 1 the norm of a unit vector may be that somebody rounded
_ROUNDING = 1e-6  # and of one that is only rounded to float32
_ZERO = 1e-30  # no number of a real voiceprint is as small
_SAME_COSINE = 1 - 1e-6  # samples of one model nearer than this are one and the same
_INVISIBLE = {"Cc", "Cs", "Zl", "Zp"}  # control characters, half surrogates, line and paragraph separators
_BIDI_CONTROLS = set("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")  # can disguise a name

Vector = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class VoiceSample:
    """One voiceprint: `embedding` is float32, L2 norm 1, shape (dimension,), made by the engine `model`
    (its `Provenance.model`) from `speech_s` seconds of speech (None when not known).

    Raises ValueError when the embedding is not such a vector; `from_vector` makes one of any length.
    """

    embedding: Vector
    model: str
    speech_s: float | None = None

    def __post_init__(self) -> None:
        own = np.array(self.embedding, np.float32)  # a copy that nobody else can change
        _check_vector(own)
        norm = float(np.linalg.norm(own.astype(np.float64)))
        if abs(norm - 1.0) > _UNIT_TOLERANCE:
            raise ValueError(f"a voiceprint has length 1, not {norm:g}")
        if abs(norm - 1.0) > _ROUNDING:
            own /= np.float32(norm)
        own.flags.writeable = False
        object.__setattr__(self, "embedding", own)

    @classmethod
    def from_vector(cls, vector: npt.ArrayLike, model: str, speech_s: float | None = None) -> Self:
        """The sample with `vector`, shape (dimension,), brought to length 1.

        Raises ValueError when it is not one-dimensional, not finite or all zero.
        """
        exact = np.asarray(vector, np.float64)
        _check_vector(exact)
        peak = float(np.abs(exact).max())
        if peak < _ZERO:
            raise ValueError("a voiceprint cannot be all zero")
        scaled = exact / peak  # squares of huge numbers would not be finite
        norm = float(np.linalg.norm(scaled))
        # Float32 vectors that are unit vectors already stay as they are, bit by bit.
        unit = exact if abs(norm * peak - 1.0) <= _ROUNDING else scaled / norm
        return cls(unit.astype(np.float32), model, speech_s)

    @property
    def dimension(self) -> int:
        return len(self.embedding)

    def is_same_as(self, other: VoiceSample) -> bool:
        """Whether both are the same voiceprint, as when a file is imported twice."""
        return (self.model, self.dimension) == (other.model, other.dimension) and float(
            self.embedding @ other.embedding
        ) >= _SAME_COSINE


@dataclass(frozen=True, slots=True)
class Voice:
    """A person by name, with at least one sample. `created_at` (UTC) is None when not known.

    Raises ValueError without samples, or when samples of one model differ in dimension.
    """

    name: str
    samples: tuple[VoiceSample, ...]
    created_at: datetime | None = None

    def __post_init__(self) -> None:
        if not self.samples:
            raise ValueError("a voice has at least one sample")
        dimensions = {(sample.model, sample.dimension) for sample in self.samples}
        if len(dimensions) > len({model for model, _ in dimensions}):
            raise ValueError("samples of one model have one dimension")

    def direction(self, model: str) -> Vector | None:
        """The mean direction of the samples of this model, shape (dimension,), norm 1; None without one."""
        samples = [sample.embedding for sample in self.samples if sample.model == model]
        if not samples:
            return None
        mean = np.mean(samples, axis=0)
        return np.asarray(mean / max(float(np.linalg.norm(mean)), 1e-9), np.float32)


@dataclass(frozen=True, slots=True)
class VoiceBook:
    """Voices by name. Changes give a new book.

    Names are shown as given and compared by `name_key`: "Anna", "ANNA" and full-width "Ａｎｎａ" are one.
    Raises ValueError when two voices have the same name.
    """

    voices: tuple[Voice, ...] = ()

    def __post_init__(self) -> None:
        if len({name_key(voice.name) for voice in self.voices}) < len(self.voices):
            raise ValueError("two voices of one book have the same name")

    def __len__(self) -> int:
        return len(self.voices)

    def __iter__(self) -> Iterator[Voice]:
        return iter(self.voices)

    def chosen(self, names: Sequence[str]) -> tuple[Voice, ...]:
        """The voices of these names, each once; all when none is named. Raises OptionInvalid."""
        if not names:
            return tuple(self)
        voices = []
        for name in dict.fromkeys(names):
            voice = self.find(name)
            if voice is None:
                raise OptionInvalid(f"You have no voice called {name!r}.", hint="See GET /v1/voices.")
            voices.append(voice)
        return tuple(voices)

    def find(self, name: str) -> Voice | None:
        key = name_key(name)
        return next((voice for voice in self.voices if name_key(voice.name) == key), None)

    def get(self, name: str) -> Voice:
        """Raises NotFound."""
        voice = self.find(name)
        if voice is None:
            raise NotFound(f"There is no voice called {name[:MAX_NAME_CHARACTERS]!r}.")
        return voice

    def add_sample(self, name: str, sample: VoiceSample, now: datetime | None = None) -> VoiceBook:
        """With one more sample for the voice of that name, which is made when there is none.

        Raises OptionInvalid for a name that cannot be, Conflict when the voice's other samples of the same
        model have another dimension.
        """
        voice = self.find(name)
        if voice is None:
            made = Voice(checked_name(name), (sample,), now or datetime.now(UTC))
            return replace(self, voices=(*self.voices, made))
        return self._with(voice, _joined(voice, (sample,)))

    def remove(self, name: str) -> VoiceBook:
        """Raises NotFound."""
        gone = self.get(name)
        return replace(self, voices=tuple(voice for voice in self.voices if voice is not gone))

    def rename(self, name: str, new_name: str) -> VoiceBook:
        """Raises NotFound, OptionInvalid, or Conflict when another voice has the new name."""
        voice = self.get(name)
        other = self.find(checked_name(new_name))
        if other is not None and other is not voice:
            raise Conflict(f"There is a voice called {other.name!r} already.")
        return self._with(voice, replace(voice, name=checked_name(new_name)))

    def merge(self, other: VoiceBook) -> VoiceBook:
        """With the voices of both; those of the same name get the samples of both, each once, and keep the
        name they have here. Raises Conflict when their samples of one model differ in dimension."""
        merged = {name_key(voice.name): voice for voice in self}
        for voice in other:
            own = merged.get(key := name_key(voice.name))
            merged[key] = voice if own is None else _joined(own, voice.samples)
        return VoiceBook(tuple(merged.values()))

    def _with(self, old: Voice, new: Voice) -> VoiceBook:
        return replace(self, voices=tuple(new if voice is old else voice for voice in self.voices))


def name_key(name: str) -> str:
    """What names are compared by: compatibility forms, case and runs of white space do not count."""
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())
    return " ".join(folded.split())


def checked_name(name: str) -> str:
    """The name without white space around it. Raises OptionInvalid when it cannot be a name."""
    trimmed = name.strip()
    if not name_key(trimmed):
        raise OptionInvalid("A voice needs a name.")
    if len(trimmed) > MAX_NAME_CHARACTERS:
        raise OptionInvalid(f"A voice's name has at most {MAX_NAME_CHARACTERS} characters.")
    if any(unicodedata.category(c) in _INVISIBLE or c in _BIDI_CONTROLS for c in trimmed):
        raise OptionInvalid("A voice's name holds no control characters.")
    return trimmed


def load_voices(path: Path) -> VoiceBook:
    """The book in a file of either schema. Raises NotFound, FileFormatInvalid."""
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise FileFormatInvalid(f"The voices file is larger than {MAX_FILE_BYTES // 1_000_000} MB.")
        content = path.read_bytes()
    except FileNotFoundError as error:
        raise NotFound(f"There is no voices file {path.name!r}.") from error
    except (IsADirectoryError, NotADirectoryError, PermissionError) as error:
        raise FileFormatInvalid(
            f"The voices file {path.name!r} cannot be read: {error.strerror}."
        ) from error
    return read_voices(content)


def read_voices(content: str | bytes) -> VoiceBook:
    """The book of a file's content, of either schema. Raises FileFormatInvalid with place and reason."""
    if len(content) > MAX_FILE_BYTES:
        raise FileFormatInvalid(f"The voices file is larger than {MAX_FILE_BYTES // 1_000_000} MB.")
    values = parse_object(content, "voices file")
    version = values.get("clearcast")
    # A person may be called "clearcast", but nobody's voiceprint is a single number.
    if isinstance(version, bool) or not isinstance(version, int):
        return _book(_legacy_voice(name, value) for name, value in values.items())
    if version != SCHEMA_VERSION or values.get("type") != "voices":
        raise FileFormatInvalid(
            f"Not a voices file of version {SCHEMA_VERSION}:"
            f" it says version {version}, type {str(values.get('type'))[:40]!r}."
        )
    fields = Fields(values, "", ("clearcast", "type", "voices"))
    return _book(_voice(item) for item in fields.objects("voices", ("name", "created_at", "samples")))


def write_voices(book: VoiceBook) -> str:
    """The book as a file of version 1. Voiceprints are written such that they come back bit by bit."""
    voices = [voice_record(voice) for voice in book]
    document = {"clearcast": SCHEMA_VERSION, "type": "voices", "voices": voices}
    return json.dumps(document, ensure_ascii=False, allow_nan=False) + "\n"


def write_legacy_voices(book: VoiceBook, model: str) -> str:
    """The voiceprints of one model as name → voiceprint, or list of voiceprints where there are several."""
    samples = {voice.name: [_numbers(s) for s in voice.samples if s.model == model] for voice in book}
    plain = {name: own[0] if len(own) == 1 else own for name, own in samples.items() if own}
    return json.dumps(plain, ensure_ascii=False, allow_nan=False) + "\n"


def voice_record(voice: Voice) -> dict[str, Any]:
    """One voice as the file has it."""
    return {
        "name": voice.name,
        "created_at": None if voice.created_at is None else voice.created_at.astimezone(UTC).isoformat(),
        "samples": [
            {
                "model": sample.model,
                "dimension": sample.dimension,
                "speech_s": None if sample.speech_s is None else round(float(sample.speech_s), 3),
                "embedding": _numbers(sample),
            }
            for sample in voice.samples
        ],
    }


def _numbers(sample: VoiceSample) -> list[float]:
    # Nine digits tell every float32 from its neighbours (IEEE 754-2019 §5.12.2); float64 would take 17.
    return [float(f"{value:.9g}") for value in sample.embedding.tolist()]


def _check_vector(vector: npt.NDArray[Any]) -> None:
    if vector.ndim != 1 or not 0 < len(vector) <= MAX_DIMENSION:
        raise ValueError(f"a voiceprint has shape (dimension,), not {vector.shape}")
    if not np.isfinite(vector).all():
        raise ValueError("a voiceprint holds finite numbers only")


def _joined(voice: Voice, samples: Sequence[VoiceSample]) -> Voice:
    """The voice with those samples that it does not have yet."""
    own = list(voice.samples)
    for sample in samples:
        if any(sample.model == other.model and sample.dimension != other.dimension for other in own):
            raise Conflict(
                f"The voice {voice.name!r} has samples of {sample.model!r} with another dimension"
                f" than {sample.dimension}."
            )
        if not any(sample.is_same_as(other) for other in own):
            own.append(sample)
    return replace(voice, samples=tuple(own))


def _book(voices: Iterable[Voice]) -> VoiceBook:
    by_key: dict[str, Voice] = {}
    for voice in voices:
        twin = by_key.setdefault(name_key(voice.name), voice)
        if twin is not voice:
            fail("voices", f"has the name {voice.name!r} twice (it is also written {twin.name!r})")
    return VoiceBook(tuple(by_key.values()))


def _voice(fields: Fields) -> Voice:
    name = _name(fields.text("name"), f"{fields.place}.name")
    created_at = fields.text_or_none("created_at")
    samples = []
    for item in fields.objects("samples", ("model", "dimension", "speech_s", "embedding")):
        if not (model := item.text("model")):
            fail(f"{item.place}.model", "is empty")
        sample = _sample(item.required("embedding"), f"{item.place}.embedding", model)
        if item.number("dimension") != sample.dimension:
            fail(f"{item.place}.dimension", f"is not the length of the embedding, {sample.dimension}")
        samples.append(replace(sample, speech_s=item.number_or_none("speech_s", 0.0)))
    return _made_voice(
        name, samples, _time(created_at, f"{fields.place}.created_at") if created_at else None, fields.place
    )


def _legacy_voice(name: str, value: object) -> Voice:
    place = repr(name[:MAX_NAME_CHARACTERS])
    if not isinstance(value, list) or not value:
        fail(place, "must be a voiceprint (a list of numbers) or a list of voiceprints")
    vectors = value if isinstance(value[0], list) else [value]
    samples = []
    for index, vector in enumerate(vectors):
        where = f"{place}[{index}]" if vectors is value else place
        size = len(vector) if isinstance(vector, list) else 0
        if size not in LEGACY_MODELS:
            lengths = " or ".join(f"{length} ({model})" for length, model in LEGACY_MODELS.items())
            fail(where, f"has {size} numbers; a voiceprint has {lengths}")
        samples.append(_sample(vector, where, LEGACY_MODELS[size]))
    if len({sample.dimension for sample in samples}) > 1:
        fail(place, "mixes voiceprints of different lengths")
    return _made_voice(_name(name, place), samples, None, place)


def _sample(value: object, place: str, model: str) -> VoiceSample:
    if not isinstance(value, list):
        fail(place, "must be a list of numbers")
    for index, number in enumerate(value):
        if isinstance(number, bool) or not isinstance(number, int | float):
            fail(f"{place}[{index}]", "must be a number")
    try:
        return VoiceSample.from_vector(value, model)
    except (ValueError, OverflowError) as error:
        fail(place, f"is not a voiceprint: {error}")


def _made_voice(
    name: str, samples: Sequence[VoiceSample], created_at: datetime | None, place: str
) -> Voice:
    try:
        return Voice(name, tuple(samples), created_at)
    except ValueError as error:
        fail(place, f"is not a voice: {error}")


def _name(name: str, place: str) -> str:
    try:
        return checked_name(name)
    except OptionInvalid as error:
        fail(place, f"is not a name: {error.message}")


def _time(text: str, place: str) -> datetime:
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        fail(place, f"is {text[:40]!r}, not a time such as 2026-01-31T09:00:00+00:00")
    return time.astimezone(UTC) if time.tzinfo else time.replace(tzinfo=UTC)
