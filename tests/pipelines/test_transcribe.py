"""Transcription of long recordings: windows, languages, progress."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest

from clearcast.audio.recording import Clip
from clearcast.engines.transcribe.contract import TranscribeOptions
from clearcast.services import Services
from clearcast.speech.turns import Span
from pipelines.transcribe import WINDOW_MAX_S, run_transcription

CLIP = Clip("file:///talk.wav")
HOUR_S = 3600.0
# Talk with a pause of a second every twenty.
TALK = tuple(Span(start, start + 19.0) for start in range(0, 3600, 20))


@pytest.fixture
def hour(two_speakers: Services) -> Services:
    finder = replace(two_speakers.speech_finder, speech=TALK)  # type: ignore[type-var]
    return replace(two_speakers, speech_finder=finder)


async def test_an_hour_is_read_in_windows_that_do_not_cut_talk(hour: Services) -> None:
    transcript = await run_transcription(hour, CLIP, HOUR_S)
    calls = hour.transcriber.calls  # type: ignore[attr-defined]
    spans = [Span(clip.start_s, clip.end_s) for clip, _ in calls]
    assert len(spans) >= HOUR_S / WINDOW_MAX_S
    assert spans[0].start_s == 0.0
    assert spans[-1].end_s == HOUR_S
    assert all(before.end_s == after.start_s for before, after in pairwise(spans))
    assert not any(talk.start_s < span.end_s < talk.end_s for span in spans for talk in TALK)
    words = [word.text for segment in transcript.segments for word in segment.words]
    assert words == [f"w{second}" for second in range(3600) if second % 20 < 19]


async def test_each_window_is_told_where_its_speech_lies(hour: Services) -> None:
    await run_transcription(hour, CLIP, HOUR_S)
    for clip, options in hour.transcriber.calls:  # type: ignore[attr-defined]
        assert options.speech
        assert all(clip.start_s <= span.start_s and span.end_s <= clip.end_s for span in options.speech)


async def test_the_language_found_first_is_kept(hour: Services) -> None:
    transcript = await run_transcription(hour, CLIP, HOUR_S)
    languages = [options.language for _, options in hour.transcriber.calls]  # type: ignore[attr-defined]
    assert languages[0] is None
    assert set(languages[1:]) == {"en"}
    assert (transcript.language, transcript.language_confidence) == ("en", 0.9)


async def test_progress_rises_to_one(hour: Services) -> None:
    seen: list[float] = []
    await run_transcription(
        hour,
        CLIP,
        HOUR_S,
        TranscribeOptions(speech=TALK),
        progress=lambda _stage, fraction: seen.append(fraction),
    )
    assert seen == sorted(seen)
    assert seen[-1] == 1.0
    assert len(seen) > 5


async def test_windows_without_speech_are_left_out(hour: Services) -> None:
    late = (Span(3000.0, 3100.0),)
    await run_transcription(hour, CLIP, HOUR_S, TranscribeOptions(speech=late))
    ((clip, _),) = hour.transcriber.calls  # type: ignore[attr-defined]
    assert clip.start_s <= 3000.0
    assert clip.end_s >= 3100.0


async def test_an_empty_transcript_still_names_its_engine(hour: Services) -> None:
    transcript = await run_transcription(hour, CLIP, HOUR_S, TranscribeOptions(speech=()))
    assert transcript.text == ""
    assert [made_by.engine for made_by in transcript.provenance] == ["script"]
