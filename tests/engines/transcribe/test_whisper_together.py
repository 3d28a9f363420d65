"""Live stretches that meet at one Whisper are one batch, and say what each says alone."""

from __future__ import annotations

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import soundfile

from clearcast.audio.recording import SAMPLE_RATE_HZ, Clip, FloatAudio, Recording
from clearcast.engines.engine import EngineContext, make_engine
from clearcast.engines.transcribe.contract import TranscribeOptions, TranscriptionEngine
from clearcast.errors import SettingsInvalid
from clearcast.local import LocalTranscriber
from clearcast.speech.transcript import Transcript
from streaming.live_text.desk import RecognitionDesk

WITHIN_S = 60.0
LANGUAGES = ("en", "en", None, "de", None, "en", "fa", "en")
"""Of eight who speak at the same time; some let the model find out."""


def whisper(folder: Path, context: EngineContext, live_batch_size: int) -> TranscriptionEngine:
    options = {
        "model": str(folder),
        "device": "cpu",
        "threads": 1,
        "compute_type": "float32",
        "live_batch_size": live_batch_size,
    }
    engine = make_engine(TranscriptionEngine, "faster_whisper", options, context)
    engine.load()
    return engine


def options_for(language: str | None) -> TranscribeOptions:
    # Without the draws at random that follow poor text.
    return TranscribeOptions(
        language=language, beam_size=1, temperature=0.0, voice_activity=False, is_live=True
    )


@pytest.fixture
def utterances(conversation: FloatAudio) -> list[Recording]:
    """Eight, of two to five seconds."""
    starts = [3 * number * SAMPLE_RATE_HZ for number in range(8)]
    lengths = [round((2 + 0.4 * number) * SAMPLE_RATE_HZ) for number in range(8)]
    return [
        Recording.from_array(conversation[at : at + length])
        for at, length in zip(starts, lengths, strict=True)
    ]


def clip_of(recording: Recording, path: Path) -> Clip:
    soundfile.write(path, recording.read(), SAMPLE_RATE_HZ, subtype="PCM_16")
    return Clip(path.as_uri())


class Slow:
    """CTranslate2's model, whose first step waits until seven others do. Attributes:
    batches: the sizes of its steps, by name.
    """

    def __init__(self, whisper: Any, together: Any) -> None:
        self.batches: list[tuple[str, int]] = []
        self._whisper, self._gathering = whisper, together._gathering

    def __getattr__(self, name: str) -> Any:
        step = getattr(self._whisper, name)
        if name not in {"encode", "detect_language", "generate", "align"}:
            return step

        def noted(features: Any, *rest: Any, **options: Any) -> Any:
            is_first = not self.batches
            self.batches.append((name, features.shape[0]))
            until_s = time.monotonic() + WITHIN_S
            while is_first and self._gathering.waiting < 7:
                assert time.monotonic() < until_s
                time.sleep(0.001)
            return step(features, *rest, **options)

        return noted


def assert_alike(one: Transcript, other: Transcript) -> None:
    """The same words at the same times in the same language; probabilities but for rounding."""
    assert (one.text, one.language) == (other.text, other.language)
    words, others = ([word for part in each.segments for word in part.words] for each in (one, other))
    assert [(word.text, word.start_s, word.end_s) for word in words] == [
        (word.text, word.start_s, word.end_s) for word in others
    ]
    assert [word.confidence for word in words] == pytest.approx(
        [word.confidence for word in others], abs=1e-4
    )


async def test_what_eight_sockets_say_at_once_is_batches_with_the_words_of_each_alone(
    whisper_folder: Path, no_models: EngineContext, utterances: list[Recording], tmp_path: Path
) -> None:
    alone = whisper(whisper_folder, no_models, 1)
    expected = [
        alone.transcribe(one, options=options_for(language))
        for one, language in zip(utterances, LANGUAGES, strict=True)
    ]
    assert all(one.text for one in expected)
    engine: Any = whisper(whisper_folder, no_models, 8)
    together = engine._model.model
    slow = together._whisper = Slow(together._whisper, together)
    desk = RecognitionDesk(LocalTranscriber(engine), at_once=8)
    clips = [clip_of(one, tmp_path / f"{number}.wav") for number, one in enumerate(utterances)]
    async with asyncio.timeout(WITHIN_S):
        told = await asyncio.gather(
            *(
                desk.must(clip, options_for(language))
                for clip, language in zip(clips, LANGUAGES, strict=True)
            )
        )
    for one, other in zip(told, expected, strict=True):
        assert_alike(one, other)
    assert slow.batches[:2] == [("encode", 1), ("encode", 7)]


def test_one_alone_waits_for_nobody(
    whisper_folder: Path, no_models: EngineContext, utterances: list[Recording]
) -> None:
    engine: Any = whisper(whisper_folder, no_models, 8)
    expected = whisper(whisper_folder, no_models, 1).transcribe(utterances[0], options=options_for("en"))
    assert engine.transcribe(utterances[0], options=options_for("en")) == expected


def test_upstreams_batched_mode_is_as_it_was(
    whisper_folder: Path, no_models: EngineContext, conversation: FloatAudio
) -> None:
    recording = Recording.from_array(conversation)
    options = TranscribeOptions(batched=True, temperature=0.0)
    one, other = (whisper(whisper_folder, no_models, most) for most in (1, 8))
    assert other.transcribe(recording, options=options) == one.transcribe(recording, options=options)


def test_a_batch_of_none_is_refused(whisper_folder: Path, no_models: EngineContext) -> None:
    with pytest.raises(SettingsInvalid, match="live_batch_size"):
        whisper(whisper_folder, no_models, 0)


def test_as_many_live_calls_work_at_once_as_are_decoded_together(
    whisper_folder: Path, no_models: EngineContext
) -> None:
    turns = LocalTranscriber(whisper(whisper_folder, no_models, 3))._turns
    inside = threading.Barrier(3)

    def work() -> None:
        with turns.taken(is_urgent=True):
            inside.wait(WITHIN_S)

    with ThreadPoolExecutor(6) as threads:
        for work_done in [threads.submit(work) for _ in range(6)]:
            work_done.result(2 * WITHIN_S)
