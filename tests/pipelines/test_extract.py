"""Whose voice is extracted, and which stretches are kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from clearcast.audio.recording import Clip
from clearcast.engines.embed.contract import Embedding
from clearcast.engines.engine import Progress
from clearcast.engines.extract.contract import Extraction, ExtractOrder
from clearcast.errors import OptionInvalid, SpeakerAbsent, SpeechTooShort
from clearcast.services import Services
from clearcast.speech.extraction import Extracted
from clearcast.speech.extraction_file import read_extracted, write_extracted
from clearcast.speech.provenance import Provenance
from clearcast.speech.turns import Diarization, Span, Turn
from clearcast.storage.voices import Voice, VoiceSample
from clearcast.testing.media import write_tone_wav
from pipelines import extract as flow
from pipelines.recipe import KeptSound, Source
from pipelines.recipes.extract import ExtractJobOptions, ExtractRecipe
from pipelines.stages import ignore_stages, run_stage
from tests.pipelines.conftest import ScriptedDiarizer, ScriptedEmbedder

CLIP = Clip("file:///talk.wav")
MADE_BY = Provenance("diarize", "script", "script")
A, B = "SPEAKER_00", "SPEAKER_01"


def talk(*turns: tuple[float, float, str]) -> Diarization:
    return Diarization(tuple(Turn(*turn) for turn in sorted(turns)), 100.0, MADE_BY)


def spans(*times: tuple[float, float]) -> tuple[Span, ...]:
    return tuple(Span(*time) for time in times)


def test_turns_are_kept_with_their_short_pauses() -> None:
    alone, crowded = flow.passages_of(talk((1, 2, A), (2.4, 3, A), (4, 5, A)), A)
    assert alone == spans((1, 3), (4, 5))
    assert crowded == ()


def test_a_pause_in_which_somebody_else_talks_is_not_kept() -> None:
    alone, crowded = flow.passages_of(talk((1, 2, A), (2.1, 2.3, B), (2.4, 3, A)), A)
    assert (alone, crowded) == (spans((1, 2), (2.4, 3)), ())


def test_where_others_talk_too_it_is_crowded() -> None:
    talked = talk((1, 5, A), (2, 3, B), (4.5, 6, "SPEAKER_02"))
    alone, crowded = flow.passages_of(talked, A)
    assert alone == spans((1, 2), (3, 4.5))
    assert crowded == spans((2, 3), (4.5, 5))


_times = st.tuples(st.integers(0, 200), st.integers(1, 40), st.sampled_from([A, B, "SPEAKER_02"]))


@given(st.lists(_times, max_size=12))
def test_every_turn_is_kept_once_and_nothing_of_the_others_is_called_alone(
    drawn: list[tuple[int, int, str]],
) -> None:
    talked = talk(*((start / 10, (start + length) / 10, who) for start, length, who in drawn))
    alone, crowded = flow.passages_of(talked, A)
    kept = sorted((*alone, *crowded))
    assert all(before.end_s <= after.start_s for before, after in pairwise(kept))

    def inside(time_s: float, among: list[Span]) -> bool:
        return any(span.start_s <= time_s < span.end_s for span in among)

    for step in range(1, 480, 2):  # between the edges
        time_s = step / 20
        mine = inside(time_s, [turn.span for turn in talked.turns if turn.speaker == A])
        theirs = inside(time_s, [turn.span for turn in talked.turns if turn.speaker != A])
        assert inside(time_s, list(crowded)) == (mine and theirs)
        assert not (inside(time_s, list(alone)) and theirs)
        if mine and not theirs:
            assert inside(time_s, list(alone))


async def test_the_speaker_with_that_voice_is_found(two_speakers: Services) -> None:
    diarization = talk((0, 4, A), (4, 8, B))
    found = await flow.find_speaker(
        two_speakers, CLIP, diarization, np.array([0.1, 0.99], np.float32), "Berta"
    )
    assert (found.label, found.shown_as) == (B, "Berta")
    assert found.score == pytest.approx(0.99)
    assert found.runner_up_score == pytest.approx(0.1)
    assert found.turn_scores == (pytest.approx(0.99),)


async def test_hours_of_one_voice_are_compared_in_bounded_calls(two_speakers: Services) -> None:
    calls: list[float] = []
    embedder = two_speakers.embedder

    class Counting(ScriptedEmbedder):
        async def embed(self, voices: Sequence[Sequence[Clip]]) -> tuple[Embedding | None, ...]:
            calls.append(sum((clip.end_s or 0.0) - clip.start_s for group in voices for clip in group))
            return tuple(np.array([1.0, 0.0], np.float32) for _ in voices)

    assert isinstance(embedder, ScriptedEmbedder)
    services = replace(two_speakers, embedder=Counting(embedder.voices, embedder.speech))
    turns = [(start, start + 9.5, A) for start in range(0, 7200, 10)]
    told: list[float] = []
    mine = np.array([1.0, 0.0], np.float32)
    scores = await flow.turn_scores(services, CLIP, talk(*turns, (7300, 9000, A)), A, mine, told.append)
    assert scores == (pytest.approx(1.0),) * 721
    assert max(calls) <= flow.TURNS_AT_ONCE * flow.SCORED_TURN_S
    assert told == sorted(told) and told[-1] == 1.0


async def test_somebody_else_is_never_given_instead(two_speakers: Services) -> None:
    stranger = np.array([-0.7, 0.5], np.float32)
    with pytest.raises(SpeakerAbsent) as caught:
        await flow.find_speaker(two_speakers, CLIP, talk((0, 4, A), (4, 8, B)), stranger, None)
    assert "0.50" in caught.value.message
    assert caught.value.fields["needed"] == 0.6


async def test_a_voice_of_another_model_is_told(two_speakers: Services) -> None:
    voice = Voice("Anna", (VoiceSample(np.array([1.0, 0.0], np.float32), "other"),))
    with pytest.raises(OptionInvalid, match="script-voices"):
        await flow.voiceprint_of_voice(two_speakers, voice)


@pytest.mark.parametrize(
    "options",
    [{}, {"voice": "Anna", "everyone": True}, {"voice": "Anna", "reference_file_id": "file_1"}],
)
def test_exactly_one_wish_is_taken(options: dict[str, object]) -> None:
    with pytest.raises((OptionInvalid, ValidationError), match="Whose voice"):
        ExtractJobOptions.model_validate(options)


def source_in(folder: Path, reference_s: float = 5.0) -> Source:
    path = write_tone_wav(folder / "sound.wav", 10.0)

    async def reference(_file: str) -> Clip:
        return Clip("file:///reference.wav", 0.0, reference_s)

    async def no_voices(_names: object) -> tuple[Voice, ...]:
        return ()

    async def listen(_sound: Path) -> Clip:
        raise AssertionError("only chains listen")

    return Source(CLIP, path, 10.0, no_voices, reference, listen, lambda name: folder / f"{name}.rf64")


async def test_a_job_gives_the_sound_and_its_timeline(two_speakers: Services, tmp_path: Path) -> None:
    options = ExtractJobOptions(reference_file_id="file_1")
    results = await ExtractRecipe().run(
        two_speakers, source_in(tmp_path), options, ignore_stages, run_stage
    )
    assert list(results) == ["extracted", "timeline"]
    sound, timeline = results["extracted"], results["timeline"]
    assert isinstance(sound, KeptSound)
    assert (tmp_path / "extracted.rf64").exists()
    assert sound.score["speaker"] == A
    assert sound.score["alone_s"] == 6.0
    assert isinstance(timeline, Extracted)
    [one] = timeline.timelines
    assert one.score == pytest.approx(1.0)
    assert [(p.start_s, p.end_s, p.how) for p in one.passages] == [
        (0.0, 4.0, "alone"),
        (8.0, 10.0, "alone"),
    ]
    assert {maker.service for maker in timeline.provenance} == {"diarize", "embed", "extract"}
    assert read_extracted(write_extracted(timeline)) == timeline


async def test_everybody_gets_a_file(two_speakers: Services, tmp_path: Path) -> None:
    order, told = list(ExtractRecipe.weights), list[tuple[int, float]]()
    results = await ExtractRecipe().run(
        two_speakers,
        source_in(tmp_path),
        ExtractJobOptions(everyone=True, mode="2x"),
        lambda stage, part: told.append((order.index(stage), part)),
        run_stage,
    )
    sounds = ["speaker-1", "speaker-2", "speaker-1-boosted", "speaker-2-boosted"]
    assert list(results) == [*sounds, "timeline"]
    assert all((tmp_path / f"{name}.rf64").exists() for name in sounds)
    assert told == sorted(told)  # progress never goes back


async def test_crowded_places_can_be_muted(two_speakers: Services, tmp_path: Path) -> None:
    turns = (Turn(0.0, 5.0, A), Turn(4.0, 8.0, B))
    embedder = ScriptedEmbedder({0.0: (1.0, 0.0), 5.0: (0.0, 1.0), 4.0: (0.0, 1.0)}, (Span(0.0, 10.0),))
    services = replace(
        two_speakers, diarizer=ScriptedDiarizer(turns, 10.0), embedder=embedder, speech_finder=embedder
    )
    asked = []

    class Listening:
        async def extract(
            self, source: Path, target: Path, order: ExtractOrder, progress: Progress
        ) -> Extraction:
            asked.append(order)
            return await two_speakers.extractor.extract(source, target, order, progress)

    services = replace(services, extractor=Listening())
    for muted in (False, True):
        options = ExtractJobOptions(reference_file_id="file_1", mute_crowded=muted)
        await ExtractRecipe().run(services, source_in(tmp_path), options, ignore_stages, run_stage)
    assert [order.crowded for order in asked] == [spans((4.0, 5.0)), ()]


async def test_a_reference_too_short_is_refused(two_speakers: Services, tmp_path: Path) -> None:
    embedder = ScriptedEmbedder({0.0: (1.0, 0.0), 4.0: (0.0, 1.0)}, (Span(0.0, 1.0),))
    services = replace(two_speakers, embedder=embedder, speech_finder=embedder)
    options = ExtractJobOptions(reference_file_id="file_1")
    with pytest.raises(SpeechTooShort):
        await ExtractRecipe().run(services, source_in(tmp_path), options, ignore_stages, run_stage)
