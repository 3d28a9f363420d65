"""The work of one request: its place, its folder, its upload, and the pipeline it runs.

What lives here: the dependency that opens all that and closes it in every case: success, error, a client
that leaves, a cancelled request. What does not: which pipeline runs (the routes).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TypeVar

from fastapi import Depends, Request

from clearcast.audio.recording import Clip
from clearcast.audio.sandbox import Prepared, prepare
from clearcast.audio.sound_check import warnings_on
from clearcast.errors import Cancelled, ServiceTimeout
from deployments.ingress import forms
from deployments.ingress.access import Owner
from deployments.ingress.admission import Place
from deployments.ingress.forms import FormT
from deployments.ingress.metrics import StageClock
from deployments.ingress.state import IngressState, State
from deployments.ingress.uploads import Upload, receive

T = TypeVar("T")

Flow = Callable[[StageClock], Awaitable[T]]
"""A pipeline as a route writes it: decode what was uploaded, run, give the result."""


@dataclass(frozen=True, slots=True)
class Decoded:
    """A working copy: where it lies, and what was learned while making it."""

    clip: Clip
    prepared: Prepared

    @property
    def duration_s(self) -> float:
        return self.prepared.duration_s

    @property
    def warnings(self) -> tuple[str, ...]:
        """What the reader of a result should know about the recording."""
        return warnings_on(self.prepared)


class Work:
    """What a route that takes recordings works with."""

    def __init__(
        self, request: Request, state: IngressState, owner: str, place: Place, folder: Path
    ) -> None:
        self.request = request
        self.state = state
        self.owner = owner
        self.folder = folder
        self._place = place
        self._limit_s = state.settings.http.request_timeout_s
        self._deadline_s = asyncio.get_running_loop().time() + self._limit_s
        self._copies = 0
        self._decoded_s = 0.0
        self._tasks: list[asyncio.Task[Any]] = []

    async def receive(self, kind: type[FormT]) -> tuple[FormT, Upload]:
        """Read the request's body: its options, checked, and its files.

        Raises ServiceTimeout, and what `uploads` and `forms` raise.
        """
        max_bytes = self.state.settings.audio.max_upload_bytes
        upload = await self._in_time(receive(self.request, self.folder, max_bytes))
        return forms.parse(kind, upload), upload

    async def decode(self, source: Path, clock: StageClock) -> Decoded:
        """Make the working copy of an uploaded file, which goes. Raises the audio errors."""
        self._copies += 1
        target = self.folder / f"working-{self._copies}.wav"
        clock("decode", 0.0)
        prepared = await prepare(
            source, target, self.state.settings.audio, lambda fraction: clock("decode", fraction)
        )
        # Room on the disk for the other requests; in a thread, since a large file takes its time.
        await asyncio.to_thread(source.unlink, missing_ok=True)
        self._decoded_s += prepared.duration_s
        clock.heard(prepared.duration_s)
        return Decoded(Clip(target.as_uri()), prepared)

    async def run(self, pipeline: str, flow: Flow[T]) -> T:
        """Run `flow` when its turn comes; stop it when the client leaves or the request takes too long.

        Raises Cancelled, ServiceTimeout, or what the flow raises.
        """
        return await self.while_connected(self.start(pipeline, flow))

    def start(self, pipeline: str, flow: Flow[T]) -> asyncio.Task[T]:
        """As `run`, but at once and without watching the client; `close` stops it."""
        task = asyncio.create_task(self._in_turn(pipeline, flow))
        self._tasks.append(task)
        return task

    async def while_connected(self, answer: Awaitable[T]) -> T:
        """Wait for `answer`; when the client leaves first, stop it. Raises Cancelled, or what it raises."""
        task = asyncio.ensure_future(answer)
        gone = asyncio.create_task(self._client_leaves())
        try:
            await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
            if not task.done():
                raise Cancelled("The client went away.")
            return task.result()
        finally:
            await _end(task, gone)

    async def close(self) -> None:
        """Stop everything that still runs and wait for it to let go of the folder."""
        await _end(*self._tasks)

    async def _in_turn(self, pipeline: str, flow: Flow[T]) -> T:
        clock = StageClock(self.state.metrics, pipeline)

        async def work() -> T:
            async with self._place.turn():
                return await flow(clock)

        try:
            result = await self._in_time(work())
        finally:
            clock.stop()
        self.state.metrics.audio_seconds.labels(pipeline).inc(self._decoded_s)
        return result

    async def _in_time(self, work: Awaitable[T]) -> T:
        """Wait for `work` until the request's time is up. Raises ServiceTimeout, or what it raises."""
        try:
            async with asyncio.timeout_at(self._deadline_s) as limit:
                return await work
        except TimeoutError as error:
            if limit.expired():
                raise ServiceTimeout(f"The request took longer than {self._limit_s:g} s.") from error
            raise

    async def _client_leaves(self) -> None:
        """Returns when the client has closed the connection; the body must have been read."""
        while (await self.request.receive())["type"] != "http.disconnect":
            pass


async def _end(*tasks: asyncio.Future[Any]) -> None:
    """Cancel tasks and wait until they are over."""
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks)
    for task in tasks:
        if not task.cancelled():
            task.exception()  # taken notice of: whoever wanted it has it, or is gone


async def _open(request: Request, state: State, owner: Owner) -> AsyncIterator[Work]:
    """Work for a caller who is known, if there is a place. Raises Overloaded before the body is read."""
    async with state.gate.place() as place, state.workroom.folder() as folder:
        work = Work(request, state, owner, place, folder)
        try:
            yield work
        finally:
            await work.close()


Working = Annotated[Work, Depends(_open)]
