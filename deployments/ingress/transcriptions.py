"""`/v1/audio`: transcription and translation as the OpenAI SDK sends and reads them."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from fastapi import APIRouter
from fastapi.responses import JSONResponse, PlainTextResponse, Response

from clearcast.engines.transcribe.contract import TranscribeOptions
from clearcast.speech.srt import write_srt
from clearcast.speech.transcript import Transcript
from clearcast.speech.vtt import write_vtt
from deployments.ingress import openai_format
from deployments.ingress.diarized_transcription import answer_diarized
from deployments.ingress.event_stream import Emit, EventStream, TextParts
from deployments.ingress.forms import request_body
from deployments.ingress.metrics import StageClock
from deployments.ingress.problem_docs import answers
from deployments.ingress.results import SUBTITLE_TYPES, provenance_headers
from deployments.ingress.transcription_forms import TranscriptionForm, TranslationForm
from deployments.ingress.work import Work, Working
from pipelines.stages import StageHook, run_stage
from pipelines.transcribe import run_transcription

router = APIRouter(prefix="/v1/audio", tags=["OpenAI-compatible"])

Heard = tuple[Transcript, tuple[str, ...]]
"""A transcript and the warnings that go with it."""


@router.post(
    "/transcriptions",
    operation_id="createTranscription",
    summary="Transcribe a recording",
    response_model=openai_format.PlainTranscription
    | openai_format.VerboseTranscription
    | openai_format.DiarizedTranscription,
    response_description="The transcript in the form that `response_format` asks for; JSON by default.",
    responses=answers("text/plain", "application/x-subrip", "text/vtt", "text/event-stream"),
    openapi_extra=request_body(TranscriptionForm),
)
async def create_transcription(work: Working) -> Response:
    """What is said in an audio or video file, in OpenAI's request and answer forms.

    Answers name the engines that made them in `provenance`, which OpenAI's do not have.
    """
    form, upload = await work.receive(TranscriptionForm)
    form.check()
    work.state.catalog.check_transcriber(form.model)
    if form.response_format == "diarized_json":
        return await answer_diarized(work, form, upload)
    source, options = upload.file(), form.transcribe_options()
    if form.stream:
        return await _stream(work, source, options)
    transcript, warnings = await work.run(
        "transcription", lambda clock: _transcribe(work, source, options, clock)
    )
    if form.response_format == "verbose_json":
        granularities = form.timestamp_granularities or ["segment"]
        temperature = form.temperature or 0.0
        return _json(openai_format.verbose(transcript, warnings, "transcribe", granularities, temperature))
    return _plain_answer(form.response_format, transcript, warnings)


@router.post(
    "/translations",
    operation_id="createTranslation",
    summary="Translate a recording into English text",
    response_model=openai_format.PlainTranscription | openai_format.VerboseTranscription,
    response_description="The English text in the form that `response_format` asks for; JSON by default.",
    responses=answers("text/plain", "application/x-subrip", "text/vtt"),
    openapi_extra=request_body(TranslationForm),
)
async def create_translation(work: Working) -> Response:
    """What is said in an audio or video file, in English. The engine must be able to translate."""
    form, upload = await work.receive(TranslationForm)
    work.state.catalog.check_transcriber(form.model)
    source, options = upload.file(), form.translate_options()
    transcript, warnings = await work.run(
        "translation", lambda clock: _transcribe(work, source, options, clock)
    )
    if form.response_format == "verbose_json":
        temperature = form.temperature or 0.0
        return _json(openai_format.verbose(transcript, warnings, "translate", ["segment"], temperature))
    return _plain_answer(form.response_format, transcript, warnings)


async def _transcribe(
    work: Work, source: Path, options: TranscribeOptions, clock: StageClock, hook: StageHook = run_stage
) -> Heard:
    decoded = await work.decode(source, clock)
    transcript = await run_transcription(
        work.state.services, decoded.clip, decoded.duration_s, options, clock, hook
    )
    return transcript, decoded.warnings


async def _stream(work: Work, source: Path, options: TranscribeOptions) -> Response:
    async def flow(clock: StageClock, emit: Emit) -> None:
        transcript, warnings = await _transcribe(work, source, options, clock, TextParts(emit))
        await emit(openai_format.done(transcript, warnings))

    return await EventStream(work, "transcription", flow).response()


def _plain_answer(
    form: Literal["json", "text", "srt", "vtt"], transcript: Transcript, warnings: tuple[str, ...]
) -> Response:
    headers = provenance_headers(transcript.provenance, warnings)
    if form == "srt":
        return PlainTextResponse(write_srt(transcript), headers=headers, media_type=SUBTITLE_TYPES["srt"])
    if form == "vtt":
        text = write_vtt(transcript, notes=warnings)
        return PlainTextResponse(text, headers=headers, media_type=SUBTITLE_TYPES["vtt"])
    if form == "text":
        return PlainTextResponse(transcript.text + "\n", headers=headers)
    return _json(openai_format.plain(transcript, warnings))


def _json(result: openai_format.Result) -> JSONResponse:
    return JSONResponse(openai_format.as_json(result))
