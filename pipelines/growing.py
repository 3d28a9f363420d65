"""Transcription of a recording that still grows: the same text as of the whole, while it comes.

What lives here: which stretch is transcribed when. What does not: where the sound comes from, and the
services.

The recording is cut in the middle of pauses that are longer than any a recogniser hears words across, so
the cuts change nothing for one that works utterance by utterance.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, Callable, Sequence
from dataclasses import replace
from typing import Protocol

from clearcast.audio.recording import SAMPLE_RATE_HZ, Clip, FloatAudio
from clearcast.engines.transcribe.contract import TranscribeOptions
from clearcast.services import Transcriber
from clearcast.speech.transcript import Segment, Transcript
from clearcast.speech.turns import Span
from pipelines.transcribe import joined_windows

PIECE_S = 10.0  # long enough for some context, short enough that text comes soon
LONGEST_PIECE_S = 60.0  # from here on any pause will do
_PAUSE_S = 0.5


class SpeechFollower(Protocol):
    """`clearcast.engines.voice_activity.silero.SpeechFollower`."""

    def push(self, samples: FloatAudio) -> list[Span]: ...

    def finish(self) -> list[Span]: ...


async def run_growing_transcription(
    transcriber: Transcriber,
    follower: SpeechFollower,
    recording_uri: str,
    sound: AsyncIterable[FloatAudio],
    options: TranscribeOptions = TranscribeOptions(),
    on_heard: Callable[[float], None] = lambda _: None,
    on_segment: Callable[[Segment], None] = lambda _: None,
) -> Transcript:
    """What is said in a working copy that `sound` tells the new samples of (float32, 16 kHz).

    `on_heard` is told how many seconds there are, `on_segment` each segment as soon as it is known; both on
    the event loop. Raises LanguageUnsupported, OptionInvalid, ModelMissing and the service errors.
    """
    parts: list[Transcript] = []
    language = options.language

    async def transcribe(piece: Span, speech: Sequence[Span]) -> None:
        nonlocal language
        clip = Clip(recording_uri, piece.start_s, piece.end_s)
        settings = replace(options, language=language, speech=tuple(speech))
        parts.append(await transcriber.transcribe(clip, settings))
        language = language or parts[-1].language
        for segment in parts[-1].segments:
            on_segment(segment)

    num_samples = 0
    start_s = 0.0
    waiting: list[Span] = []
    async for samples in sound:
        num_samples += len(samples)
        on_heard(num_samples / SAMPLE_RATE_HZ)
        waiting += await asyncio.to_thread(follower.push, samples)
        while (cut := _cut(waiting, start_s)) is not None:
            end_s = (waiting[cut - 1].end_s + waiting[cut].start_s) / 2
            await transcribe(Span(start_s, end_s), waiting[:cut])
            start_s, waiting = end_s, waiting[cut:]
    waiting += await asyncio.to_thread(follower.finish)
    duration_s = num_samples / SAMPLE_RATE_HZ
    if waiting or not parts:  # also where nobody speaks, so that an empty transcript still names its engine
        await transcribe(Span(start_s, duration_s), waiting)
    return joined_windows(parts, duration_s)


def _cut(speech: Sequence[Span], start_s: float) -> int | None:
    """How many of these spans make a piece that may be transcribed now; None while they are too few."""
    for index in range(1, len(speech)):
        length_s = speech[index - 1].end_s - start_s
        pause_s = speech[index].start_s - speech[index - 1].end_s
        if (length_s >= PIECE_S and pause_s > _PAUSE_S) or length_s >= LONGEST_PIECE_S:
            return index
    return None
