"""Results while they come into being, as server-sent events in OpenAI's form.

What lives here: the stream, and the stage hooks that hear finished parts of a flow. What does not: the
flows, and the shapes of the events (`openai_format.py`).

Until the first event, or `QUIET_S` of silence, nothing is answered, so that what fails early fails with
its own HTTP status. Later errors are an event that the OpenAI SDK raises as an exception.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypeVar, cast

from fastapi.responses import StreamingResponse

from clearcast.engines.engine import Progress
from clearcast.speech.align import assign_speakers, rename_speakers
from clearcast.speech.meeting import SpeakerIdentity
from clearcast.speech.transcript import Transcript
from clearcast.speech.turns import Diarization, Turn
from deployments.ingress.metrics import StageClock
from deployments.ingress.openai_format import (
    Letters,
    StreamEvent,
    TextDelta,
    as_json,
    diarized_segment,
    identified_names,
)
from deployments.ingress.problems import late_problem
from deployments.ingress.work import Work
from pipelines.stages import Work as StageWork

T = TypeVar("T")

QUIET_S = 15.0  # between two signs of life: proxies close connections that are silent for 30 to 60 s
WAITING_EVENTS = 64  # the flow waits when the client reads more slowly than this

Emit = Callable[[StreamEvent], Awaitable[None]]
StreamFlow = Callable[[StageClock, Emit], Awaitable[None]]


class EventStream:
    """The events of one flow, read while it runs."""

    def __init__(self, work: Work, pipeline: str, flow: StreamFlow) -> None:
        self._work = work
        self._queue: asyncio.Queue[StreamEvent] = asyncio.Queue(WAITING_EVENTS)
        self._task = work.start(pipeline, lambda clock: flow(clock, self._queue.put))

    async def response(self) -> StreamingResponse:
        """The answer, once there is something to say. Raises what the flow raises before that."""
        first = await self._work.while_connected(self._next())
        if first is None:
            await self._task  # nothing was emitted: it failed
        return StreamingResponse(
            self._lines(first),
            media_type="text/event-stream",
            headers={"X-Accel-Buffering": "no"},  # nginx would hold events back
        )

    async def _lines(self, first: StreamEvent | str | None) -> AsyncIterator[str]:
        item = first
        while item is not None:
            yield item if isinstance(item, str) else _data(as_json(item))
            item = await self._next()
        try:
            await self._task
        except Exception as error:
            yield _data(late_problem(self._work.request.scope, error))

    async def _next(self) -> StreamEvent | str | None:
        """The next event; a comment when all is silent; None when the flow has ended."""
        get = asyncio.ensure_future(self._queue.get())
        try:
            await asyncio.wait({get, self._task}, timeout=QUIET_S, return_when=asyncio.FIRST_COMPLETED)
            if get.done():
                return get.result()
        finally:
            get.cancel()
        if not self._task.done():
            return ": working\n\n"
        return None if self._queue.empty() else self._queue.get_nowait()


def _data(content: dict[str, Any]) -> str:
    return f"data: {json.dumps(content, ensure_ascii=False, separators=(',', ':'))}\n\n"


class TextParts:
    """A stage hook that emits the text of every finished window."""

    def __init__(self, emit: Emit) -> None:
        self._emit = emit
        self._begun = False

    async def __call__(self, name: str, work: StageWork[T], progress: Progress) -> T:
        result = await work(progress)
        await self._hear(name, result)
        return result

    async def _hear(self, name: str, result: object) -> None:
        if isinstance(result, Transcript):
            for segment in result.segments:
                await self._emit_text(segment.text)

    async def _emit_text(self, text: str, segment_id: str | None = None) -> None:
        """Deltas add up to the whole text, in which segments are joined by a space."""
        if text:
            await self._emit(TextDelta(delta=f" {text}" if self._begun else text, segment_id=segment_id))
            self._begun = True


class SpokenParts(TextParts):
    """A stage hook for meetings: emits every segment with its speaker as soon as its window is done."""

    def __init__(self, emit: Emit) -> None:
        super().__init__(emit)
        self._diarization: Diarization | None = None
        self._turns: tuple[Turn, ...] = ()
        self._letters = Letters(())
        self._count = 0

    async def _hear(self, name: str, result: object) -> None:
        if isinstance(result, Diarization):
            self._diarization = result
        elif name == "identify":
            self._know(cast(tuple[SpeakerIdentity, ...], result))
        elif isinstance(result, Transcript):
            for segment in assign_speakers(result, self._turns).segments:
                spoken = diarized_segment(segment, self._count, self._letters)
                self._count += 1
                await self._emit_text(segment.text, spoken.id)
                await self._emit(spoken)

    def _know(self, speakers: tuple[SpeakerIdentity, ...]) -> None:
        assert self._diarization is not None
        names = {speaker.label: speaker.shown_as for speaker in speakers}
        self._turns = rename_speakers(self._diarization, names).turns
        self._letters = Letters(identified_names(speakers))
