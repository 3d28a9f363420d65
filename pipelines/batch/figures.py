"""Key figures: the few numbers of a result that a table of many files has columns for."""

from __future__ import annotations

from collections.abc import Mapping

from clearcast.speech.extraction import Extracted
from clearcast.speech.keywords import Keywords
from clearcast.speech.meeting import Meeting
from clearcast.speech.provenance import Provenance
from clearcast.speech.transcript import Transcript
from clearcast.speech.turns import Diarization
from pipelines.batch.record import Figure
from pipelines.recipe import KeptSound, RecipeResult


def figures_of(results: Mapping[str, RecipeResult]) -> dict[str, Figure]:
    """The figures of all results; those of a sound begin with its name."""
    figures: dict[str, Figure] = {}
    for name, result in results.items():
        if isinstance(result, KeptSound):
            card = {f"{name}.{figure}": value for figure, value in result.score.items()}
            figures |= {figure: value for figure, value in card.items() if value is not None}
        elif isinstance(result, Meeting):
            figures |= _of_turns(result.diarization)
            names = (speaker.shown_as for speaker in result.speakers if speaker.verdict == "identified")
            figures["names"] = ", ".join(names)
            figures |= {} if result.transcript is None else _of_words(result.transcript)
        elif isinstance(result, Diarization):
            figures |= _of_turns(result)
        elif isinstance(result, Transcript):
            figures |= _of_words(result)
        elif isinstance(result, Keywords):
            figures["keywords"] = len(result.words)
        elif isinstance(result, Extracted):
            figures["extracted"] = ", ".join(timeline.speaker for timeline in result.timelines)
    return figures


def makers_of(results: Mapping[str, RecipeResult]) -> tuple[Provenance, ...]:
    """Every engine that took part, each once."""
    makers: dict[Provenance, None] = {}
    for result in results.values():
        makers |= dict.fromkeys(_makers_of(result))
    return tuple(makers)


def _makers_of(result: RecipeResult) -> tuple[Provenance, ...]:
    if isinstance(result, Meeting):
        words = () if result.transcript is None else result.transcript.provenance
        return (result.diarization.provenance, *words)
    return (result.provenance,) if isinstance(result, Diarization | Keywords) else result.provenance


def _of_turns(diarization: Diarization) -> dict[str, Figure]:
    return {
        "speakers": len(diarization.speakers),
        "turns": len(diarization.turns),
        "speech_s": round(sum(turn.duration_s for turn in diarization.turns), 3),
    }


def _of_words(transcript: Transcript) -> dict[str, Figure]:
    return {
        "language": transcript.language,
        "words": sum(len(segment.text.split()) for segment in transcript.segments),
    }
