"""Transcription of a whole recording: cut into windows at silences, window by window, joined.

Windows keep memory flat and give smooth progress; each is a stage of its own, so that a long recording can
go on after its last finished window.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from clearcast.audio.recording import Clip
from clearcast.engines.engine import share
from clearcast.engines.transcribe.contract import TranscribeOptions
from clearcast.services import Services
from clearcast.speech.transcript import Transcript
from clearcast.speech.turns import Span
from clearcast.speech.windows import plan_windows
from pipelines.stages import (
    Piece,
    StageHook,
    StageProgress,
    ignore_stages,
    run_pieces,
    run_stage,
)

WINDOW_TARGET_S = 300.0
WINDOW_MAX_S = 600.0


async def run_transcription(
    services: Services,
    clip: Clip,
    duration_s: float,
    options: TranscribeOptions = TranscribeOptions(),
    progress: StageProgress = ignore_stages,
    stage: StageHook = run_stage,
) -> Transcript:
    """What is said in the recording `clip`, which is `duration_s` long.

    Raises LanguageUnsupported, OptionInvalid, ModelMissing and the service errors.
    """

    def on_listen(fraction: float) -> None:
        progress("listen", fraction)

    speech = options.speech
    if speech is None:
        speech = await stage(
            "listen", lambda report: services.speech_finder.find_speech(clip, report), on_listen
        )
    return await transcribe_windows(services, clip, duration_s, speech, options, progress, stage)


async def transcribe_windows(
    services: Services,
    clip: Clip,
    duration_s: float,
    speech: Sequence[Span],
    options: TranscribeOptions,
    progress: StageProgress,
    stage: StageHook,
) -> Transcript:
    """Transcribe window by window; `speech` tells where windows may be cut and utterances lie.

    The language found in the first window that has one is used for the rest, which do not depend on each
    other.
    """

    def on_progress(fraction: float) -> None:
        progress("transcribe", fraction)

    windows = _windows(speech, duration_s, options)

    def piece_of(index: int, language: str | None) -> Piece[Transcript]:
        window = windows[index]
        heard = tuple(span for span in speech if span.overlap_s(window) > 0)
        piece = replace(clip, start_s=window.start_s, end_s=window.end_s)
        settings = replace(options, language=language, speech=heard)
        return Piece(
            f"transcribe/{index}",
            partial(services.transcriber.transcribe, piece, settings),
            share(on_progress, window.start_s / duration_s, window.duration_s / duration_s),
        )

    parts: list[Transcript] = []
    language = options.language
    while language is None and len(parts) < len(windows):
        first = piece_of(len(parts), None)
        parts.append(await stage(first.name, first.work, first.progress))
        language = parts[-1].language
    rest = [piece_of(index, language) for index in range(len(parts), len(windows))]
    parts += await run_pieces(stage, rest)
    on_progress(1.0)
    return joined_windows(parts, duration_s)


def _windows(speech: Sequence[Span], duration_s: float, options: TranscribeOptions) -> tuple[Span, ...]:
    windows = plan_windows(speech, duration_s, WINDOW_TARGET_S, WINDOW_MAX_S)
    if not options.voice_activity:
        return windows
    # A window in which nobody speaks gives at best nothing, at worst invented words. The first is kept in
    # any case, so that an empty transcript still names its engine.
    return tuple(one for one in windows if any(one.overlap_s(span) for span in speech)) or windows[:1]


def joined_windows(parts: Sequence[Transcript], duration_s: float) -> Transcript:
    """The transcript of a recording from those of its windows, in order."""
    detected = next((part for part in parts if part.language is not None), None)
    return Transcript(
        segments=tuple(segment for part in parts for segment in part.segments),
        language=detected.language if detected else None,
        language_confidence=detected.language_confidence if detected else None,
        duration_s=duration_s,
        provenance=tuple(dict.fromkeys(made_by for part in parts for made_by in part.provenance)),
    )
