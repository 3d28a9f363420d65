"""The rough engine is no worse than PocketSphinx called plainly, and says what it is."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from bench.word_error import WordErrors, word_errors
from clearcast.audio.recording import FloatAudio, Recording
from clearcast.engines.transcribe.contract import TranscribeOptions, TranscriptionEngine
from clearcast.errors import Cancelled, LanguageUnsupported
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


def plain_pocketsphinx(samples: FloatAudio, full_scale: float = 32767.0) -> str:
    from pocketsphinx import Decoder

    decoder = Decoder(loglevel="FATAL")
    decoder.start_utt()
    decoder.process_raw((samples * full_scale).astype("<i2").tobytes(), full_utt=True)
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
    assert len(told) > 40  # within the pieces, too
    assert told == sorted(told)
    assert told[-1] == 1.0


def test_slices_give_the_words_of_an_utterance_in_one_piece(
    engine: TranscriptionEngine, kennedy: Recording
) -> None:
    samples = kennedy.read(0.0, 4.4)
    transcript = engine.transcribe(kennedy, options=TranscribeOptions(speech=(Span(0.0, 4.4),)))
    assert transcript.text == re.sub(r"\(\d+\)", "", plain_pocketsphinx(samples, 32768.0))


@pytest.mark.parametrize("is_live", [False, True])
def test_work_that_is_stopped_in_an_utterance_ends_at_once_and_leaves_nothing_behind(
    engine: TranscriptionEngine, kennedy: Recording, is_live: bool
) -> None:
    options = TranscribeOptions(speech=(Span(0.0, 4.4),), is_live=is_live)
    expected = engine.transcribe(kennedy, options=options)
    told: list[float] = []

    def stop_at_a_third(fraction: float) -> None:
        told.append(fraction)
        if fraction > 0.33:
            raise Cancelled("Enough.")

    with pytest.raises(Cancelled):
        engine.transcribe(kennedy, options=options, progress=stop_at_a_third)
    assert told[-1] < 0.4
    assert engine.transcribe(kennedy, options=options).text == expected.text


def test_fast_work_that_is_not_live_never_waits_with_the_decoder_that_live_work_needs(
    engine: TranscriptionEngine, kennedy: Recording
) -> None:
    live = TranscribeOptions(speech=(Span(0.3, 2.2),), is_live=True)
    heard: list[str] = []

    def listen(fraction: float) -> None:  # as where live work comes meanwhile
        if not heard:
            heard.append(engine.transcribe(kennedy, options=live).text)

    whole = TranscribeOptions(speech=(Span(0.0, 4.4),), beam_size=1)
    engine.transcribe(kennedy, options=whole, progress=listen)
    assert heard == [engine.transcribe(kennedy, options=live).text]
    heard.clear()
    engine.transcribe(kennedy, options=replace(whole, beam_size=5), progress=listen)
    assert heard == [engine.transcribe(kennedy, options=live).text]
