"""Voices, books of them and their files."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from clearcast.errors import Conflict, FileFormatInvalid, NotFound, OptionInvalid
from clearcast.storage import voices as module
from clearcast.storage.voices import (
    Voice,
    VoiceBook,
    VoiceSample,
    checked_name,
    load_voices,
    name_key,
    read_voices,
    write_legacy_voices,
    write_voices,
)

NOW = datetime(2026, 1, 31, 9, 0, tzinfo=UTC)


def sample(seed: int, dimension: int = 256, model: str = "resemblyzer") -> VoiceSample:
    vector = np.random.default_rng(seed).standard_normal(dimension)
    return VoiceSample.from_vector(vector, model, 3.25)


def book(*names: str) -> VoiceBook:
    made = VoiceBook()
    for seed, name in enumerate(names):
        made = made.add_sample(name, sample(seed), NOW)
    return made


def same(one: VoiceBook, other: VoiceBook) -> bool:
    def plain(book: VoiceBook) -> list[Any]:
        return [
            (v.name, v.created_at, [(s.model, s.speech_s, s.embedding.tobytes()) for s in v.samples])
            for v in book
        ]

    return plain(one) == plain(other)


def test_a_sample_is_a_unit_vector_of_float32_that_nobody_can_change() -> None:
    vector = np.full(192, 3.0)
    made = VoiceSample.from_vector(vector, "ecapa")
    vector[0] = 99
    assert made.embedding.dtype == np.float32
    assert made.dimension == 192
    assert np.linalg.norm(made.embedding) == pytest.approx(1.0, abs=1e-6)
    with pytest.raises(ValueError, match="read-only"):
        made.embedding[0] = 0


@pytest.mark.parametrize(
    "vector",
    [[], [[1.0, 0.0]], [np.nan, 1.0], [np.inf, 1.0], [0.0, 0.0], np.zeros(256), np.ones(5000), 1.0],
)
def test_what_is_no_direction_is_refused(vector: Any) -> None:
    with pytest.raises(ValueError, match="voiceprint"):
        VoiceSample.from_vector(vector, "resemblyzer")


def test_the_constructor_takes_unit_vectors_only() -> None:
    with pytest.raises(ValueError, match="length 1"):
        VoiceSample(np.ones(4, np.float32), "resemblyzer")


def test_names_are_one_in_any_case_and_width_but_are_shown_as_given() -> None:
    made = book("Anna").add_sample("ＡＮＮＡ", sample(7)).add_sample(" anna ", sample(8))
    assert [voice.name for voice in made] == ["Anna"]
    assert len(made.get("aNNa").samples) == 3
    assert name_key("Straße") == name_key("STRASSE")
    assert name_key("علی  رضا") == name_key("علی رضا")
    assert name_key("نرم‌افزار") != name_key("نرمافزار")


def test_a_sample_added_twice_is_kept_once() -> None:
    made = book("Anna").add_sample("Anna", sample(0))
    assert len(made.get("Anna").samples) == 1


def test_samples_of_several_models_live_in_one_voice_but_of_one_dimension_each() -> None:
    made = book("Anna").add_sample("Anna", sample(1, 192, "spkrec-ecapa-voxceleb"))
    assert [s.dimension for s in made.get("Anna").samples] == [256, 192]
    with pytest.raises(Conflict, match="dimension"):
        made.add_sample("Anna", sample(2, 192, "resemblyzer"))


def test_voices_are_removed_and_renamed_and_the_old_book_stays() -> None:
    old = book("Anna", "رضا")
    assert [voice.name for voice in old.remove("ANNA")] == ["رضا"]
    assert [voice.name for voice in old.rename("anna", "Annette")] == ["Annette", "رضا"]
    assert [voice.name for voice in old.rename("anna", "ANNA")] == ["ANNA", "رضا"]
    assert [voice.name for voice in old] == ["Anna", "رضا"]
    with pytest.raises(Conflict, match="رضا"):
        old.rename("Anna", "رضا")
    for change in (old.remove, old.get, lambda name: old.rename(name, "x")):
        with pytest.raises(NotFound, match="Nobody"):
            change("Nobody")


def test_merging_joins_samples_and_keeps_the_name_that_was_there() -> None:
    one = book("Anna")
    other = (
        VoiceBook().add_sample("ANNA", sample(0)).add_sample("anna", sample(5)).add_sample("Bob", sample(6))
    )
    merged = one.merge(other)
    assert [(voice.name, len(voice.samples)) for voice in merged] == [("Anna", 2), ("Bob", 1)]
    assert same(merged.merge(other), merged)


def test_a_book_cannot_hold_one_name_twice_nor_a_voice_no_sample() -> None:
    with pytest.raises(ValueError, match="same name"):
        VoiceBook((Voice("Anna", (sample(0),)), Voice("anna", (sample(1),))))
    with pytest.raises(ValueError, match="at least one"):
        Voice("Anna", ())


@pytest.mark.parametrize(
    "name", ["", "  ", "\u3000", "x" * 101, "a\nb", "a\x00b", "a\u202eb", "a\u2067b", "a\ud800"]
)
def test_what_cannot_be_a_name_is_refused(name: str) -> None:
    with pytest.raises(OptionInvalid):
        checked_name(name)


@pytest.mark.parametrize("name", ["علی‌رضا", "Ana María", "田中", "👩‍👧", "O'Neil", "x" * 100, "אב\u200f"])
def test_names_of_any_script_are_taken(name: str) -> None:
    assert checked_name(f" {name} ") == name


def test_a_file_gives_back_the_same_book_bit_by_bit() -> None:
    made = book("Anna", "علی‌رضا").add_sample("Anna", sample(9, 192, "spkrec-ecapa-voxceleb"))
    written = write_voices(made)
    assert same(read_voices(written), made)
    assert write_voices(read_voices(written.encode())) == written
    assert "علی‌رضا" in written
    assert len(read_voices(write_voices(VoiceBook()))) == 0


def test_vectors_of_another_length_in_a_file_are_brought_to_length_one() -> None:
    vector = np.random.default_rng(3).standard_normal(256)
    for scale in (7.0, 1e-20, 1e300):
        (voice,) = read_voices(json.dumps({"Anna": (vector * scale).tolist()}))
        assert np.allclose(voice.samples[0].embedding, vector / np.linalg.norm(vector), atol=1e-7)


def test_the_legacy_file_is_read_with_one_or_several_voiceprints_per_name() -> None:
    one, two, ecapa = (
        sample(seed, size).embedding.tolist() for seed, size in ((1, 256), (2, 256), (3, 192))
    )
    found = read_voices(json.dumps({"sp3000": one, "رضا": [one, two], "clearcast": [ecapa]}))
    assert [(voice.name, [s.model for s in voice.samples]) for voice in found] == [
        ("sp3000", ["resemblyzer"]),
        ("رضا", ["resemblyzer", "resemblyzer"]),
        ("clearcast", ["spkrec-ecapa-voxceleb"]),
    ]
    assert found.get("sp3000").samples[0].speech_s is None


def test_the_legacy_file_is_written_for_one_model() -> None:
    made = book("Anna", "Bob").add_sample("Bob", sample(9)).add_sample("Cy", sample(1, 192, "other"))
    written = json.loads(write_legacy_voices(made, "resemblyzer"))
    assert list(written) == ["Anna", "Bob"]
    assert len(written["Anna"]) == 256
    assert [len(vector) for vector in written["Bob"]] == [256, 256]
    assert len(read_voices(json.dumps(written)).get("Bob").samples) == 2


GOOD = [0.5] * 256


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("{", "not JSON: line 1, column 2"),
        ("[]", "must hold a JSON object"),
        ('{"a": [NaN]}', "NaN"),
        ('{"a": 5}', "'a' must be a voiceprint"),
        ('{"a": []}', "'a' must be a voiceprint"),
        (
            json.dumps({"a": [0.5] * 100}),
            r"'a' has 100 numbers; a voiceprint has 256 \(resemblyzer\) or 192",
        ),
        (json.dumps({"a": [GOOD, [0.5] * 255]}), r"'a'\[1\] has 255 numbers"),
        (json.dumps({"a": [GOOD, [0.5] * 192]}), "'a' mixes voiceprints of different lengths"),
        (json.dumps({"a": [GOOD, 5]}), r"'a'\[1\] has 0 numbers"),
        (json.dumps({"a": [0.0] * 256}), "'a' is not a voiceprint: a voiceprint cannot be all zero"),
        (json.dumps({"a": ["0.5"] * 256}), r"'a'\[0\] must be a number"),
        (json.dumps({"a": [True] * 256}), r"'a'\[0\] must be a number"),
        (json.dumps({"a": [10**400, *GOOD[1:]]}), "'a' is not a voiceprint"),
        (json.dumps({"": GOOD}), "'' is not a name: A voice needs a name"),
        (json.dumps({"x" * 200: GOOD}), "at most 100 characters"),
        (json.dumps({"a\u0007": GOOD}), "no control characters"),
        (json.dumps({"Anna": GOOD, "ANNA": GOOD}), "'ANNA' twice"),
        ('{"a": [0.5], "a": [0.5]}', "'a' twice"),
        ('{"clearcast": 2, "type": "voices", "voices": []}', "version 2"),
        ('{"clearcast": 1, "type": "meeting"}', "'meeting'"),
        ('{"clearcast": 1, "type": "voices"}', "voices is missing"),
        ('{"clearcast": 1, "type": "voices", "voices": [], "more": 1}', "more is not a field"),
    ],
)
def test_a_wrong_file_is_refused_with_place_and_reason(content: str, told: str) -> None:
    with pytest.raises(FileFormatInvalid, match=told):
        read_voices(content)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"name": " "}, r"voices\[0\].name is not a name"),
        ({"created_at": "yesterday"}, r"voices\[0\].created_at is 'yesterday'"),
        ({"samples": []}, r"voices\[0\] is not a voice: a voice has at least one sample"),
        ({"samples": {}}, r"voices\[0\].samples must be a list"),
        ({"dimension": 255}, r"samples\[0\].dimension is not the length of the embedding, 256"),
        ({"dimension": None}, r"samples\[0\].dimension must be a number, not null"),
        ({"model": ""}, r"samples\[0\].model is empty"),
        ({"speech_s": -1}, r"samples\[0\].speech_s is -1"),
        ({"embedding": "x"}, r"samples\[0\].embedding must be a list"),
        ({"embedding": [[0.5]]}, r"samples\[0\].embedding\[0\] must be a number"),
        ({"embedding": []}, r"samples\[0\].embedding is not a voiceprint"),
        ({"mood": "good"}, "mood is not a field"),
    ],
)
def test_a_wrong_field_is_refused_with_its_place(change: dict[str, Any], told: str) -> None:
    document = json.loads(write_voices(book("Anna")))
    voice = document["voices"][0]
    for name, value in change.items():
        target = voice if name in {"name", "created_at", "samples"} else voice["samples"][0]
        target[name] = value
    with pytest.raises(FileFormatInvalid, match=told):
        read_voices(json.dumps(document))


def test_mixed_dimensions_of_one_model_are_refused() -> None:
    document = json.loads(write_voices(book("Anna")))
    odd = {"model": "resemblyzer", "dimension": 2, "speech_s": None, "embedding": [1.0, 0.0]}
    document["voices"][0]["samples"].append(odd)
    with pytest.raises(FileFormatInvalid, match="one dimension"):
        read_voices(json.dumps(document))


def test_files_are_loaded_and_missing_large_and_binary_ones_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "voices.json"
    with pytest.raises(NotFound, match=r"voices\.json"):
        load_voices(path)
    with pytest.raises(FileFormatInvalid, match="cannot be read"):
        load_voices(tmp_path)
    path.write_text(write_voices(book("رضا")), encoding="utf-8")
    assert [voice.name for voice in load_voices(path)] == ["رضا"]
    monkeypatch.setattr(module, "MAX_FILE_BYTES", 1000)
    with pytest.raises(FileFormatInvalid, match="larger"):
        load_voices(path)
    path.write_bytes(b"\x80\x04\x95pickle")
    with pytest.raises(FileFormatInvalid, match="not JSON"):
        load_voices(path)


def test_times_without_a_zone_are_utc() -> None:
    document = json.loads(write_voices(book("Anna")))
    document["voices"][0]["created_at"] = "2026-01-31T09:00:00"
    assert read_voices(json.dumps(document)).get("Anna").created_at == NOW
