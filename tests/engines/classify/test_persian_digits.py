"""The shipped model on voices, speakers and noises that had no part in its training.

Small sets, so that the limits stand below the figures of `bench/keywords.py` by what chance may do.
"""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from difflib import SequenceMatcher
from pathlib import Path

import numpy as np
import pytest
import soundfile

from clearcast.audio.recording import SAMPLE_RATE_HZ, FloatAudio, Recording
from clearcast.audio.sandbox import prepare_sync
from clearcast.engines.classify._model_folder import FACTS_FILE, NETWORK_FILE, SHIPPED
from clearcast.engines.classify.contract import ClassifyOptions, KeywordEngine
from clearcast.engines.classify.training.augment import make_noises
from clearcast.engines.engine import EngineContext, make_engine
from clearcast.errors import ModelCorrupt, ModelMissing, OptionInvalid, SettingsInvalid
from clearcast.settings import AudioSettings
from clearcast.testing.digit_voices import EVALUATION_VOICES, Spoken, digits, has_espeak

PAUSE = np.zeros(round(0.4 * SAMPLE_RATE_HZ), np.float32)


@pytest.fixture(scope="module")
def engine(no_models: EngineContext) -> KeywordEngine:
    engine = make_engine(KeywordEngine, "residual_cnn", {}, no_models)
    engine.load()
    return engine


@pytest.fixture(scope="module")
def said() -> list[Spoken]:
    """Every digit by six voices that were kept from training."""
    if not has_espeak():
        pytest.skip("espeak-ng is not installed")
    return digits(EVALUATION_VOICES[::4][:6], 1, 5)


def heard(engine: KeywordEngine, samples: FloatAudio, **options: object) -> list[str]:
    found = engine.classify(Recording.from_array(samples), ClassifyOptions(**options))  # type: ignore[arg-type]
    return [word.label for word in found.words]


def levelled(samples: FloatAudio) -> FloatAudio:
    return np.asarray(samples / (np.sqrt(np.mean(samples**2)) + 1e-9) * 0.05, np.float32)


def strings(said: Sequence[Spoken], snr_db: float | None) -> list[tuple[FloatAudio, list[str]]]:
    """Seven digits each, with pauses, in pink noise unless `snr_db` is None."""
    rng, noise = random.Random(2), make_noises(2)[1]
    made = []
    for _ in range(10):
        words = rng.sample(said, 7)
        samples = np.concatenate(
            [PAUSE, *(part for word in words for part in (levelled(word.samples), PAUSE))]
        )
        if snr_db is not None:
            samples = samples + levelled(noise[: len(samples)]) * np.float32(10 ** (-snr_db / 20))
        made.append((samples, [word.label for word in words]))
    return made


def test_unheard_voices_are_understood(engine: KeywordEngine, said: list[Spoken]) -> None:
    found = [heard(engine, word.samples) for word in said]
    right = sum(labels == [word.label] for labels, word in zip(found, said, strict=True))
    assert right >= 0.95 * len(said)


@pytest.mark.parametrize(("snr_db", "least"), [(None, 0.97), (10.0, 0.75)])
def test_digit_strings_are_taken_down(
    engine: KeywordEngine, said: list[Spoken], snr_db: float | None, least: float
) -> None:
    pairs = [(heard(engine, samples), labels) for samples, labels in strings(said, snr_db)]
    right = sum(
        block.size
        for found, labels in pairs
        for block in SequenceMatcher(None, found, labels, autojunk=False).get_matching_blocks()
    )
    assert right >= least * sum(len(labels) for _, labels in pairs)
    assert sum(len(found) for found, _ in pairs) <= 1.05 * sum(len(labels) for _, labels in pairs)


def test_a_live_stream_hears_what_a_file_has(engine: KeywordEngine, said: list[Spoken]) -> None:
    for samples, labels in strings(said, None)[:3]:
        stream, found = engine.stream(), []
        for start in range(0, len(samples), 1024):
            found += stream.push(samples[start : start + 1024])
        found += stream.finish()
        final = [one.word.label for one in found if one.is_final]
        assert final == heard(engine, samples)
        assert len(final) == len(labels)


def test_the_digits_of_the_evaluation_set_are_all_right(engine: KeywordEngine, shared_audio: Path) -> None:
    items = json.loads((shared_audio / "manifest.json").read_text())["items"]
    wrong = []
    for item in items:
        if not item["task"].startswith("keyword"):
            continue
        samples, rate_hz = soundfile.read(shared_audio / item["file"], dtype="float32")
        assert rate_hz == SAMPLE_RATE_HZ
        wanted = item["truth"].get("labels", [item["truth"].get("label")])
        if heard(engine, samples) != list(map(str, wanted)):
            wrong.append(item["file"])
    assert not wrong


def test_real_speech_and_noise_are_rejected(
    engine: KeywordEngine, shared_audio: Path, tmp_path: Path
) -> None:
    items = json.loads((shared_audio / "manifest.json").read_text())["items"]
    stretches = accepted = 0
    for item in items:
        if item["task"] == "transcription":
            prepare_sync(shared_audio / item["file"], tmp_path / "copy.wav", AudioSettings())
            with Recording.open(tmp_path / "copy.wav") as recording:
                found = engine.classify(recording, ClassifyOptions(keep_unknown=True)).words
            stretches += len(found)
            accepted += sum(word.label != "unknown" for word in found)
    assert stretches > 100
    assert accepted <= 0.04 * stretches
    noise = np.random.default_rng(1).standard_normal(10 * SAMPLE_RATE_HZ, np.float32)
    assert heard(engine, 0.1 * noise) == []
    assert heard(engine, np.zeros(3 * SAMPLE_RATE_HZ, np.float32)) == []


def test_a_recording_shorter_than_a_frame_has_no_words(engine: KeywordEngine) -> None:
    for length in (0, 1, 100, 399):
        assert heard(engine, np.zeros(length, np.float32)) == []


def test_a_higher_bar_lets_less_through(engine: KeywordEngine, shared_audio: Path) -> None:
    samples, _ = soundfile.read(shared_audio / "kws" / "string_0.flac", dtype="float32")
    assert len(heard(engine, samples, min_probability=1.0)) < len(heard(engine, samples))
    assert heard(engine, samples, min_probability=1.0, keep_unknown=True).count("unknown") > 0


@pytest.mark.parametrize(
    "wrong",
    [
        {"min_silence_s": 0.0},
        {"min_silence_s": float("nan")},
        {"silence_db": 0.0},
        {"window_s": 60.0},
        {"min_probability": -0.1},
    ],
)
def test_options_that_mean_nothing_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(OptionInvalid):
        ClassifyOptions(**wrong)


# ---- models on disk -------------------------------------------------------------------------------------


def load(model: str, no_models: EngineContext) -> None:
    make_engine(KeywordEngine, "residual_cnn", {"model": model}, no_models).load()


def test_models_that_are_not_there_are_told_apart(no_models: EngineContext, tmp_path: Path) -> None:
    with pytest.raises(SettingsInvalid, match="no-such"):
        load("no-such", no_models)
    with pytest.raises(ModelMissing):
        load(f"{tmp_path}/nowhere", no_models)
    with pytest.raises(ModelCorrupt, match=NETWORK_FILE):
        load(f"{tmp_path}/", no_models)


@pytest.mark.parametrize(
    ("file", "content"),
    [
        (NETWORK_FILE, b"no network"),
        (FACTS_FILE, b"no json"),
        (FACTS_FILE, b"[]"),
        (FACTS_FILE, b'{"format": "another"}'),
        (FACTS_FILE, b'{"format": "clearcast-keywords-1", "name": "x"}'),
    ],
)
def test_damaged_models_are_refused(
    no_models: EngineContext, tmp_path: Path, file: str, content: bytes
) -> None:
    for name in (NETWORK_FILE, FACTS_FILE):
        (tmp_path / name).write_bytes((SHIPPED["persian-digits"] / name).read_bytes())
    load(f"{tmp_path}/", no_models)
    (tmp_path / file).write_bytes(content)
    with pytest.raises(ModelCorrupt):
        load(f"{tmp_path}/", no_models)


def test_a_model_with_other_labels_than_its_network_is_refused(
    no_models: EngineContext, tmp_path: Path
) -> None:
    for name in (NETWORK_FILE, FACTS_FILE):
        (tmp_path / name).write_bytes((SHIPPED["persian-digits"] / name).read_bytes())
    facts = json.loads((tmp_path / FACTS_FILE).read_text())
    for labels in (facts["labels"][:-1], ["0"] * 11, []):
        (tmp_path / FACTS_FILE).write_text(json.dumps({**facts, "labels": labels}))
        with pytest.raises(ModelCorrupt):
            load(f"{tmp_path}/", no_models)
