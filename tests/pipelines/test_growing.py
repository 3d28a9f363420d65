"""Transcription of what still grows: pieces as soon as they are whole, cut where no word can be."""

from __future__ import annotations

from collections.abc import AsyncIterator
from itertools import pairwise

import numpy as np
import pytest

from clearcast.audio.recording import SAMPLE_RATE_HZ, FloatAudio
from clearcast.engines.voice_activity._segmenting import FRAME_SAMPLES, SpeechRules
from clearcast.engines.voice_activity.silero import SpeechFollower
from clearcast.services import Services
from clearcast.speech.turns import Span
from pipelines.growing import LONGEST_PIECE_S, PIECE_S, run_growing_transcription

RULES = SpeechRules(0.5, 0.25, 0.15, 0.03)


class LoudIsSpeech:
    """A scorer to which loud frames are speech."""

    def score(self, samples: FloatAudio) -> FloatAudio:
        frames = samples.reshape(-1, FRAME_SAMPLES)
        return (np.abs(frames).mean(axis=1) > 0.1).astype(np.float32)


async def talk(pattern: list[tuple[float, float]]) -> AsyncIterator[FloatAudio]:
    """Seconds of speech and of the pause after it, in pieces of half a second."""
    whole = np.concatenate(
        [
            np.full(round(seconds * SAMPLE_RATE_HZ), level, np.float32)
            for speech_s, pause_s in pattern
            for seconds, level in ((speech_s, 0.5), (pause_s, 0.0))
        ]
    )
    for at in range(0, len(whole), 8000):
        yield whole[at : at + 8000]


async def pieces_of(services: Services, pattern: list[tuple[float, float]]) -> list[tuple[Span, int]]:
    """Each piece, and how many samples had come by then; the pieces cover everything once."""
    follower = SpeechFollower(LoudIsSpeech(), RULES)  # type: ignore[arg-type]
    heard: list[float] = []
    when: list[int] = []

    def on_segment(_: object) -> None:
        when.append(round(heard[-1]))

    await run_growing_transcription(
        services.transcriber,
        follower,
        "file:///talk.wav",
        talk(pattern),
        on_heard=heard.append,
        on_segment=on_segment,
    )
    calls = services.transcriber.calls  # type: ignore[attr-defined]
    spans = [Span(clip.start_s, clip.end_s) for clip, _ in calls]
    assert spans[0].start_s == 0.0
    assert spans[-1].end_s == pytest.approx(sum(speech_s + pause_s for speech_s, pause_s in pattern))
    assert all(before.end_s == after.start_s for before, after in pairwise(spans))
    return [(span, when[0]) for span in spans]


async def test_pieces_end_in_the_middle_of_pauses(two_speakers: Services) -> None:
    pieces = await pieces_of(two_speakers, [(6.0, 1.0)] * 6)
    ends = [span.end_s for span, _ in pieces[:-1]]
    assert len(ends) >= 2
    assert all(abs(end_s % 7 - 6.5) < 0.1 for end_s in ends)
    assert all(span.duration_s >= PIECE_S for span, _ in pieces[:-1])
    assert pieces[0][1] < 42, "the first text is there before the last sound"


async def test_without_long_pauses_any_pause_will_do_at_last(two_speakers: Services) -> None:
    pieces = await pieces_of(two_speakers, [(5.0, 0.4)] * 16)
    assert len(pieces) == 2
    assert LONGEST_PIECE_S <= pieces[0][0].duration_s < LONGEST_PIECE_S + 6


async def test_silence_names_its_engine_too(two_speakers: Services) -> None:
    follower = SpeechFollower(LoudIsSpeech(), RULES)  # type: ignore[arg-type]
    transcript = await run_growing_transcription(
        two_speakers.transcriber, follower, "file:///talk.wav", talk([(0.0, 3.0)])
    )
    assert (transcript.text, transcript.duration_s) == ("", 3.0)
    assert transcript.provenance
