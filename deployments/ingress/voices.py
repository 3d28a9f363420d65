"""`/v1/voices`: the caller's enrolled voices. Nobody sees, hears of or changes anybody else's."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime
from typing import ClassVar, Literal

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from clearcast.audio.sound_check import Remark, remarks_on
from clearcast.errors import Conflict, FileFormatInvalid, NotFound, OptionInvalid, SpeechTooShort
from clearcast.storage.voice_store import ImportMode
from clearcast.storage.voices import MAX_FILE_BYTES, MAX_NAME_CHARACTERS, Voice
from deployments.ingress.access import Owner
from deployments.ingress.forms import Form, json_body, parse_json, request_body
from deployments.ingress.metrics import StageClock
from deployments.ingress.problem_docs import AUDIO_PROBLEMS, problems
from deployments.ingress.state import IngressState, State
from deployments.ingress.uploads import read_body
from deployments.ingress.work import Working
from pipelines.enrol import Enrolment, run_enrolment

router = APIRouter(prefix="/v1/voices", tags=["Voices"])

MAX_RENAME_BYTES = 4096


class EnrolForm(Form):
    """`POST /v1/voices`."""

    files: ClassVar[dict[str, str]] = {
        "file": "One or several recordings of this person alone; about 10 s of speech in all."
    }

    name: str = Field(max_length=MAX_NAME_CHARACTERS, description="What the person is called in results.")


class Rename(BaseModel):
    """`PATCH /v1/voices/{name}`."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(max_length=MAX_NAME_CHARACTERS, description="The new name.")


class SampleSummary(BaseModel):
    model: str = Field(description="The model that made the voiceprint.")
    speech_s: float | None = Field(description="Seconds of speech it was made from, when known.")


class VoiceSummary(BaseModel):
    name: str
    created_at: datetime | None
    samples: list[SampleSummary]

    @classmethod
    def of(cls, voice: Voice) -> VoiceSummary:
        samples = [SampleSummary(model=sample.model, speech_s=sample.speech_s) for sample in voice.samples]
        return cls(name=voice.name, created_at=voice.created_at, samples=samples)


class VoiceList(BaseModel):
    voices: list[VoiceSummary]


class EnrolledVoice(BaseModel):
    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "voice": {
                    "name": "Sara",
                    "created_at": "2026-01-31T09:00:00Z",
                    "samples": [{"model": "resemblyzer", "speech_s": 5.2}],
                },
                "speech_s": 5.2,
                "remarks": [{"code": "short", "message": "5.2 s of speech is enough; 8 s is better."}],
            }
        }
    )

    voice: VoiceSummary
    speech_s: float = Field(description="Seconds of speech found in the recordings of this request.")
    remarks: list[Remark] = Field(
        description="What would make the voiceprint better; empty when all is well."
    )


class ErasureProof(BaseModel):
    """What was erased. The server keeps the digest and the time in its audit log, and nothing else."""

    erased: Literal[True] = True
    name: str
    samples: int
    record_sha256: str = Field(description="SHA-256 of the erased record, to compare with an export.")
    erased_at: datetime


@router.get("", operation_id="listVoices", summary="List your voices", responses=problems())
async def list_voices(owner: Owner, state: State) -> VoiceList:
    """Names and samples, without the voiceprints."""
    voices = await asyncio.to_thread(state.voices.list, owner)
    return VoiceList(voices=[VoiceSummary.of(voice) for voice in voices])


@router.post(
    "",
    status_code=201,
    operation_id="enrolVoice",
    summary="Enrol a voice, or add a sample to one",
    responses=problems(*AUDIO_PROBLEMS, SpeechTooShort, Conflict),
    openapi_extra=request_body(EnrolForm),
)
async def enrol_voice(work: Working) -> EnrolledVoice:
    """Makes one voiceprint of all speech in the files and keeps it; the recordings are not kept."""
    form, upload = await work.receive(EnrolForm)
    sources = upload.files.get("file", [])
    if not sources:
        upload.file()  # says what is missing

    async def enrol(clock: StageClock) -> tuple[Enrolment, list[Remark]]:
        decoded = [await work.decode(source, clock) for source in sources]
        clock("enrol", 0.0)
        enrolment = await run_enrolment(work.state.services, [one.clip for one in decoded])
        return enrolment, remarks_on([one.prepared for one in decoded], enrolment.advice)

    enrolment, remarks = await work.run("enrolment", enrol)
    voice = await asyncio.to_thread(work.state.voices.put_sample, work.owner, form.name, enrolment.sample)
    return EnrolledVoice(
        voice=VoiceSummary.of(voice), speech_s=round(enrolment.speech_s, 2), remarks=remarks
    )


@router.get(
    "/export",
    operation_id="exportVoices",
    summary="Download all your voices",
    response_class=Response,
    responses={**problems(), 200: {"content": {"application/json": {}}, "description": "A voices file."}},
)
async def export_voices(owner: Owner, state: State) -> Response:
    """A voices file with the voiceprints: for a backup, the command line, or another server."""
    content = await asyncio.to_thread(state.voices.export, owner)
    headers = {"Content-Disposition": 'attachment; filename="voices.json"'}
    return Response(content, media_type="application/json", headers=headers)


@router.post(
    "/import",
    operation_id="importVoices",
    summary="Take in a voices file",
    responses=problems(FileFormatInvalid, Conflict),
    openapi_extra=json_body(
        {"type": "object", "description": "A voices file, or name → voiceprint(s) of an earlier system."}
    ),
)
async def import_voices(
    request: Request, owner: Owner, state: State, mode: ImportMode = "merge"
) -> VoiceList:
    """Adds the file's voices to yours, or with `mode=replace` puts them in their place."""
    content = await read_body(request, MAX_FILE_BYTES)
    book = await asyncio.to_thread(state.voices.import_, owner, content, mode)
    return VoiceList(voices=[VoiceSummary.of(voice) for voice in book])


@router.patch(
    "/{name:path}",
    operation_id="renameVoice",
    summary="Rename a voice",
    responses=problems(NotFound, Conflict, OptionInvalid),
    openapi_extra=json_body(Rename.model_json_schema()),
)
async def rename_voice(name: str, request: Request, owner: Owner, state: State) -> VoiceSummary:
    """The name in the address is percent-encoded UTF-8."""
    change = parse_json(Rename, await read_body(request, MAX_RENAME_BYTES))
    voice = await asyncio.to_thread(state.voices.rename, owner, name, change.name)
    return VoiceSummary.of(voice)


@router.delete(
    "/{name:path}",
    operation_id="eraseVoice",
    summary="Erase a voice, with proof",
    responses=problems(NotFound),
)
async def erase_voice(name: str, owner: Owner, state: State) -> ErasureProof:
    """Removes the name and every voiceprint. The name in the address is percent-encoded UTF-8."""
    proof = await asyncio.to_thread(state.voices.erase, owner, name)
    return ErasureProof(
        name=proof.name,
        samples=proof.samples,
        record_sha256=proof.record_sha256,
        erased_at=proof.erased_at,
    )


async def chosen_voices(state: IngressState, owner: str, names: Sequence[str]) -> tuple[Voice, ...]:
    """The owner's voices of these names, or all when none is named. Raises OptionInvalid."""
    book = await asyncio.to_thread(state.voices.book, owner)
    return book.chosen(names)
