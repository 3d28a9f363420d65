"""What every engine promises, found by file name: an engine dropped in later is tested by this file too."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import fields
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from clearcast.audio.recording import SAMPLE_RATE_HZ, FloatAudio, Recording
from clearcast.engines.diarize.contract import DiarizationEngine, DiarizeOptions
from clearcast.engines.embed.contract import Calibration, EmbeddingEngine
from clearcast.engines.engine import SERVICES, EngineContext, engine_class, engine_names, make_engine
from clearcast.engines.identify.contract import IdentificationEngine
from clearcast.engines.transcribe.contract import TranscribeOptions, TranscriptionEngine
from clearcast.engines.voice_activity.contract import VoiceActivityEngine
from clearcast.errors import (
    Cancelled,
    LanguageUnsupported,
    ModelMissing,
    OptionInvalid,
    SettingsInvalid,
    SpeechTooShort,
)
from clearcast.speech.transcript import Transcript
from clearcast.storage.voices import Voice, VoiceSample

EVERY_ENGINE = [(service, name) for service in SERVICES for name in engine_names(service)]
MODEL_LIBRARIES = (
    "torch",
    "onnxruntime",
    "ctranslate2",
    "demucs",
    "faster_whisper",
    "pocketsphinx",
    "pyannote.audio",
    "resemblyzer",
    "speechbrain",
)

every_engine = pytest.mark.parametrize(("service", "name"), EVERY_ENGINE, ids=map("/".join, EVERY_ENGINE))


class Listener:
    """Notes the fractions it is told; from `stop_at` on it asks to stop."""

    def __init__(self, stop_at: float = 2.0) -> None:
        self.fractions: list[float] = []
        self._stop_at = stop_at

    def __call__(self, fraction: float) -> None:
        self.fractions.append(fraction)
        if fraction >= self._stop_at:
            raise Cancelled("The listener has heard enough.")

    def assert_went_to_the_end(self) -> None:
        assert self.fractions == sorted(self.fractions)
        assert all(0.0 <= fraction <= 1.0 for fraction in self.fractions)
        assert self.fractions[-1] == 1.0


def silence(duration_s: float) -> Recording:
    return Recording.from_array(np.zeros(round(duration_s * SAMPLE_RATE_HZ), np.float32))


# ---- all services ---------------------------------------------------------------------------------------


@every_engine
def test_building_an_engine_imports_no_model_library(service: str, name: str) -> None:
    code = f"""
import sys
from pathlib import Path
from clearcast.engines.engine import Engine, EngineContext, engine_class, make_engine
cls = engine_class({service!r}, {name!r})
engine = make_engine(cls, {name!r}, {{}}, EngineContext(Path("nowhere")))
print(engine.model_name, [name for name in {MODEL_LIBRARIES!r} if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip().endswith("[]")


@every_engine
def test_unknown_options_are_refused(service: str, name: str, no_models: EngineContext) -> None:
    with pytest.raises(SettingsInvalid, match="no_such_option"):
        make_engine(engine_class(service, name), name, {"no_such_option": 1}, no_models)


@every_engine
def test_a_result_can_say_which_engine_and_model_made_it(
    service: str, name: str, no_models: EngineContext
) -> None:
    engine = make_engine(engine_class(service, name), name, {}, no_models)
    assert (engine.provenance.service, engine.provenance.engine) == (service, name)
    assert engine.provenance.model.strip()
    assert engine.provenance.quality in (None, "rough", "experimental")


@every_engine
def test_every_option_and_the_engine_are_described(service: str, name: str) -> None:
    cls = engine_class(service, name)
    assert cls.__doc__
    assert all(option.name in (cls.Options.__doc__ or "") for option in fields(cls.Options))


@every_engine
def test_models_that_are_needed_are_in_the_catalogue(service: str, name: str) -> None:
    cls = engine_class(service, name)
    known = {spec.name: spec for spec in cls.catalogue()}
    for spec in cls.models(cls.Options()):
        assert known[spec.name] == spec
    for spec in known.values():
        assert spec.files
        assert spec.licence
        assert spec.repo.count("/") == 1


@every_engine
def test_a_missing_model_is_named_with_the_command_that_gets_it(
    service: str, name: str, no_models: EngineContext
) -> None:
    engine = make_engine(engine_class(service, name), name, {}, no_models)
    specs = type(engine).models(engine.options)
    if not specs:
        pytest.skip("needs nothing but its package")
    with pytest.raises(ModelMissing) as caught:
        engine.load()
    assert f"clearcast models pull {specs[0].name}" in (caught.value.hint or "")


# ---- voice activity -------------------------------------------------------------------------------------


@pytest.fixture(params=engine_names("voice_activity"))
def speech_finder(request: pytest.FixtureRequest, loaded_engine: Callable[..., Any]) -> VoiceActivityEngine:
    return loaded_engine(VoiceActivityEngine, request.param)


def test_speech_is_found_in_sorted_spans_within_the_recording(
    speech_finder: VoiceActivityEngine, some_speech: Recording
) -> None:
    listener = Listener()
    spans = speech_finder.detect(some_speech, listener)
    assert sum(span.duration_s for span in spans) > 1.0
    assert all(one.end_s <= two.start_s for one, two in pairwise(spans))
    assert spans[-1].end_s <= some_speech.duration_s
    listener.assert_went_to_the_end()


@pytest.mark.parametrize("duration_s", [0.0, 0.05, 3.0])
def test_silence_holds_no_speech(speech_finder: VoiceActivityEngine, duration_s: float) -> None:
    assert speech_finder.detect(silence(duration_s)) == ()


# ---- embedding ------------------------------------------------------------------------------------------


@pytest.fixture(params=engine_names("embed"))
def embedder(request: pytest.FixtureRequest, loaded_engine: Callable[..., Any]) -> EmbeddingEngine:
    return loaded_engine(EmbeddingEngine, request.param)


@pytest.fixture
def utterances(conversation: FloatAudio) -> list[FloatAudio]:
    starts = (7.0, 9.0, 14.0, 21.0)
    lengths = (1.0, 2.5, 1.0, 0.6)
    return [
        conversation[round(start * SAMPLE_RATE_HZ) : round((start + length) * SAMPLE_RATE_HZ)]
        for start, length in zip(starts, lengths, strict=True)
    ]


def test_voiceprints_are_unit_vectors_in_the_order_asked_for(
    embedder: EmbeddingEngine, utterances: list[FloatAudio]
) -> None:
    together = embedder.embed(utterances)
    assert together.shape == (len(utterances), embedder.dimension)
    assert together.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1.0, atol=1e-5)
    alone = np.concatenate([embedder.embed([utterance]) for utterance in utterances])
    np.testing.assert_allclose(together, alone, atol=1e-5)


def test_no_utterances_give_no_voiceprints(embedder: EmbeddingEngine) -> None:
    assert embedder.embed([]).shape == (0, embedder.dimension)


def test_too_little_speech_gives_no_voiceprint(
    embedder: EmbeddingEngine, utterances: list[FloatAudio]
) -> None:
    with pytest.raises(SpeechTooShort) as caught:
        embedder.embed([utterances[0], utterances[1][:800]])
    assert caught.value.fields["index"] == 1


def test_voiceprints_of_silence_are_numbers_too(embedder: EmbeddingEngine) -> None:
    assert np.isfinite(embedder.embed([np.zeros(SAMPLE_RATE_HZ, np.float32)])).all()


def test_scores_to_accept_lie_above_scores_to_doubt(embedder: EmbeddingEngine) -> None:
    calibration = embedder.calibration
    assert -1.0 < calibration.uncertain_score < calibration.accept_score < 1.0
    assert calibration.min_speech_s >= embedder.min_speech_s


# ---- diarization ----------------------------------------------------------------------------------------


@pytest.fixture(params=engine_names("diarize"))
def diarizer(request: pytest.FixtureRequest, loaded_engine: Callable[..., Any]) -> DiarizationEngine:
    return loaded_engine(DiarizationEngine, request.param)


def test_turns_are_sorted_labelled_by_appearance_and_within_the_recording(
    diarizer: DiarizationEngine, conversation: FloatAudio
) -> None:
    recording = Recording.from_array(conversation[: 20 * SAMPLE_RATE_HZ])
    listener = Listener()
    found = diarizer.diarize(recording, progress=listener)
    assert found.turns == tuple(sorted(found.turns))
    assert found.turns[-1].end_s <= recording.duration_s == found.duration_s
    assert found.speakers == tuple(f"SPEAKER_{index:02d}" for index in range(len(found.speakers)))
    assert found.provenance == diarizer.provenance
    listener.assert_went_to_the_end()


def test_exclusive_turns_never_overlap(diarizer: DiarizationEngine, conversation: FloatAudio) -> None:
    found = diarizer.diarize(Recording.from_array(conversation), DiarizeOptions(exclusive=True))
    assert found.turns
    assert found.overlaps() == ()
    assert not found.overlap_marked


def test_a_given_number_of_speakers_is_not_exceeded(
    diarizer: DiarizationEngine, conversation: FloatAudio
) -> None:
    options = DiarizeOptions(max_speakers=1, exclusive=True)
    found = diarizer.diarize(Recording.from_array(conversation), options)
    assert len(found.speakers) == 1


@pytest.mark.parametrize("duration_s", [0.0, 0.05, 2.0])
def test_silence_of_any_length_can_be_diarized(
    diarizer: DiarizationEngine, duration_s: float, has_real_weights: Callable[..., bool]
) -> None:
    found = diarizer.diarize(silence(duration_s))
    assert found.duration_s == duration_s
    assert all(turn.end_s <= duration_s for turn in found.turns)
    assert found.turns == () or not has_real_weights(diarizer)


def test_diarization_stops_when_the_listener_says_so(
    diarizer: DiarizationEngine, conversation: FloatAudio
) -> None:
    listener = Listener(stop_at=0.0)
    with pytest.raises(Cancelled):
        diarizer.diarize(Recording.from_array(conversation), progress=listener)
    assert len(listener.fractions) == 1
    assert diarizer.diarize(silence(0.05)).duration_s == 0.05


# ---- identification -------------------------------------------------------------------------------------


@pytest.fixture(params=engine_names("identify"))
def identifier(request: pytest.FixtureRequest, loaded_engine: Callable[..., Any]) -> IdentificationEngine:
    return loaded_engine(IdentificationEngine, request.param)


CALIBRATION = Calibration(accept_score=0.75, uncertain_score=0.65)


def voice(name: str, *vectors: list[float], model: str = "test") -> Voice:
    samples = [VoiceSample(np.array(vector, np.float32), model) for vector in vectors]
    return Voice(name, tuple(samples))


def test_the_nearest_voice_is_identified_with_its_runner_up(identifier: IdentificationEngine) -> None:
    voices = [voice("Mina", [1.0, 0.0]), voice("Omid", [0.0, 1.0])]
    match = identifier.identify(np.array([0.8, 0.6], np.float32), voices, "test", CALIBRATION)
    assert (match.verdict, match.name) == ("identified", "Mina")
    assert match.best is not None
    assert match.best.score == pytest.approx(0.8, abs=1e-6)
    assert match.runner_up is not None
    assert match.runner_up.name == "Omid"


def test_voices_of_another_model_are_not_compared(identifier: IdentificationEngine) -> None:
    voices = [voice("Mina", [1.0, 0.0], model="another")]
    match = identifier.identify(np.array([1.0, 0.0], np.float32), voices, "test", CALIBRATION)
    assert (match.verdict, match.best, match.name) == ("not_compared", None, None)


# ---- transcription --------------------------------------------------------------------------------------


@pytest.fixture(params=engine_names("transcribe"))
def transcriber(request: pytest.FixtureRequest, loaded_engine: Callable[..., Any]) -> TranscriptionEngine:
    return loaded_engine(TranscriptionEngine, request.param)


def assert_well_formed(transcript: Transcript, start_s: float, end_s: float) -> None:
    starts = [segment.start_s for segment in transcript.segments]
    assert starts == sorted(starts)
    for segment in transcript.segments:
        assert start_s <= segment.start_s <= segment.end_s <= end_s
        assert segment.text == segment.text.strip() != ""
        assert segment.confidence is None or 0.0 <= segment.confidence <= 1.0
        for word in segment.words:
            assert start_s <= word.start_s <= word.end_s <= end_s
            assert word.text == word.text.strip() != ""
            assert word.confidence is None or 0.0 <= word.confidence <= 1.0
    assert (transcript.language is None) == (not transcript.segments)


def test_words_and_segments_lie_within_the_recording(
    transcriber: TranscriptionEngine, some_speech: Recording
) -> None:
    listener = Listener()
    transcript = transcriber.transcribe(some_speech, progress=listener)
    assert transcript.segments
    assert_well_formed(transcript, 0.0, some_speech.duration_s)
    assert transcript.duration_s == some_speech.duration_s
    assert transcript.provenance == (transcriber.provenance,)
    listener.assert_went_to_the_end()


def test_a_stretch_keeps_the_times_of_the_recording(
    transcriber: TranscriptionEngine, some_speech: Recording
) -> None:
    transcript = transcriber.transcribe(some_speech, 1.0, 3.5)
    assert transcript.segments
    assert_well_formed(transcript, 1.0, 3.5)
    assert transcript.duration_s == some_speech.duration_s


def test_the_same_sound_gives_the_same_words_again(
    transcriber: TranscriptionEngine, some_speech: Recording
) -> None:
    options = TranscribeOptions(temperature=0.0)
    first = transcriber.transcribe(some_speech, 2.0, 4.0, options)
    transcriber.transcribe(some_speech, 0.0, 1.5, options)
    assert transcriber.transcribe(some_speech, 2.0, 4.0, options) == first


@pytest.mark.parametrize("duration_s", [0.0, 0.05, 2.0])
def test_silence_of_any_length_can_be_transcribed(
    transcriber: TranscriptionEngine, duration_s: float, has_real_weights: Callable[..., bool]
) -> None:
    transcript = transcriber.transcribe(silence(duration_s))
    assert_well_formed(transcript, 0.0, duration_s)
    assert transcript.segments == () or not has_real_weights(transcriber)


def test_an_empty_stretch_holds_no_words(transcriber: TranscriptionEngine, some_speech: Recording) -> None:
    assert transcriber.transcribe(some_speech, 3.0, 3.0).segments == ()
    assert transcriber.transcribe(some_speech, 99.0, 100.0).segments == ()


def test_a_language_it_does_not_know_is_refused(
    transcriber: TranscriptionEngine, some_speech: Recording
) -> None:
    if transcriber.languages is None:
        pytest.skip("its model decides")
    with pytest.raises(LanguageUnsupported):
        transcriber.transcribe(some_speech, options=TranscribeOptions(language="qq"))


def test_translation_is_refused_by_those_who_cannot(
    transcriber: TranscriptionEngine, some_speech: Recording
) -> None:
    if transcriber.can_translate:
        pytest.skip("can translate")
    with pytest.raises(OptionInvalid):
        transcriber.transcribe(some_speech, options=TranscribeOptions(task="translate"))


def test_transcription_stops_when_the_listener_says_so(
    transcriber: TranscriptionEngine, some_speech: Recording
) -> None:
    listener = Listener(stop_at=0.0)
    with pytest.raises(Cancelled):
        transcriber.transcribe(some_speech, progress=listener)
    assert len(listener.fractions) == 1
