"""`/v1/audio` as the OpenAI SDK uses it: its own client sends, its own types read."""

from __future__ import annotations

import base64
import io
from collections.abc import AsyncIterator
from typing import Any

import httpx
import openai
import pytest
from openai import AsyncOpenAI
from openai.types.audio import (
    Transcription,
    TranscriptionDiarized,
    TranscriptionTextDeltaEvent,
    TranscriptionTextDoneEvent,
    TranscriptionTextSegmentEvent,
    TranscriptionVerbose,
    Translation,
    TranslationVerbose,
)

from clearcast.errors import LanguageUnsupported
from clearcast.speech.srt import read_srt
from clearcast.speech.transcript import Segment, Word
from clearcast.speech.turns import Turn
from clearcast.speech.vtt import read_vtt
from clearcast.testing.services import FakeDiarizer, FakeTranscriber, Hold, fake_services
from deployments.ingress.openai_format import Letters
from tests.deployments.ingress.loopback import MakeApp, connect, listening, wav

SEGMENTS = (
    Segment(
        0.2, 1.8, "سلام دنیا", (Word(0.2, 0.9, "سلام", 0.9), Word(1.0, 1.8, "دنیا", 0.7)), confidence=0.8
    ),
    Segment(2.1, 3.9, "به شنبه ۱۲ خوش آمدید.", no_speech_probability=0.25),
)
TEXT = "سلام دنیا به شنبه ۱۲ خوش آمدید."
SOUND = wav(300, 900)  # two seconds of one "voice", two of another
TURNS = (Turn(0.0, 2.0, "SPEAKER_00"), Turn(2.0, 4.0, "SPEAKER_01"))


@pytest.fixture
def transcriber() -> FakeTranscriber:
    return FakeTranscriber(segments=SEGMENTS, language="fa")


@pytest.fixture
async def url(make_app: MakeApp, transcriber: FakeTranscriber) -> AsyncIterator[str]:
    services = fake_services(FakeDiarizer(turns=TURNS), transcriber)
    async with listening(make_app(services)) as url:
        yield url


@pytest.fixture
async def sdk(url: str, key: str) -> AsyncIterator[AsyncOpenAI]:
    async with AsyncOpenAI(base_url=f"{url}/v1", api_key=key, max_retries=0) as client:
        yield client


def sound() -> tuple[str, io.BytesIO]:
    return "meeting.wav", io.BytesIO(SOUND)


async def test_json_gives_the_text_and_what_made_it(sdk: AsyncOpenAI) -> None:
    result = await sdk.audio.transcriptions.create(model="whisper-1", file=sound())
    Transcription.model_validate(result.model_dump())
    assert result.text == TEXT
    assert result.usage is not None and result.usage.type == "duration"
    assert result.usage.seconds == 4.0
    assert result.model_extra is not None
    assert result.model_extra["provenance"] == [
        {"service": "transcribe", "engine": "fake", "model": "given-words", "quality": "rough"}
    ]


async def test_verbose_json_has_segments_and_words_as_asked(sdk: AsyncOpenAI) -> None:
    result = await sdk.audio.transcriptions.create(
        model="whisper-1",
        file=sound(),
        response_format="verbose_json",
        timestamp_granularities=["word", "segment"],
    )
    TranscriptionVerbose.model_validate(result.model_dump(), strict=True)
    assert (result.language, result.duration, result.text) == ("persian", 4.0, TEXT)
    assert result.words is not None and result.segments is not None
    assert [(word.word, word.start, word.end) for word in result.words] == [
        ("سلام", 0.2, 0.9),
        ("دنیا", 1.0, 1.8),
    ]
    first, second = result.segments
    assert (first.start, first.end, first.text) == (0.2, 1.8, SEGMENTS[0].text)
    assert (first.avg_logprob, first.seek) == (pytest.approx(-0.2231), 20)
    assert second.no_speech_prob == 0.25


@pytest.mark.parametrize(
    ("granularities", "present"),
    [(None, {"segments"}), (["segment"], {"segments"}), (["word"], {"words"})],
)
async def test_verbose_json_leaves_out_what_was_not_asked_for(
    sdk: AsyncOpenAI, granularities: Any, present: set[str]
) -> None:
    asked = {} if granularities is None else {"timestamp_granularities": granularities}
    result = await sdk.audio.transcriptions.create(
        model="whisper-1", file=sound(), response_format="verbose_json", **asked
    )
    assert result.model_fields_set & {"words", "segments"} == present


async def test_text_and_subtitles_are_plain_text(sdk: AsyncOpenAI) -> None:
    create = sdk.audio.transcriptions.create
    text = await create(model="whisper-1", file=sound(), response_format="text")
    srt = await create(model="whisper-1", file=sound(), response_format="srt")
    vtt = await create(model="whisper-1", file=sound(), response_format="vtt")
    assert text == f"{TEXT}\n"
    assert read_srt(srt).text == read_vtt(vtt).text == TEXT


async def test_texts_name_their_engines_in_a_header(sdk: AsyncOpenAI) -> None:
    raw = await sdk.audio.transcriptions.with_raw_response.create(
        model="whisper-1", file=sound(), response_format="text"
    )
    assert raw.headers["x-clearcast-provenance"] == "transcribe: fake (given-words), rough"


async def test_options_reach_the_engine(sdk: AsyncOpenAI, transcriber: FakeTranscriber) -> None:
    await sdk.audio.transcriptions.create(
        model="whisper-1",
        file=sound(),
        language="FA",
        prompt="جلسه",
        temperature=0.4,
        chunking_strategy={"type": "server_vad", "silence_duration_ms": 300},
        extra_body={"hotwords": ["Reza, Anna", "ClearCast"], "keywords": ["Ray"]},
    )
    (options,) = transcriber.asked
    assert (options.language, options.initial_prompt, options.temperature) == ("fa", "جلسه", 0.4)
    assert options.hotwords == ("Reza", "Anna", "ClearCast", "Ray")
    assert options.task == "transcribe"


async def test_temperature_zero_leaves_the_choice_to_the_engine(
    sdk: AsyncOpenAI, transcriber: FakeTranscriber
) -> None:
    await sdk.audio.transcriptions.create(model="whisper-1", file=sound(), temperature=0)
    assert transcriber.asked[0].temperature is None


async def test_translation_asks_for_english(sdk: AsyncOpenAI, transcriber: FakeTranscriber) -> None:
    result = await sdk.audio.translations.create(model="whisper-1", file=sound(), prompt="notes")
    Translation.model_validate(result.model_dump())
    verbose = await sdk.audio.translations.create(
        model="whisper-1", file=sound(), response_format="verbose_json"
    )
    TranslationVerbose.model_validate(verbose.model_dump(), strict=True)
    assert isinstance(verbose, TranslationVerbose)
    assert verbose.language == "english"
    assert [options.task for options in transcriber.asked] == ["translate", "translate"]


async def test_diarized_json_letters_strangers_in_order(sdk: AsyncOpenAI) -> None:
    result = await sdk.audio.transcriptions.create(
        model="gpt-4o-transcribe-diarize",
        file=sound(),
        response_format="diarized_json",
        chunking_strategy="auto",
    )
    TranscriptionDiarized.model_validate(result.model_dump(), strict=True)
    assert result.text == TEXT
    assert [(one.speaker, one.id, one.text) for one in result.segments] == [
        ("A", "seg_0", SEGMENTS[0].text),
        ("B", "seg_1", SEGMENTS[1].text),
    ]


async def test_known_speakers_are_the_callers_enrolled_voices(sdk: AsyncOpenAI, url: str, key: str) -> None:
    async with httpx.AsyncClient(base_url=url, headers={"Authorization": f"Bearer {key}"}) as client:
        for name, tone_hz in (("Sara", 900), ("Ali", 1500)):
            files = {"file": wav(tone_hz)}
            assert (await client.post("/v1/voices", data={"name": name}, files=files)).status_code == 201
    result = await sdk.audio.transcriptions.create(
        model="whisper-1",
        file=sound(),
        response_format="diarized_json",
        known_speaker_names=["Sara", "Ali"],
    )
    assert [one.speaker for one in result.segments] == ["A", "Sara"]
    with pytest.raises(openai.UnprocessableEntityError, match="no voice called 'Reza'"):
        await sdk.audio.transcriptions.create(
            model="whisper-1", file=sound(), response_format="diarized_json", known_speaker_names=["Reza"]
        )


async def test_known_speakers_may_come_as_recordings_which_are_not_kept(
    sdk: AsyncOpenAI, url: str, key: str
) -> None:
    references = [
        "data:audio/wav;base64," + base64.b64encode(wav(tone_hz)).decode() for tone_hz in (900, 300)
    ]
    result = await sdk.audio.transcriptions.create(
        model="whisper-1",
        file=sound(),
        response_format="diarized_json",
        known_speaker_names=["agent", "customer"],
        known_speaker_references=references,
    )
    assert [one.speaker for one in result.segments] == ["customer", "agent"]
    async with httpx.AsyncClient(base_url=url, headers={"Authorization": f"Bearer {key}"}) as client:
        assert (await client.get("/v1/voices")).json() == {"voices": []}
    with pytest.raises(openai.UnprocessableEntityError, match="1 references were sent for 2 names"):
        await sdk.audio.transcriptions.create(
            model="whisper-1",
            file=sound(),
            response_format="diarized_json",
            known_speaker_names=["agent", "customer"],
            known_speaker_references=references[:1],
        )


async def test_a_stream_adds_up_to_the_text(sdk: AsyncOpenAI) -> None:
    stream = await sdk.audio.transcriptions.create(model="whisper-1", file=sound(), stream=True)
    events = [event async for event in stream]
    assert [type(event) for event in events] == [
        TranscriptionTextDeltaEvent,
        TranscriptionTextDeltaEvent,
        TranscriptionTextDoneEvent,
    ]
    assert "".join(event.delta for event in events if event.type == "transcript.text.delta") == TEXT
    assert isinstance(events[-1], TranscriptionTextDoneEvent)
    assert events[-1].text == TEXT


async def test_a_diarized_stream_has_segments_with_speakers(sdk: AsyncOpenAI) -> None:
    stream = await sdk.audio.transcriptions.create(
        model="whisper-1", file=sound(), stream=True, response_format="diarized_json"
    )
    events = [event async for event in stream]
    for event in events:
        type(event).model_validate(event.model_dump())
    segments = [event for event in events if isinstance(event, TranscriptionTextSegmentEvent)]
    assert [(one.speaker, one.id) for one in segments] == [("A", "seg_0"), ("B", "seg_1")]
    deltas = [event for event in events if isinstance(event, TranscriptionTextDeltaEvent)]
    assert [delta.segment_id for delta in deltas] == ["seg_0", "seg_1"]
    assert "".join(delta.delta for delta in deltas) == TEXT


async def test_text_comes_before_the_recording_is_done(make_app: MakeApp, key: str) -> None:
    hold = Hold()

    class SlowSecondWindow(FakeTranscriber):
        async def transcribe(self, clip: Any, options: Any, progress: Any = None) -> Any:
            if clip.start_s > 0:
                await hold.wait()
            return await FakeTranscriber.transcribe(self, clip, options)

    # Two windows of talk: transcription cuts at the silence between them.
    long = wav(300, 0, 300, seconds=280)
    segments = (Segment(1.0, 2.0, "first"), Segment(570.0, 571.0, "second"))
    services = fake_services(transcriber=SlowSecondWindow(segments=segments))
    app = make_app(services)
    async with listening(app) as url, AsyncOpenAI(base_url=f"{url}/v1", api_key=key) as sdk:
        stream = await sdk.audio.transcriptions.create(
            model="whisper-1", file=("long.wav", long), stream=True
        )
        first = await anext(stream)
        assert isinstance(first, TranscriptionTextDeltaEvent) and first.delta == "first"
        hold.release.set()
        rest = [event async for event in stream]
    assert [event.type for event in rest] == ["transcript.text.delta", "transcript.text.done"]


async def test_what_fails_before_the_first_event_has_its_own_status(
    sdk: AsyncOpenAI, transcriber: FakeTranscriber
) -> None:
    transcriber.error = LanguageUnsupported("Only English here.", language="fa")
    with pytest.raises(openai.UnprocessableEntityError, match="Only English here") as caught:
        await sdk.audio.transcriptions.create(model="whisper-1", file=sound(), stream=True)
    assert caught.value.code == "language_unsupported"


async def test_what_fails_later_ends_the_stream_with_an_exception(make_app: MakeApp, key: str) -> None:
    class FailsInTheSecondWindow(FakeTranscriber):
        async def transcribe(self, clip: Any, options: Any, progress: Any = None) -> Any:
            if clip.start_s > 0:
                raise RuntimeError("secret detail")
            return await FakeTranscriber.transcribe(self, clip, options)

    long = wav(300, 0, 300, seconds=280)
    services = fake_services(transcriber=FailsInTheSecondWindow(segments=(Segment(1.0, 2.0, "first"),)))
    app = make_app(services)
    async with listening(app) as url, AsyncOpenAI(base_url=f"{url}/v1", api_key=key) as sdk:
        stream = await sdk.audio.transcriptions.create(
            model="whisper-1", file=("long.wav", long), stream=True
        )
        assert (await anext(stream)).type == "transcript.text.delta"
        with pytest.raises(openai.APIError, match="unexpected error") as caught:
            await anext(stream)
    assert caught.value.code == "internal_error"
    assert "secret" not in str(caught.value.body)


async def test_errors_show_their_message_in_the_sdk(sdk: AsyncOpenAI, url: str) -> None:
    create = sdk.audio.transcriptions.create
    with pytest.raises(openai.APIStatusError, match="text, not sound") as unrecognised:
        await create(model="whisper-1", file=("a.wav", b"Dear listener"))
    assert (unrecognised.value.status_code, unrecognised.value.code) == (415, "audio_unrecognised")
    with pytest.raises(openai.NotFoundError, match="does not run here") as unknown:
        await create(model="faster_whisper", file=sound())
    assert unknown.value.param == "model"
    with pytest.raises(openai.AuthenticationError, match="not known"):
        await sdk.with_options(api_key="cc_wrong").audio.transcriptions.create(
            model="whisper-1", file=sound()
        )


@pytest.mark.parametrize(
    "wrong",
    [
        {"response_format": "xml"},
        {"temperature": 1.5},
        {"language": "persian"},
        {"timestamp_granularities": ["letter"]},
        {"stream": True, "response_format": "srt"},
        {"known_speaker_names": ["Sara"]},
        {"known_speaker_names": ["Sara", "Sara"], "response_format": "diarized_json"},
        {"extra_body": {"tempreature": 0.5}},
        {"include": ["logprobs"]},
    ],
)
async def test_options_that_cannot_be_are_refused(sdk: AsyncOpenAI, wrong: dict[str, Any]) -> None:
    with pytest.raises(openai.UnprocessableEntityError) as caught:
        await sdk.audio.transcriptions.create(model="whisper-1", file=sound(), **wrong)
    assert caught.value.code == "option_invalid"


async def test_the_sdk_does_not_send_again_what_cannot_succeed(make_app: MakeApp, key: str) -> None:
    transcriber = FakeTranscriber(error=RuntimeError("broken"))
    app = make_app(fake_services(transcriber=transcriber))
    async with listening(app) as url, AsyncOpenAI(base_url=f"{url}/v1", api_key=key) as sdk:
        with pytest.raises(openai.InternalServerError):
            await sdk.audio.transcriptions.create(model="whisper-1", file=sound())
    assert len(transcriber.asked) == 1


async def test_silence_is_an_empty_text_with_a_warning(make_app: MakeApp, key: str) -> None:
    async with connect(make_app(), key) as client:
        for form in ("json", "verbose_json", "diarized_json"):
            answer = await client.post(
                "/v1/audio/transcriptions",
                data={"model": "whisper-1", "response_format": form},
                files={"file": wav(0)},
            )
            assert (answer.status_code, answer.json()["text"]) == (200, "")
            assert "The recording is silent." in answer.json()["warnings"]


def test_letters_go_on_after_z_and_leave_out_names() -> None:
    letters = Letters(("B", "Sara"))
    shown = [letters.shown(f"SPEAKER_{number:02d}") for number in range(28)]
    assert shown[:3] == ["A", "C", "D"]
    assert shown[24:] == ["Z", "AA", "AB", "AC"]
    assert letters.shown("Sara") == "Sara"
    assert letters.shown("SPEAKER_00") == "A"
