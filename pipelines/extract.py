"""One person's voice out of a recording: which speaker it is, and where they talk.

What lives here: finding the speaker that is looked for, and the stretches to keep. What does not: keeping
them (the service `extract`), and the job (`recipes/extract.py`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from clearcast.audio.recording import Clip
from clearcast.engines.embed.contract import Embedding
from clearcast.engines.engine import Progress, ignore_progress
from clearcast.errors import OptionInvalid, SpeakerAbsent
from clearcast.services import Services
from clearcast.speech.turns import Diarization, Span
from clearcast.storage.voices import Voice
from pipelines.enrol import run_enrolment
from pipelines.identify import MOST_SPEECH_S, identify_speakers, solo_turns
from pipelines.stages import share

# A pause in which nobody else talks is kept up to this length: breath and room make speech sound whole.
BRIDGED_PAUSE_S = 0.5

# Turns are compared in calls of so much speech: others get their turn in between, and progress is told.
CALL_SPEECH_S = 300.0


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
    samples = [sample.embedding for sample in voice.samples if sample.model == made_by.model]
    if not samples:
        raise OptionInvalid(
            f"The voice {voice.name!r} was not enrolled with the model {made_by.model!r}.",
            hint="Enrol it again, or send a reference clip.",
        )
    mean = np.mean(samples, axis=0)
    return np.asarray(mean / max(float(np.linalg.norm(mean)), 1e-9), np.float32)


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
    """How like that voice each turn of a speaker is, by its first minute; None where it is too short."""
    turns = [turn.span for turn in diarization.turns if turn.speaker == label]
    if voiceprint is None:
        return (None,) * len(turns)
    scores: list[float | None] = []
    for spans in _calls(turns):
        embeddings = await services.embedder.embed([_clips(clip, [span]) for span in spans])
        known = [one for one in embeddings if one is not None]
        found = iter(await services.embedder.likeness(voiceprint, known) if known else ())
        scores += [None if one is None else next(found) for one in embeddings]
        progress(len(scores) / len(turns))
    return tuple(scores)


def _calls(turns: Sequence[Span]) -> Iterator[list[Span]]:
    """The beginnings of the turns, together `CALL_SPEECH_S` at most."""
    call: list[Span] = []
    speech_s = 0.0
    for turn in turns:
        heard = Span(turn.start_s, min(turn.end_s, turn.start_s + MOST_SPEECH_S))
        if call and speech_s + heard.duration_s > CALL_SPEECH_S:
            yield call
            call, speech_s = [], 0.0
        call.append(heard)
        speech_s += heard.duration_s
    if call:
        yield call


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
