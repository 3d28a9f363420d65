"""Our words are faster-whisper's own for the same checkpoint and sound, and no hub is ever asked."""

from __future__ import annotations

import math
import shutil
import socket
from pathlib import Path
from typing import Any

import ctranslate2
import numpy as np
import pytest

from clearcast.audio.recording import SAMPLE_RATE_HZ, FloatAudio, Recording
from clearcast.engines.engine import EngineContext, make_engine
from clearcast.engines.transcribe._whisper_models import WHISPER_LANGUAGES, whisper_spec
from clearcast.engines.transcribe.contract import TranscribeOptions, TranscriptionEngine
from clearcast.errors import (
    LanguageUnsupported,
    ModelCorrupt,
    ModelMissing,
    OptionInvalid,
    SettingsInvalid,
)
from clearcast.speech.transcript import Segment, Transcript, join_words
from clearcast.testing.checkpoints.whisper import WhisperShape, write_whisper


@pytest.fixture(scope="module")
def upstream(whisper_folder: Path) -> Any:
    from faster_whisper import WhisperModel

    return WhisperModel(str(whisper_folder), device="cpu", cpu_threads=1)


@pytest.fixture(scope="module")
def recording(conversation: FloatAudio) -> Recording:
    """Forty seconds, more than Whisper hears at once."""
    return Recording.from_array(np.concatenate([conversation, conversation])[: 40 * SAMPLE_RATE_HZ])


def whisper(folder: Path | str, context: EngineContext, **options: Any) -> TranscriptionEngine:
    settings = {"model": str(folder), "device": "cpu", "threads": 1, **options}
    return make_engine(TranscriptionEngine, "faster_whisper", settings, context)


def assert_same_words(ours: Transcript, theirs: list[Any], start_s: float, end_s: float) -> None:
    """`theirs` are upstream's segments; those past the end of the sound are not in ours."""
    theirs = [part for part in theirs if part.text.strip() and start_s + part.start < end_s]
    assert len(ours.segments) == len(theirs) > 0
    for segment, part in zip(ours.segments, theirs, strict=True):
        assert segment.text == part.text.strip()
        assert segment.start_s == pytest.approx(start_s + part.start, abs=1e-3)
        assert segment.end_s == pytest.approx(min(start_s + part.end, end_s), abs=1e-3)
        assert segment.confidence == pytest.approx(math.exp(part.avg_logprob), abs=1e-6)
        assert segment.no_speech_probability == pytest.approx(part.no_speech_prob, abs=1e-6)
        assert [word.text for word in segment.words] == [word.word.strip() for word in part.words]
        for word, spoken in zip(segment.words, part.words, strict=True):
            assert word.start_s == pytest.approx(min(start_s + spoken.start, end_s), abs=1e-3)
            assert word.end_s == pytest.approx(min(start_s + spoken.end, end_s), abs=1e-3)
            assert word.confidence == pytest.approx(spoken.probability, abs=1e-6)


CASES: dict[str, tuple[TranscribeOptions, dict[str, Any]]] = {
    "as it comes": (TranscribeOptions(), {}),
    "greedy": (TranscribeOptions(beam_size=1, temperature=0.0), {"beam_size": 1, "temperature": 0.0}),
    "all of the sound": (TranscribeOptions(voice_activity=False), {"vad_filter": False}),
    "language given": (TranscribeOptions(language="fa"), {"language": "fa"}),
    "translated": (
        TranscribeOptions(language="de", task="translate"),
        {"language": "de", "task": "translate"},
    ),
    "prompted": (
        TranscribeOptions(hotwords=("Mina", "Omid"), initial_prompt="A talk."),
        {"hotwords": "Mina, Omid", "initial_prompt": "A talk."},
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_words_equal_upstreams(
    whisper_folder: Path, no_models: EngineContext, recording: Recording, case: str
) -> None:
    from faster_whisper import WhisperModel

    options, arguments = CASES[case]
    # Where the first attempt is poor both draw at random. A model's thread takes its seed when it first
    # draws, so only new models start alike.
    ctranslate2.set_random_seed(1)
    ours = whisper(whisper_folder, no_models).transcribe(recording, options=options)
    upstream = WhisperModel(str(whisper_folder), device="cpu", cpu_threads=1)
    settings = {"vad_filter": True, **arguments}
    segments, info = upstream.transcribe(recording.read(), word_timestamps=True, **settings)
    assert_same_words(ours, list(segments), 0.0, recording.duration_s)
    assert ours.language == info.language
    detected = None if options.language else pytest.approx(info.language_probability)
    assert ours.language_confidence == detected


@pytest.mark.parametrize("voice_activity", [True, False])
def test_batched_words_equal_upstreams(
    loaded_engine: Any, upstream: Any, recording: Recording, voice_activity: bool
) -> None:
    from faster_whisper import BatchedInferencePipeline

    engine = loaded_engine(TranscriptionEngine, "faster_whisper")
    sound = Recording.from_array(recording.read(0.0, 29.0))  # longer ones upstream refuses without VAD
    options = TranscribeOptions(batched=True, voice_activity=voice_activity)
    ours = engine.transcribe(sound, options=options)
    pipeline = BatchedInferencePipeline(upstream)
    segments, _ = pipeline.transcribe(sound.read(), word_timestamps=True, vad_filter=voice_activity)
    assert_same_words(ours, list(segments), 0.0, sound.duration_s)


def test_batched_decoding_of_all_sound_works_past_thirty_seconds(
    loaded_engine: Any, recording: Recording
) -> None:
    engine = loaded_engine(TranscriptionEngine, "faster_whisper")
    options = TranscribeOptions(batched=True, voice_activity=False)
    transcript = engine.transcribe(recording, options=options)
    assert transcript.segments[-1].end_s > 30.0


def test_a_stretch_gives_upstreams_words_at_the_recordings_times(
    loaded_engine: Any, upstream: Any, recording: Recording
) -> None:
    engine = loaded_engine(TranscriptionEngine, "faster_whisper")
    ours = engine.transcribe(recording, 12.5, 24.25, TranscribeOptions(temperature=0.0))
    segments, _ = upstream.transcribe(
        recording.read(12.5, 24.25), word_timestamps=True, vad_filter=True, temperature=0.0
    )
    assert_same_words(ours, list(segments), 12.5, 24.25)


@pytest.mark.parametrize("language", ["en", "zh"])
def test_words_joined_again_are_the_text(
    no_models: EngineContext, recording: Recording, tmp_path: Path, language: str
) -> None:
    folder = write_whisper(tmp_path / "whisper", WhisperShape(languages=("en", "zh")))
    # Greedy, hence the same each time: upstream lets a word reach into the next segment where that starts
    # without a space, and random draws make such segments.
    options = TranscribeOptions(language=language, temperature=0.0)
    segments = whisper(folder, no_models).transcribe(recording, options=options).segments
    assert [join_words(segment.words) for segment in segments] == [segment.text for segment in segments]
    # Chinese has no spaces: there every token is a word of its own, some of them written without a gap.
    joined = [word for segment in segments for word in segment.words if word.joins_previous]
    assert bool(joined) == (language == "zh")


def test_long_stretches_are_decoded_by_windows_in_one_language(
    whisper_folder: Path, no_models: EngineContext, conversation: FloatAudio
) -> None:
    engine = whisper(whisper_folder, no_models, window_s=30.0)
    recording = Recording.from_array(np.concatenate([conversation] * 3))
    told: list[float] = []
    transcript = engine.transcribe(recording, progress=told.append)
    starts = [segment.start_s for segment in transcript.segments]
    assert starts == sorted(starts)
    assert starts[-1] > 60.0
    assert told[0] == 0.0
    assert told[-1] == 1.0
    first = engine.transcribe(recording, 0.0, 25.0)
    assert transcript.language == first.language


def test_the_published_languages_are_whispers_own() -> None:
    from faster_whisper.tokenizer import _LANGUAGE_CODES

    assert frozenset(_LANGUAGE_CODES) == WHISPER_LANGUAGES


def test_the_published_names_are_faster_whispers_own() -> None:
    from faster_whisper.utils import _MODELS

    assert {name: whisper_spec(name).repo for name in _MODELS} == _MODELS


def test_an_unknown_language_is_refused_with_the_known_ones(
    loaded_engine: Any, recording: Recording
) -> None:
    engine = loaded_engine(TranscriptionEngine, "faster_whisper")
    with pytest.raises(LanguageUnsupported, match="de, en, fa"):
        engine.transcribe(recording, options=TranscribeOptions(language="sv"))
    with pytest.raises(LanguageUnsupported):
        engine.check(TranscribeOptions(language="farsi"))


def test_an_english_only_model_knows_english_and_does_not_translate(
    english_whisper_folder: Path, no_models: EngineContext, recording: Recording
) -> None:
    engine = whisper(english_whisper_folder, no_models)
    transcript = engine.transcribe(recording, 0.0, 10.0)
    assert (transcript.language, transcript.language_confidence) == ("en", None)
    with pytest.raises(LanguageUnsupported):
        engine.transcribe(recording, options=TranscribeOptions(language="fa"))
    with pytest.raises(OptionInvalid):
        engine.transcribe(recording, options=TranscribeOptions(task="translate"))


def test_an_english_only_name_is_enough_to_refuse_before_loading(no_models: EngineContext) -> None:
    engine = whisper("small.en", no_models)
    with pytest.raises(LanguageUnsupported):
        engine.check(TranscribeOptions(language="fa"))
    with pytest.raises(OptionInvalid):
        engine.check(TranscribeOptions(task="translate"))


def test_a_published_name_is_read_from_the_models_folder(
    whisper_folder: Path, adopt_model: Any, recording: Recording
) -> None:
    context = adopt_model("transcribe", "faster_whisper", "whisper-large-v3-turbo", whisper_folder)
    engine = whisper("turbo", context)
    engine.load()
    assert engine.model_name == "turbo"


def test_loading_and_running_open_no_connection(
    whisper_folder: Path, no_models: EngineContext, recording: Recording, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    assert whisper(whisper_folder, no_models).transcribe(recording, 0.0, 10.0).segments


def test_a_folder_that_is_not_there_is_missing(no_models: EngineContext, tmp_path: Path) -> None:
    with pytest.raises(ModelMissing):
        whisper(tmp_path / "nowhere", no_models).load()


@pytest.mark.parametrize("name", ["tokenizer.json", "model.bin", "config.json"])
def test_a_folder_that_lacks_a_file_is_named_with_it(
    whisper_folder: Path, no_models: EngineContext, tmp_path: Path, name: str
) -> None:
    folder = Path(shutil.copytree(whisper_folder, tmp_path / "whisper"))
    (folder / name).unlink()
    with pytest.raises(ModelCorrupt, match=name):
        whisper(folder, no_models).load()


def test_damaged_weights_are_corrupt(
    whisper_folder: Path, no_models: EngineContext, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(whisper_folder, tmp_path / "whisper"))
    with (folder / "model.bin").open("r+b") as file:
        file.truncate(10_000)
    with pytest.raises(ModelCorrupt):
        whisper(folder, no_models).load()


def test_a_large_v3_without_its_preprocessor_is_corrupt(no_models: EngineContext, tmp_path: Path) -> None:
    folder = write_whisper(tmp_path / "whisper", WhisperShape(mel_bins=128))
    (folder / "preprocessor_config.json").unlink()
    with pytest.raises(ModelCorrupt, match="128 mel bins"):
        whisper(folder, no_models).load()


def test_unknown_names_are_refused_with_the_known_ones(no_models: EngineContext) -> None:
    with pytest.raises(SettingsInvalid, match="large-v3"):
        whisper("enormous", no_models).load()


def test_float16_on_a_cpu_is_refused_with_what_works(
    whisper_folder: Path, no_models: EngineContext
) -> None:
    if "float16" in ctranslate2.get_supported_compute_types("cpu"):
        pytest.skip("this CPU computes in float16")
    with pytest.raises(SettingsInvalid, match="int8"):
        whisper(whisper_folder, no_models, compute_type="float16").load()


def test_a_gpu_that_is_not_there_is_a_clear_error(whisper_folder: Path, no_models: EngineContext) -> None:
    if ctranslate2.get_cuda_device_count():
        pytest.skip("there is a GPU")
    with pytest.raises(SettingsInvalid, match="GPU"):
        whisper(whisper_folder, no_models, device="cuda").load()


@pytest.mark.parametrize("options", [{"threads": -1}, {"batch_size": 0}, {"window_s": 5.0}], ids=str)
def test_options_out_of_range_are_refused(no_models: EngineContext, options: dict[str, Any]) -> None:
    with pytest.raises(SettingsInvalid):
        whisper("small", no_models, **options)


def test_segments_do_not_outlast_the_sound(loaded_engine: Any, recording: Recording) -> None:
    engine = loaded_engine(TranscriptionEngine, "faster_whisper")
    # Random weights put time marks anywhere in the 30 s window, mostly past these seconds.
    segments: tuple[Segment, ...] = engine.transcribe(recording, 7.0, 9.0).segments
    assert all(segment.end_s <= 9.0 for segment in segments)
    assert all(word.end_s <= 9.0 for segment in segments for word in segment.words)
