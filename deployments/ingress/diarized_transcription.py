"""`response_format=diarized_json`: who said what in OpenAI's form, with known speakers by name.

What lives here: which voices are known to a request, and the answer, whole or as a stream. What does not:
the route (`transcriptions.py`) and the meeting flow (`pipelines/meeting.py`).
"""

from __future__ import annotations

import asyncio

from fastapi.responses import JSONResponse, Response

from clearcast.errors import OptionInvalid
from clearcast.speech.meeting import Meeting
from clearcast.storage.voices import Voice
from deployments.ingress import openai_format
from deployments.ingress.event_stream import Emit, EventStream, SpokenParts
from deployments.ingress.metrics import StageClock
from deployments.ingress.transcription_forms import TranscriptionForm
from deployments.ingress.uploads import Upload, decode_data_url
from deployments.ingress.voices import chosen_voices
from deployments.ingress.work import Work
from pipelines.enrol import run_enrolment
from pipelines.meeting import MeetingOptions, run_meeting
from pipelines.stages import StageHook, run_stage

REFERENCES = "known_speaker_references"


async def answer_diarized(work: Work, form: TranscriptionForm, upload: Upload) -> Response:
    """The answer to a request for `diarized_json`, as one document or as a stream of events."""
    _check_speakers(form, upload)
    source = upload.file()
    options = MeetingOptions(transcribe=form.transcribe_options())

    async def meet(clock: StageClock, hook: StageHook) -> tuple[Meeting, tuple[str, ...]]:
        decoded = await work.decode(source, clock)
        voices = await _known_voices(work, form, upload, clock)
        meeting = await run_meeting(
            work.state.services, decoded.clip, decoded.duration_s, voices, options, clock, hook
        )
        return meeting, decoded.warnings

    async def emit_all(clock: StageClock, emit: Emit) -> None:
        meeting, warnings = await meet(clock, SpokenParts(emit))
        assert meeting.transcript is not None
        await emit(openai_format.done(meeting.transcript, (*meeting.warnings, *warnings)))

    if form.stream:
        return await EventStream(work, "meeting", emit_all).response()
    meeting, warnings = await work.run("meeting", lambda clock: meet(clock, run_stage))
    return JSONResponse(openai_format.as_json(openai_format.diarized(meeting, warnings)))


def _check_speakers(form: TranscriptionForm, upload: Upload) -> None:
    """Raises OptionInvalid when names and references do not go together."""
    names, references = form.known_speaker_names, upload.files.get(REFERENCES, [])
    if references and len(references) != len(names):
        raise OptionInvalid(
            f"{len(references)} references were sent for {len(names)} names.",
            hint="Send one reference for each name, or names alone for enrolled voices.",
            field=REFERENCES,
        )
    if len(set(names)) != len(names):
        raise OptionInvalid("A speaker is named twice.", field="known_speaker_names")


async def _known_voices(
    work: Work, form: TranscriptionForm, upload: Upload, clock: StageClock
) -> tuple[Voice, ...]:
    """Voices made from the references, or else the caller's enrolled ones of these names.

    Without names nobody is known, as in OpenAI's service.
    """
    references = upload.files.get(REFERENCES, [])
    if not form.known_speaker_names:
        return ()
    if not references:
        return await chosen_voices(work.state, work.owner, form.known_speaker_names)
    voices = []
    for name, reference in zip(form.known_speaker_names, references, strict=True):
        recording = reference.with_suffix(".bin")
        await asyncio.to_thread(decode_data_url, reference, recording)
        decoded = await work.decode(recording, clock)
        enrolment = await run_enrolment(work.state.services, [decoded.clip])
        voices.append(Voice(name, (enrolment.sample,)))
    return tuple(voices)
