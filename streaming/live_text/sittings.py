"""The live transcriptions of one process.

What lives here: how many there may be, and those whose client may come back. What does not: what they do
(`sitting`; `captioned_voice` for voices of rooms, each of which takes a place like a client).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from clearcast.errors import Overloaded
from clearcast.ids import new_id
from streaming.live_text.captioned_voice import CaptionedVoice
from streaming.live_text.lines import LiveEvent
from streaming.live_text.messages import Hello
from streaming.live_text.options import LiveOptions
from streaming.live_text.sitting import LiveParts, Person, Sitting
from streaming.live_text.speakers import KnownVoice
from streaming.outbox import Outbox

logger = logging.getLogger(__name__)

RESUME_WITHIN_S = 30.0
_RETRY_S = 15


class Sittings:
    """Attributes:
    refused: how many found no place.
    """

    def __init__(self, parts: LiveParts, folder: Path, most: int) -> None:
        """`folder` is for the sound of this process alone: what a crash left there is removed."""
        self.parts = parts
        self.refused = 0
        self._folder, self._most = folder, most
        self._open: dict[str, Sitting] = {}
        self._leaving: dict[str, asyncio.Task[None]] = {}
        self._voices: set[CaptionedVoice] = set()
        shutil.rmtree(folder, ignore_errors=True)

    @property
    def count(self) -> int:
        return len(self._open) + len(self._voices)

    def check_places(self, wanted: int) -> None:
        """Raises Overloaded where fewer are free."""
        if self.count + wanted > self._most:
            self.refused += 1
            raise Overloaded("As many live transcriptions run as can.", retry_after_s=_RETRY_S)

    def known(self, person_id: str, resume: str | None) -> Sitting | None:
        """The sitting that this person comes back to, if it is still there."""
        sitting = None if resume is None else self._open.get(resume)
        return sitting if sitting is not None and sitting.person.id == person_id else None

    def enter(self, person: Person, hello: Hello, outbox: Outbox) -> Sitting:
        """Come back, or begin. Raises Overloaded, OptionInvalid."""
        sitting = self.known(person.id, hello.resume)
        if sitting is None:
            self.check_places(1)
            folder = self._folder / new_id("live")
            options = hello.options.checked()
            resume = secrets.token_urlsafe(24)
            sitting = Sitting(self.parts, person, hello.sample_rate_hz, options, folder, resume)
            self._open[resume] = sitting
        leaving = self._leaving.pop(sitting.resume, None)
        if leaving is not None:
            leaving.cancel()
        sitting.attach(outbox, hello.after)
        return sitting

    def caption(
        self,
        options: LiveOptions,
        tell: Callable[[LiveEvent], None],
        clock_s: Callable[[], float],
        known: Sequence[KnownVoice] = (),
    ) -> CaptionedVoice:
        """Begin with a voice of a room, which has its place until it is closed. See there for the others.
        Raises Overloaded, OSError."""
        self.check_places(1)
        folder = self._folder / new_id("live")
        voice = CaptionedVoice(self.parts, options, folder, tell, clock_s, self._voices.discard, known)
        self._voices.add(voice)
        return voice

    def leave(self, sitting: Sitting, outbox: Outbox) -> None:
        """Its connection broke: it waits to be come back to."""
        sitting.detach(outbox)
        if sitting.outbox is None and sitting.resume in self._open:
            self._leaving[sitting.resume] = asyncio.create_task(self._wait_and_end(sitting))

    async def end(self, sitting: Sitting) -> None:
        """Its client is done."""
        self._open.pop(sitting.resume, None)
        await sitting.close()

    async def _wait_and_end(self, sitting: Sitting) -> None:
        await asyncio.sleep(RESUME_WITHIN_S)
        self._leaving.pop(sitting.resume, None)
        await self.end(sitting)

    async def close(self) -> None:
        """All of them, at once."""
        for task in self._leaving.values():
            task.cancel()
        await asyncio.gather(*self._leaving.values(), return_exceptions=True)
        for sitting in list(self._open.values()):
            with contextlib.suppress(Exception):
                await self.end(sitting)
        for voice in list(self._voices):
            await voice.close()
        shutil.rmtree(self._folder, ignore_errors=True)
