"""The meeting flow on scripted services, and the one-call function on the real ones."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from clearcast.audio.recording import Clip
from clearcast.errors import LanguageUnsupported
from clearcast.local import local_services
from clearcast.sample import sample_conversation
from clearcast.services import Services
from clearcast.settings import load_settings
from clearcast.speech.provenance import Provenance
from clearcast.speech.turns import Diarization, Span, Turn
from clearcast.storage.voices import Voice, VoiceSample
from pipelines.identify import solo_turns
from pipelines.meeting import MeetingOptions, process_meeting_audio, run_meeting, utterances, with_whisper
from pipelines.stages import Work

CLIP = Clip("file:///meeting.wav")
MADE_BY = Provenance("diarize", "script", "script")


def voice(name: str, *direction: float) -> Voice:
    vector = np.asarray(direction, np.float32)
    sample = VoiceSample(vector / np.float32(np.linalg.norm(vector)), "script-voices", 10.0)
    return Voice(name, (sample,))


async def test_words_go_to_the_speakers_by_name(two_speakers: Services) -> None:
    voices = [voice("Ada", 1.0, 0.1), voice("Bo", 0.1, 1.0)]
    meeting = await run_meeting(two_speakers, CLIP, 10.0, voices)
    assert meeting.transcript is not None
    said = [(segment.speaker, segment.text) for segment in meeting.transcript.segments]
    assert said == [("Ada", "w0 w1 w2 w3"), ("Bo", "w4 w5 w6 w7"), ("Ada", "w8 w9")]
    assert meeting.diarization.speakers == ("Ada", "Bo")
    assert [speaker.verdict for speaker in meeting.speakers] == ["identified", "identified"]
    assert meeting.speakers[0].best_score == pytest.approx(0.995, abs=1e-3)
    assert meeting.speakers[0].runner_up_name == "Bo"


async def test_every_engine_that_took_part_is_named(two_speakers: Services) -> None:
    meeting = await run_meeting(two_speakers, CLIP, 10.0, [voice("Ada", 1.0, 0.0)])
    assert meeting.transcript is not None
    services = [made_by.service for made_by in meeting.transcript.provenance]
    assert services == ["diarize", "embed", "identify", "transcribe"]
    assert meeting.transcript.provenance[-1].quality == "rough"


async def test_between_the_scores_a_speaker_keeps_the_label(two_speakers: Services) -> None:
    meeting = await run_meeting(two_speakers, CLIP, 10.0, [voice("Ada", 0.7, 0.714)])
    assert [speaker.verdict for speaker in meeting.speakers] == ["uncertain", "uncertain"]
    assert meeting.diarization.speakers == ("SPEAKER_00", "SPEAKER_01")
    assert meeting.speakers[0].best_name == "Ada"


async def test_two_speakers_are_not_given_one_name(two_speakers: Services) -> None:
    embedder = replace(two_speakers.embedder, voices={0.0: (1.0, 0.0), 4.0: (0.9, 0.436)})  # type: ignore[type-var]
    services = replace(two_speakers, embedder=embedder)
    meeting = await run_meeting(services, CLIP, 10.0, [voice("Ada", 1.0, 0.0)])
    assert [speaker.verdict for speaker in meeting.speakers] == ["identified", "uncertain"]
    assert meeting.diarization.speakers == ("Ada", "SPEAKER_01")
    assert meeting.speakers[1].best_name == "Ada"


async def test_strangers_stay_unknown(two_speakers: Services) -> None:
    meeting = await run_meeting(two_speakers, CLIP, 10.0, [voice("Eve", -1.0, -1.0)])
    assert [speaker.verdict for speaker in meeting.speakers] == ["unknown", "unknown"]


async def test_with_no_voices_nothing_is_compared(two_speakers: Services) -> None:
    meeting = await run_meeting(two_speakers, CLIP, 10.0)
    assert [speaker.verdict for speaker in meeting.speakers] == ["not_compared", "not_compared"]
    assert meeting.transcript is not None
    assert [made_by.service for made_by in meeting.transcript.provenance] == ["diarize", "transcribe"]


async def test_a_speaker_heard_too_briefly_is_not_called_by_name(two_speakers: Services) -> None:
    turns = (Turn(0.0, 2.0, "SPEAKER_00"),)
    services = replace(two_speakers, diarizer=replace(two_speakers.diarizer, turns=turns))  # type: ignore[type-var]
    meeting = await run_meeting(services, CLIP, 10.0, [voice("Ada", 1.0, 0.0)])
    assert [speaker.verdict for speaker in meeting.speakers] == ["too_short"]
    assert meeting.speakers[0].best_name == "Ada"
    assert meeting.diarization.speakers == ("SPEAKER_00",)


async def test_without_text_no_transcriber_is_called(two_speakers: Services) -> None:
    meeting = await run_meeting(two_speakers, CLIP, 10.0, options=MeetingOptions(transcribe=None))
    assert meeting.transcript is None
    assert two_speakers.transcriber.calls == []  # type: ignore[attr-defined]


async def test_silence_is_an_empty_meeting_with_a_warning(two_speakers: Services) -> None:
    silent = replace(two_speakers.diarizer, turns=())  # type: ignore[type-var]
    meeting = await run_meeting(replace(two_speakers, diarizer=silent), CLIP, 10.0)
    assert meeting.diarization.turns == ()
    assert meeting.warnings == ("Nobody speaks in this recording.",)
    assert meeting.transcript is not None
    assert meeting.transcript.segments == ()


async def test_a_hook_that_remembers_stages_does_no_work_twice(two_speakers: Services) -> None:
    remembered: dict[str, object] = {}
    worked: list[str] = []

    async def durable(name: str, work: Work[object], progress: object) -> object:
        if name not in remembered:
            worked.append(name)
            remembered[name] = await work(lambda _fraction: None)
        return remembered[name]

    first = await run_meeting(two_speakers, CLIP, 10.0, stage=durable)  # type: ignore[arg-type]
    again = await run_meeting(two_speakers, CLIP, 10.0, stage=durable)  # type: ignore[arg-type]
    assert again == first
    assert worked == ["diarize", "identify", "transcribe/0"]


def test_where_two_speak_at_once_the_first_keeps_the_floor() -> None:
    turns = (Turn(0.0, 5.0, "a"), Turn(3.0, 4.0, "b"), Turn(4.5, 7.0, "b"))
    spans = utterances(Diarization(turns, 7.0, MADE_BY, overlap_marked=True))
    assert spans == (Span(0.0, 5.0), Span(5.0, 7.0))


async def test_voiceprints_are_made_of_what_one_speaker_says_alone() -> None:
    turns = (Turn(0.0, 10.0, "a"), Turn(4.0, 6.0, "b"), Turn(12.0, 100.0, "a"))
    diarization = Diarization(turns, 100.0, MADE_BY, overlap_marked=True)
    spans = solo_turns(diarization, "a")
    assert sum(span.duration_s for span in spans) == pytest.approx(60.0)
    assert all(span.overlap_s(turns[1]) == 0 for span in spans)
    assert solo_turns(diarization, "b") == ()


def test_the_one_call_tells_who_speaks_when() -> None:
    found = process_meeting_audio(sample_conversation().audio, None, output_transcriptions=False)
    assert {row["speaker"] for row in found} == {"SPEAKER_00", "SPEAKER_01"}
    assert all(row["text"] == "" for row in found)
    assert [row["start"] for row in found] == sorted(row["start"] for row in found)


def test_the_one_call_writes_down_words_in_the_expected_language() -> None:
    found = process_meeting_audio(sample_conversation().audio, None, expected_language="en")
    assert sum(len(row["text"].split()) for row in found) > 20


def test_a_language_the_engine_does_not_know_is_an_error_not_a_guess() -> None:
    with pytest.raises(LanguageUnsupported):
        process_meeting_audio(sample_conversation().audio, None, expected_language="fa")


def test_a_whisper_model_can_be_named_for_one_call() -> None:
    settings = with_whisper(load_settings("local"), "/models/whisper")
    assert settings.engines.transcribe.engine == "faster_whisper"
    assert settings.engines.transcribe.options == {"model": "/models/whisper"}
    assert local_services(settings).transcriber is not None
