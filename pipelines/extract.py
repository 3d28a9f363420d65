"""One person's voice out of a recording: which speaker it is, and where they talk.

What lives here: finding the speaker that is looked for, and the stretches to keep. What does not: keeping
them (the service `extract`), and the job (`recipes/extract.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from clearcast.audio.recording import Clip
from clearcast.engines.embed.contract import Embedding
from clearcast.engines.engine import Progress, ignore_progress, share
from clearcast.errors import OptionInvalid, SpeakerAbsent
from clearcast.services import Services
from clearcast.speech.turns import Diarization, Span
from clearcast.storage.voices import Voice
from pipelines.enrol import run_enrolment
from pipelines.identify import identify_speakers, solo_turns

# A pause in which nobody else talks is kept up to this length: breath and room make speech sound whole.
BRIDGED_PAUSE_S = 0.5
# So many turns are compared at a time, and so much of each: memory does not grow with the recording.
TURNS_AT_ONCE = 32
SCORED_TURN_S = 20.0


@dataclass(frozen=True, slots=True)
class Found:
    """A speaker to extract.

    Attributes:
        label: the diarizer's.
        shown_as: an enrolled voice's name where it is known, else the label.
        score: how like the voice looked for they are; None where nobody was looked for.
        runner_up_score: the same of the next best speaker; None where there is none.
        turn_scores: how like it each of their turns is, in order of time; where nobody was looked for, how
            like their own voice. None for turns too short to say.
    """

    label: str
    shown_as: str
    score: float | None
    runner_up_score: float | None
    turn_scores: tuple[float | None, ...]


async def voiceprint_of_voice(services: Services, voice: Voice) -> Embedding:
    """The mean direction of the voice's samples. Raises OptionInvalid when none is of the model in use."""
    made_by, _ = await services.embedder.describe()
    direction = voice.direction(made_by.model)
    if direction is None:
        raise OptionInvalid(
            f"The voice {voice.name!r} was not enrolled with the model {made_by.model!r}.",
            hint="Enrol it again, or send a reference clip.",
        )
    return direction


async def voiceprint_of_clip(services: Services, clip: Clip) -> Embedding:
    """Of all speech in the clip. Raises SpeechTooShort."""
    return (await run_enrolment(services, [clip])).sample.embedding


async def find_speaker(
    services: Services,
    clip: Clip,
    diarization: Diarization,
    voiceprint: Embedding,
    shown_as: str | None,
    progress: Progress = ignore_progress,
) -> Found:
    """The speaker of the recording who has that voice. Raises SpeakerAbsent when none is like enough."""
    _, calibration = await services.embedder.describe()
    scores = await speaker_scores(services, clip, diarization, voiceprint)
    if not scores:
        raise SpeakerAbsent("Nobody in this recording speaks long enough to be compared.")
    ranked = sorted(scores, key=lambda label: -scores[label])
    label, score = ranked[0], scores[ranked[0]]
    if score < calibration.present_score:
        raise SpeakerAbsent(
            f"That person does not speak in this recording: its most similar speaker has a score of"
            f" {score:.2f}, and {calibration.present_score:g} is needed.",
            hint="If they do, try a longer or cleaner reference, best from a similar place.",
            score=round(score, 4),
            needed=calibration.present_score,
        )
    return Found(
        label,
        label if shown_as is None else shown_as,
        score,
        scores[ranked[1]] if len(ranked) > 1 else None,
        await turn_scores(services, clip, diarization, label, voiceprint, progress),
    )


async def find_everyone(
    services: Services,
    clip: Clip,
    diarization: Diarization,
    voices: Sequence[Voice],
    progress: Progress = ignore_progress,
) -> tuple[Found, ...]:
    """Every speaker, by name where the voice is enrolled; their turns are compared with their own voice."""
    speakers = await identify_speakers(services, clip, diarization, voices)
    own = await voiceprints(services, clip, diarization, diarization.speakers)
    return tuple(
        [
            Found(
                speaker.label,
                speaker.shown_as,
                speaker.best_score if speaker.verdict == "identified" else None,
                speaker.runner_up_score if speaker.verdict == "identified" else None,
                await turn_scores(
                    services,
                    clip,
                    diarization,
                    speaker.label,
                    voiceprint,
                    share(progress, number / len(speakers), 1 / len(speakers)),
                ),
            )
            for number, (speaker, voiceprint) in enumerate(zip(speakers, own, strict=True))
        ]
    )


async def voiceprints(
    services: Services, clip: Clip, diarization: Diarization, labels: Sequence[str]
) -> tuple[Embedding | None, ...]:
    """Of the speakers, from where they talk alone; None for those who talk too little."""
    return await services.embedder.embed([_clips(clip, solo_turns(diarization, label)) for label in labels])


async def speaker_scores(
    services: Services, clip: Clip, diarization: Diarization, voiceprint: Embedding
) -> dict[str, float]:
    """How like that voice every speaker is who speaks long enough to say."""
    labels = diarization.speakers
    embeddings = await voiceprints(services, clip, diarization, labels)
    known = [(label, one) for label, one in zip(labels, embeddings, strict=True) if one is not None]
    if not known:
        return {}
    scores = await services.embedder.likeness(voiceprint, [one for _, one in known])
    return {label: score for (label, _), score in zip(known, scores, strict=True)}


async def turn_scores(
    services: Services,
    clip: Clip,
    diarization: Diarization,
    label: str,
    voiceprint: Embedding | None,
    progress: Progress = ignore_progress,
) -> tuple[float | None, ...]:
    """How like that voice each turn of a speaker is, by `SCORED_TURN_S` at most; None: too short."""
    turns = [turn.span for turn in diarization.turns if turn.speaker == label]
    if voiceprint is None:
        return (None,) * len(turns)
    embeddings: list[Embedding | None] = []
    for start in range(0, len(turns), TURNS_AT_ONCE):
        heads = [
            Span(span.start_s, min(span.end_s, span.start_s + SCORED_TURN_S))
            for span in turns[start : start + TURNS_AT_ONCE]
        ]
        embeddings += await services.embedder.embed([_clips(clip, [span]) for span in heads])
        progress(len(embeddings) / len(turns))
    known = [one for one in embeddings if one is not None]
    scores = iter(await services.embedder.likeness(voiceprint, known) if known else ())
    return tuple(None if one is None else next(scores) for one in embeddings)


def passages_of(diarization: Diarization, label: str) -> tuple[tuple[Span, ...], tuple[Span, ...]]:
    """Where a speaker talks alone, and where others talk at the same time; each sorted, and apart."""
    turns = [turn.span for turn in diarization.turns if turn.speaker == label]
    others = merged([turn.span for turn in diarization.turns if turn.speaker != label])
    kept = _bridged(merged(turns), others)
    return tuple(_minus(kept, others)), tuple(_both(kept, others))


def merged(spans: Sequence[Span]) -> list[Span]:
    """The same time as stretches that are sorted and apart."""
    found: list[Span] = []
    for span in sorted(spans):
        if found and span.start_s <= found[-1].end_s:
            found[-1] = Span(found[-1].start_s, max(found[-1].end_s, span.end_s))
        elif span.duration_s > 0.0:
            found.append(span)
    return found


def _bridged(spans: Sequence[Span], others: Sequence[Span]) -> list[Span]:
    """With the short pauses between them in which nobody else talks."""
    pauses = [Span(before.end_s, after.start_s) for before, after in pairwise(spans)]
    quiet = [
        pause for pause in pauses if pause.duration_s <= BRIDGED_PAUSE_S and not _both([pause], others)
    ]
    return merged([*spans, *quiet])


def _both(spans: Sequence[Span], others: Sequence[Span]) -> list[Span]:
    """The time that is in both; sorted spans that are apart, as they come in."""
    found: list[Span] = []
    first = 0
    for span in spans:
        while first < len(others) and others[first].end_s <= span.start_s:
            first += 1
        for other in others[first:]:
            if other.start_s >= span.end_s:
                break
            found.append(Span(max(span.start_s, other.start_s), min(span.end_s, other.end_s)))
    return [span for span in found if span.duration_s > 0.0]


def _minus(spans: Sequence[Span], others: Sequence[Span]) -> list[Span]:
    """The time in `spans` and not in `others`."""
    found: list[Span] = []
    for span in spans:
        start_s = span.start_s
        for hole in _both([span], others):
            if hole.start_s > start_s:
                found.append(Span(start_s, hole.start_s))
            start_s = hole.end_s
        if span.end_s > start_s:
            found.append(Span(start_s, span.end_s))
    return found


def _clips(clip: Clip, spans: Sequence[Span]) -> list[Clip]:
    return [replace(clip, start_s=span.start_s, end_s=span.end_s) for span in spans]
