"""Names for diarized speakers: one voiceprint per speaker, compared with the enrolled voices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from clearcast.audio.recording import Clip
from clearcast.engines.embed.contract import Embedding
from clearcast.services import Services
from clearcast.speech.meeting import SpeakerIdentity
from clearcast.speech.turns import Diarization, Span, Turn
from clearcast.storage.voices import Voice

# A minute of a voice says as much about it as an hour; more only costs time.
MOST_SPEECH_S = 60.0


async def identify_speakers(
    services: Services, clip: Clip, diarization: Diarization, voices: Sequence[Voice]
) -> tuple[SpeakerIdentity, ...]:
    """Who each diarized speaker is, in order of first appearance.

    Where several people talk at once nothing is taken for a voiceprint. With no voices enrolled, or too
    little speech, the verdict says so.
    """
    labels = diarization.speakers
    speech_s = {
        label: sum(turn.duration_s for turn in diarization.turns if turn.speaker == label)
        for label in labels
    }
    if not voices:
        return tuple(SpeakerIdentity(label, speech_s[label], "not_compared") for label in labels)
    solo = [solo_turns(diarization, label) for label in labels]
    groups = [[replace(clip, start_s=turn.start_s, end_s=turn.end_s) for turn in turns] for turns in solo]
    embeddings = await services.embedder.embed(groups)
    used_s = [sum(turn.duration_s for turn in turns) for turns in solo]
    found = [
        await _verdict(services, label, speech_s[label], heard_s, embedding, voices)
        for label, heard_s, embedding in zip(labels, used_s, embeddings, strict=True)
    ]
    return one_name_each(found)


def one_name_each(speakers: Sequence[SpeakerIdentity]) -> tuple[SpeakerIdentity, ...]:
    """Of several speakers identified as the same voice, the best score keeps the name.

    The diarizer heard them as different people, so the others are "uncertain": either it split one person
    or the second is a stranger who sounds alike (over one telephone line, most people do).
    """
    best: dict[str | None, float] = {}
    for speaker in speakers:
        if speaker.verdict == "identified" and speaker.best_score is not None:
            best[speaker.best_name] = max(speaker.best_score, best.get(speaker.best_name, -1.0))
    return tuple(
        replace(speaker, verdict="uncertain")
        if speaker.verdict == "identified" and speaker.best_score != best[speaker.best_name]
        else speaker
        for speaker in speakers
    )


async def _verdict(
    services: Services,
    label: str,
    speech_s: float,
    heard_s: float,
    embedding: Embedding | None,
    voices: Sequence[Voice],
) -> SpeakerIdentity:
    if embedding is None:
        return SpeakerIdentity(label, speech_s, "too_short")
    made_by, calibration = await services.embedder.describe()
    match = services.identifier.identify(embedding, voices, made_by.model, calibration)
    # The scores are calibrated for a minimum of speech: below it a candidate is shown, never believed.
    known = match.verdict in ("identified", "uncertain") and heard_s < calibration.min_speech_s
    return SpeakerIdentity(
        label=label,
        speech_s=speech_s,
        verdict="too_short" if known else match.verdict,
        best_name=match.best.name if match.best else None,
        best_score=match.best.score if match.best else None,
        runner_up_name=match.runner_up.name if match.runner_up else None,
        runner_up_score=match.runner_up.score if match.runner_up else None,
    )


def solo_turns(diarization: Diarization, label: str) -> tuple[Span, ...]:
    """The longest stretches in which `label` talks alone, `MOST_SPEECH_S` at most, in order of time."""
    crowded = diarization.overlaps()
    alone = [
        span for turn in diarization.turns if turn.speaker == label for span in _without(turn, crowded)
    ]
    chosen: list[Span] = []
    left_s = MOST_SPEECH_S
    for span in sorted(alone, key=lambda span: -span.duration_s):
        if left_s <= 0:
            break
        chosen.append(Span(span.start_s, min(span.end_s, span.start_s + left_s)))
        left_s -= span.duration_s
    return tuple(sorted(chosen))


def _without(turn: Turn, holes: Sequence[Span]) -> list[Span]:
    pieces: list[Span] = []
    start_s = turn.start_s
    for hole in holes:
        if hole.end_s <= start_s or hole.start_s >= turn.end_s:
            continue
        if hole.start_s > start_s:
            pieces.append(Span(start_s, hole.start_s))
        start_s = max(start_s, hole.end_s)
    if start_s < turn.end_s:
        pieces.append(Span(start_s, turn.end_s))
    return pieces
