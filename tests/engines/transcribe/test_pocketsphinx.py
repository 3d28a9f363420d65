"""The rough engine is no worse than PocketSphinx called plainly, and says what it is."""

from __future__ import annotations

import json
import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from bench.word_error import WordErrors, word_errors
from clearcast.audio.recording import FloatAudio, Recording
from clearcast.engines.transcribe.contract import TranscribeOptions, TranscriptionEngine
from clearcast.errors import LanguageUnsupported
from clearcast.speech.turns import Span


@pytest.fixture
def engine(loaded_engine: Any) -> TranscriptionEngine:
    return loaded_engine(TranscriptionEngine, "pocketsphinx")


@pytest.fixture(scope="module")
def kennedy(shared_audio: Path) -> Recording:
    """Eleven seconds with long pauses."""
    samples, _ = soundfile.read(shared_audio / "asr" / "jfk.flac", dtype="float32")
    return Recording.from_array(samples)


@pytest.fixture(scope="module")
def studio_clips(shared_audio: Path) -> list[tuple[FloatAudio, str]]:
    """Samples and words of three sentences read by one speaker; `make bench` takes all clips."""
    items = json.loads((shared_audio / "manifest.json").read_text())["items"]
    read = [item for item in items if item["file"].startswith("asr/spk1")]
    return [
        (soundfile.read(shared_audio / item["file"], dtype="float32")[0], item["truth"]["text"])
        for item in read
    ]


def plain_pocketsphinx(samples: FloatAudio) -> str:
    from pocketsphinx import Decoder

    decoder = Decoder(loglevel="FATAL")
    decoder.start_utt()
    decoder.process_raw((samples * 32767).astype("<i2").tobytes(), full_utt=True)
    decoder.end_utt()
    return decoder.hyp().hypstr


def test_no_more_words_are_wrong_than_in_plain_pocketsphinx(
    engine: TranscriptionEngine, studio_clips: list[tuple[FloatAudio, str]]
) -> None:
    ours, plain = WordErrors(), WordErrors()
    for samples, text in studio_clips:
        ours += word_errors(text, engine.transcribe(Recording.from_array(samples)).text)
        plain += word_errors(text, plain_pocketsphinx(samples))
    # A word of grace: where an utterance starts decides one now and then, for better or worse.
    assert ours.errors <= plain.errors + 1
    assert ours.rate < 0.40


def test_results_say_that_they_are_rough_english(engine: TranscriptionEngine, kennedy: Recording) -> None:
    transcript = engine.transcribe(kennedy, 0.0, 2.0)
    assert (transcript.language, transcript.language_confidence) == ("en", None)
    assert transcript.provenance[0].quality == "rough"
    assert str(transcript.provenance[0]) == "transcribe: pocketsphinx (en-us), rough"


def test_other_languages_are_refused(engine: TranscriptionEngine, kennedy: Recording) -> None:
    with pytest.raises(LanguageUnsupported, match="only en"):
        engine.transcribe(kennedy, options=TranscribeOptions(language="fa"))


def test_words_are_plain_timed_and_follow_each_other(
    engine: TranscriptionEngine, kennedy: Recording
) -> None:
    words = [word for segment in engine.transcribe(kennedy).segments for word in segment.words]
    assert len(words) > 10
    assert all(re.fullmatch(r"[a-z'.-]+", word.text) for word in words)
    assert all(one.end_s <= two.start_s + 0.011 for one, two in pairwise(words))
    assert all(word.confidence is not None for word in words)
    fellow = next(word for word in words if word.text == "fellow")  # "my fellow Americans"
    assert fellow.start_s == pytest.approx(1.3, abs=0.3)


def test_only_given_speech_is_decoded(engine: TranscriptionEngine, kennedy: Recording) -> None:
    speech = (Span(0.3, 2.2),)
    transcript = engine.transcribe(kennedy, options=TranscribeOptions(speech=speech))
    assert len(transcript.segments) == 1
    assert transcript.segments[0].end_s < 3.0
    assert engine.transcribe(kennedy, options=TranscribeOptions(speech=())).segments == ()


def test_an_utterance_does_not_depend_on_what_was_decoded_before(
    engine: TranscriptionEngine, kennedy: Recording
) -> None:
    speech = (Span(0.3, 2.2), Span(3.2, 4.4))
    together = engine.transcribe(kennedy, options=TranscribeOptions(speech=speech))
    alone = engine.transcribe(kennedy, options=TranscribeOptions(speech=speech[1:]))
    assert together.segments[1:] == alone.segments


def test_a_span_longer_than_fifteen_seconds_is_decoded_in_pieces(engine: TranscriptionEngine) -> None:
    sound = Recording.from_array(np.zeros(40 * 16_000, np.float32))
    told: list[float] = []
    engine.transcribe(sound, options=TranscribeOptions(speech=(Span(0.0, 40.0),)), progress=told.append)
    assert len(told) == 3 + 1  # a piece each, and the end
    assert told == sorted(told)
