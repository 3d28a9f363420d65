"""The meeting flow: who said what, by name. Diarize → identify → transcribe → align.

What lives here: the flow as one asynchronous function over the service Protocols, and
`process_meeting_audio`, the one blocking call that earlier users know. What does not: the services.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from clearcast.audio.recording import Clip
from clearcast.audio.sandbox import prepare
from clearcast.engines.diarize.contract import DiarizeOptions
from clearcast.engines.transcribe.contract import TranscribeOptions
from clearcast.local import local_services
from clearcast.services import Services
from clearcast.settings import Settings, load_settings
from clearcast.settings_section import EngineChoice
from clearcast.speech.align import assign_speakers, rename_speakers
from clearcast.speech.legacy_shapes import LegacySegment, legacy_segments
from clearcast.speech.meeting import Meeting, SpeakerIdentity
from clearcast.speech.provenance import Provenance
from clearcast.speech.transcript import Transcript
from clearcast.speech.turns import Diarization, Span
from clearcast.storage.voices import Voice, load_voices
from pipelines.identify import identify_speakers
from pipelines.stages import StageHook, StageProgress, ignore_stages, run_stage
from pipelines.transcribe import joined_windows, transcribe_windows

UNFINISHED = "The work stopped before its end: this is what was finished."


@dataclass(frozen=True, slots=True)
class MeetingOptions:
    """`transcribe` None makes turns and names only, no text."""

    diarize: DiarizeOptions = DiarizeOptions()
    transcribe: TranscribeOptions | None = TranscribeOptions()


async def run_meeting(
    services: Services,
    clip: Clip,
    duration_s: float,
    voices: Sequence[Voice] = (),
    options: MeetingOptions = MeetingOptions(),
    progress: StageProgress = ignore_stages,
    stage: StageHook = run_stage,
) -> Meeting:
    """Turns, names and text of the recording `clip`, which is `duration_s` long.

    A recording in which nobody speaks gives an empty result and a warning, not an error.
    Raises what the services raise.
    """
    diarization = await stage(
        "diarize",
        lambda report: services.diarizer.diarize(clip, options.diarize, report),
        lambda fraction: progress("diarize", fraction),
    )
    speakers = await stage(
        "identify",
        lambda _report: identify_speakers(services, clip, diarization, voices),
        lambda fraction: progress("identify", fraction),
    )
    progress("identify", 1.0)
    names = {speaker.label: speaker.shown_as for speaker in speakers}
    named = rename_speakers(diarization, names)
    transcript = None
    if options.transcribe is not None:
        transcript = await transcribe_windows(
            services, clip, duration_s, utterances(diarization), options.transcribe, progress, stage
        )
        transcript = assign_speakers(transcript, named.turns)
        makers = await _makers(services, diarization, speakers)
        transcript = replace(transcript, provenance=(*makers, *transcript.provenance))
    return Meeting(named, speakers, transcript, _warnings(diarization))


def unfinished_meeting(
    diarization: Diarization, speakers: tuple[SpeakerIdentity, ...], windows: Sequence[Transcript]
) -> Meeting:
    """What there is of a meeting whose flow stopped: turns, names if found, text as far as it went."""
    names = {speaker.label: speaker.shown_as for speaker in speakers}
    named = rename_speakers(diarization, names)
    transcript = None
    if windows:
        transcript = assign_speakers(joined_windows(windows, diarization.duration_s), named.turns)
        makers = (diarization.provenance, *transcript.provenance)
        transcript = replace(transcript, provenance=makers)
    return Meeting(named, speakers, transcript, (UNFINISHED, *_warnings(diarization)))


async def _makers(
    services: Services, diarization: Diarization, speakers: Sequence[SpeakerIdentity]
) -> tuple[Provenance, ...]:
    if all(speaker.verdict == "not_compared" for speaker in speakers):
        return (diarization.provenance,)
    made_by, _ = await services.embedder.describe()
    return (diarization.provenance, made_by, services.identifier.provenance)


def _warnings(diarization: Diarization) -> tuple[str, ...]:
    return () if diarization.turns else ("Nobody speaks in this recording.",)


def utterances(diarization: Diarization) -> tuple[Span, ...]:
    """The turns as sorted spans that do not overlap: where two speak at once, the first keeps the floor."""
    spans: list[Span] = []
    floor_s = 0.0
    for turn in sorted(diarization.turns):
        start_s = max(turn.start_s, floor_s)
        if turn.end_s > start_s:
            spans.append(Span(start_s, turn.end_s))
            floor_s = turn.end_s
    return tuple(spans)


def process_meeting_audio(
    meeting_audio_path: str | Path,
    voice_embeddings_database_path: str | Path | None,
    expected_language: str | None = "fa",
    output_transcriptions: bool = True,
    transcriptor_model_path: str | Path | None = None,
    *,
    settings: Settings | None = None,
) -> list[LegacySegment]:
    """Who said what in a recording, in one blocking call and one process.

    Args:
        meeting_audio_path: any audio or video file.
        voice_embeddings_database_path: JSON file of enrolled voices (ours, or name → embedding(s)); None
            leaves speakers unnamed.
        expected_language: ISO 639-1 code, or None to detect it.
        output_transcriptions: False gives turns and names with empty text.
        transcriptor_model_path: CTranslate2 Whisper directory, or a Whisper model's name; None takes the
            profile's transcription engine.
        settings: None reads the profile as `load_settings` does.

    Returns:
        `[{"start": 0.0, "end": 20.5, "speaker": "…", "text": "…"}, …]`, seconds.

    Raises:
        ClearCastError: see `clearcast/errors.py`; nothing falls back to a weaker engine silently.
    """
    settings = settings or load_settings()
    if transcriptor_model_path is not None:
        settings = with_whisper(settings, str(transcriptor_model_path))
    voices: Sequence[Voice] = ()
    if voice_embeddings_database_path is not None:
        voices = load_voices(Path(voice_embeddings_database_path)).voices
    text = TranscribeOptions(language=expected_language) if output_transcriptions else None
    options = MeetingOptions(transcribe=text)

    async def run() -> Meeting:
        with tempfile.TemporaryDirectory(prefix="clearcast-") as folder:
            prepared = await prepare(Path(meeting_audio_path), Path(folder) / "audio.wav", settings.audio)
            clip = Clip(prepared.path.resolve().as_uri())
            services = local_services(settings)
            return await run_meeting(services, clip, prepared.duration_s, voices, options)

    return legacy_segments(asyncio.run(run()))


def with_whisper(settings: Settings, model: str) -> Settings:
    """The same settings with faster-whisper and this model as the transcription engine."""
    options = settings.engines.transcribe.options
    kept = options if settings.engines.transcribe.engine == "faster_whisper" else {}
    choice = EngineChoice(engine="faster_whisper", options={**kept, "model": model})
    engines = settings.engines.model_copy(update={"transcribe": choice})
    return settings.model_copy(update={"engines": engines})
