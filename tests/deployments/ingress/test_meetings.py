"""`/v1/meetings` and `/v1/diarizations`: a recording in, named turns and text out."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from clearcast.speech.json_file import read_json
from clearcast.speech.meeting import Meeting
from clearcast.speech.rttm import read_rttm_file
from clearcast.speech.srt import read_srt
from clearcast.speech.transcript import Segment
from clearcast.speech.turns import Turn
from clearcast.speech.vtt import read_vtt
from clearcast.testing.services import FakeDiarizer, FakeTranscriber, fake_services
from deployments.ingress.meetings import MeetingDocument
from tests.deployments.ingress.loopback import MakeApp, connect, wav

TURNS = (Turn(0.0, 2.0, "SPEAKER_00"), Turn(2.0, 4.0, "SPEAKER_01"))
SEGMENTS = (Segment(0.2, 1.8, "سلام"), Segment(2.2, 3.8, "Hello"))
SOUND = wav(300, 900)


@pytest.fixture
def diarizer() -> FakeDiarizer:
    return FakeDiarizer(turns=TURNS)


@pytest.fixture
def transcriber() -> FakeTranscriber:
    return FakeTranscriber(segments=SEGMENTS)


@pytest.fixture
async def caller(
    make_app: MakeApp, key: str, diarizer: FakeDiarizer, transcriber: FakeTranscriber
) -> AsyncIterator[httpx.AsyncClient]:
    async with connect(make_app(fake_services(diarizer, transcriber)), key) as client:
        yield client


async def enrol(client: httpx.AsyncClient, name: str, tone_hz: float) -> None:
    files = {"file": wav(tone_hz)}
    assert (await client.post("/v1/voices", data={"name": name}, files=files)).status_code == 201


async def meet(client: httpx.AsyncClient, **options: Any) -> httpx.Response:
    return await client.post("/v1/meetings", data=options, files={"file": ("m.wav", SOUND)})


async def test_json_is_the_meeting_file_and_as_openapi_says(caller: httpx.AsyncClient) -> None:
    answer = await meet(caller)
    meeting = read_json(answer.text)
    assert isinstance(meeting, Meeting)
    assert [(turn.start_s, turn.end_s) for turn in meeting.diarization.turns] == [(0.0, 2.0), (2.0, 4.0)]
    assert meeting.transcript is not None and meeting.transcript.text == "سلام Hello"
    assert [made_by.engine for made_by in meeting.transcript.provenance] == ["fake", "fake"]
    MeetingDocument.model_validate(answer.json())
    assert answer.headers["content-type"] == "application/json"


async def test_enrolled_voices_are_called_by_name(caller: httpx.AsyncClient) -> None:
    await enrol(caller, "آوا", 900)
    meeting = read_json((await meet(caller)).text)
    assert isinstance(meeting, Meeting) and meeting.transcript is not None
    assert [turn.speaker for turn in meeting.diarization.turns] == ["SPEAKER_00", "آوا"]
    assert [segment.speaker for segment in meeting.transcript.segments] == ["SPEAKER_00", "آوا"]
    assert [speaker.verdict for speaker in meeting.speakers] == ["unknown", "identified"]


async def test_only_the_voices_that_are_named_are_looked_for(caller: httpx.AsyncClient) -> None:
    await enrol(caller, "Sara", 900)
    await enrol(caller, "Ali", 300)
    named = (await meet(caller, voices=["Ali", "ali"])).json()
    assert [turn["speaker"] for turn in named["diarization"]["turns"]] == ["Ali", "SPEAKER_01"]
    unknown = await meet(caller, voices="Reza")
    assert (unknown.status_code, unknown.json()["code"]) == (422, "option_invalid")


@pytest.mark.parametrize(
    ("form", "media_type"),
    [
        ("txt", "text/plain; charset=utf-8"),
        ("srt", "application/x-subrip"),
        ("vtt", "text/vtt; charset=utf-8"),
        ("rttm", "text/plain; charset=utf-8"),
    ],
)
async def test_other_forms_hold_the_same_meeting(
    caller: httpx.AsyncClient, form: str, media_type: str
) -> None:
    answer = await meet(caller, response_format=form)
    assert answer.headers["content-type"].startswith(media_type)
    assert answer.headers["x-clearcast-provenance"].startswith("diarize: fake (given-turns); ")
    if form == "rttm":
        assert read_rttm_file(answer.text).turns == TURNS
    elif form == "txt":
        assert "سلام" in answer.text and "Hello" in answer.text
    else:
        read = {"srt": read_srt, "vtt": read_vtt}[form]
        assert read(answer.text).text.endswith("Hello")


async def test_options_reach_the_engines(
    caller: httpx.AsyncClient, diarizer: FakeDiarizer, transcriber: FakeTranscriber
) -> None:
    await meet(caller, num_speakers=2, language="fa", hotwords="Reza, Anna")
    await meet(caller, min_speakers=1, max_speakers=4)
    first, second = diarizer.asked
    assert first.num_speakers == 2
    assert (second.num_speakers, second.min_speakers, second.max_speakers) == (None, 1, 4)
    assert (transcriber.asked[0].language, transcriber.asked[0].hotwords) == ("fa", ("Reza", "Anna"))


async def test_without_text_nothing_is_transcribed(
    caller: httpx.AsyncClient, transcriber: FakeTranscriber
) -> None:
    for answer in (
        await meet(caller, output_transcriptions="false"),
        await caller.post("/v1/diarizations", files={"file": SOUND}),
    ):
        assert answer.status_code == 200
        assert answer.json()["transcript"] is None
        assert len(answer.json()["diarization"]["turns"]) == 2
    assert transcriber.asked == []


@pytest.mark.parametrize(
    ("path", "options"),
    [
        ("/v1/meetings", {"output_transcriptions": "false", "response_format": "srt"}),
        ("/v1/meetings", {"response_format": "docx"}),
        ("/v1/meetings", {"num_speakers": "0"}),
        ("/v1/meetings", {"num_speakers": "two"}),
        ("/v1/meetings", {"min_speakers": "3", "max_speakers": "2"}),
        ("/v1/meetings", {"output_transcriptions": "perhaps"}),
        ("/v1/diarizations", {"response_format": "srt"}),
        ("/v1/diarizations", {"language": "fa"}),
    ],
)
async def test_options_that_cannot_be_are_refused(
    caller: httpx.AsyncClient, path: str, options: dict[str, str]
) -> None:
    answer = await caller.post(path, data=options, files={"file": SOUND})
    assert (answer.status_code, answer.json()["code"]) == (422, "option_invalid")


async def test_a_file_that_is_cut_off_gives_what_is_there_with_a_warning(caller: httpx.AsyncClient) -> None:
    answer = await caller.post("/v1/meetings", files={"file": SOUND[: len(SOUND) * 3 // 4]})
    (warning,) = answer.json()["warnings"]
    assert "cut off" in warning and "3.0 s" in warning
    text = await caller.post(
        "/v1/meetings",
        data={"response_format": "txt"},
        files={"file": SOUND[: len(SOUND) * 3 // 4]},
    )
    assert text.headers["x-clearcast-warning"] == warning
