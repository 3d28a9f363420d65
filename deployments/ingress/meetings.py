"""`/v1/meetings` and `/v1/diarizations`: a recording in, who said what (or only who spoke when) out."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Literal

from fastapi import APIRouter, Response
from pydantic import BaseModel, Field

from clearcast.engines.diarize.contract import DiarizeOptions
from clearcast.engines.transcribe.contract import TranscribeOptions
from clearcast.errors import OptionInvalid
from clearcast.speech.formats import format_named, write_result
from clearcast.speech.meeting import Meeting, SpeakerIdentity
from clearcast.speech.transcript import Transcript
from clearcast.speech.turns import Diarization
from deployments.ingress.forms import Form, request_body
from deployments.ingress.metrics import StageClock
from deployments.ingress.problem_docs import answers
from deployments.ingress.results import provenance_headers
from deployments.ingress.transcription_forms import Language, split_words
from deployments.ingress.voices import chosen_voices
from deployments.ingress.work import Work, Working
from pipelines.meeting import MeetingOptions, run_meeting

router = APIRouter(prefix="/v1", tags=["Meetings"])


class DiarizationForm(Form):
    """`POST /v1/diarizations`."""

    num_speakers: int | None = Field(default=None, ge=1, description="How many people speak, if known.")
    min_speakers: int | None = Field(default=None, ge=1, description="At least so many.")
    max_speakers: int | None = Field(default=None, ge=1, description="At most so many.")
    voices: list[str] = Field(
        default=[], description="Enrolled voices to look for; all of yours when none is named."
    )
    response_format: Literal["json", "txt", "rttm"] = Field(
        default="json", description="Form of the answer."
    )

    def diarize_options(self) -> DiarizeOptions:
        return DiarizeOptions(self.num_speakers, self.min_speakers, self.max_speakers)

    def transcribe_options(self) -> TranscribeOptions | None:
        return None


class MeetingForm(DiarizationForm):
    """`POST /v1/meetings`."""

    response_format: Literal["json", "txt", "srt", "vtt", "rttm"] = Field(  # type: ignore[assignment]
        default="json", description="Form of the answer."
    )
    language: Language | None = Field(
        default=None, description="ISO 639-1 code; detected when not given.", examples=["fa"]
    )
    output_transcriptions: bool = Field(default=True, description="False tells only who speaks when.")
    hotwords: list[str] = Field(default=[], description="Names and words to expect, also comma-separated.")

    def transcribe_options(self) -> TranscribeOptions | None:
        if not self.output_transcriptions:
            if self.response_format in {"srt", "vtt"}:
                raise OptionInvalid("Subtitles need output_transcriptions=true.", field="response_format")
            return None
        return TranscribeOptions(language=self.language, hotwords=split_words(self.hotwords))


class MeetingDocument(BaseModel):
    """The JSON file of a meeting, as `clearcast.speech.json_file` writes and reads it."""

    clearcast: Literal[1]
    type: Literal["meeting"]
    diarization: Diarization
    speakers: tuple[SpeakerIdentity, ...]
    transcript: Transcript | None
    warnings: tuple[str, ...]


@router.post(
    "/meetings",
    operation_id="createMeeting",
    summary="Who said what, by name",
    response_model=MeetingDocument,
    response_description="The meeting in the form that `response_format` asks for; JSON by default.",
    responses=answers("text/plain", "application/x-subrip", "text/vtt"),
    openapi_extra=request_body(MeetingForm),
)
async def create_meeting(work: Working) -> Response:
    """Tells the speakers apart, calls those you have enrolled by name, and writes down what they say."""
    return await _meet(work, MeetingForm, "meeting")


@router.post(
    "/diarizations",
    operation_id="createDiarization",
    summary="Who spoke when, by name",
    response_model=MeetingDocument,
    response_description="A meeting without text in the form that `response_format` asks for.",
    responses=answers("text/plain"),
    openapi_extra=request_body(DiarizationForm),
)
async def create_diarization(work: Working) -> Response:
    """As a meeting, without text."""
    return await _meet(work, DiarizationForm, "diarization")


async def _meet(work: Work, kind: type[DiarizationForm], pipeline: str) -> Response:
    form, upload = await work.receive(kind)
    source = upload.file()
    options = MeetingOptions(form.diarize_options(), form.transcribe_options())
    voices = await chosen_voices(work.state, work.owner, form.voices)

    async def flow(clock: StageClock) -> Meeting:
        decoded = await work.decode(source, clock)
        meeting = await run_meeting(
            work.state.services, decoded.clip, decoded.duration_s, voices, options, clock
        )
        return replace(meeting, warnings=(*decoded.warnings, *meeting.warnings))

    return await _answer(await work.run(pipeline, flow), form.response_format)


async def _answer(meeting: Meeting, form: str) -> Response:
    made_by = meeting.transcript.provenance if meeting.transcript else (meeting.diarization.provenance,)
    # In a thread: planning the subtitles of a three-hour meeting takes longer than other requests may wait.
    text = await asyncio.to_thread(write_result, meeting, form)
    headers = {} if form == "json" else provenance_headers(made_by, meeting.warnings)
    return Response(text, headers=headers, media_type=format_named(form).media_type)
