"""One recogniser for all live transcriptions of a process, the urgent first.

What lives here: who is served when. What does not: the recogniser.

What must be said is done in the order it came. What is only foreseen, or only shown meanwhile, is done when
nothing else waits, and otherwise not at all: nobody's text comes late because of another's preview. Where
the recogniser can stop in the middle of something, a preview that was begun is stopped, too.
"""

from __future__ import annotations

import asyncio
from collections import deque

from clearcast.audio.recording import Clip
from clearcast.engines.transcribe.contract import TranscribeOptions
from clearcast.services import Transcriber
from clearcast.speech.transcript import Transcript


class RecognitionDesk:
    """Attributes:
    waiting: how many wait for their turn.
    is_sooner_with_less: the recogniser needs less time for less sound.
    stops_soon: what is stopped makes room for something else.
    """

    def __init__(
        self,
        transcriber: Transcriber,
        at_once: int = 1,
        *,
        is_sooner_with_less: bool = True,
        stops_soon: bool = False,
    ) -> None:
        """`at_once` is how many calls the recogniser works on at a time."""
        self.is_sooner_with_less, self.stops_soon = is_sooner_with_less, stops_soon
        self._transcriber = transcriber
        self._at_once = self._free = at_once
        self._turns: deque[asyncio.Future[None]] = deque()
        self._previews: list[asyncio.Task[Transcript]] = []  # that may be stopped

    @property
    def waiting(self) -> int:
        return len(self._turns)

    @property
    def is_free(self) -> bool:
        """Whether a call would be done at once."""
        return self._free > 0 and not self._turns

    @property
    def has_room_for_previews(self) -> bool:
        """Whether one would be done at once, and leave a place of several to what is more urgent."""
        return self._free >= min(2, self._at_once) and not self._turns

    async def must(self, clip: Clip, options: TranscribeOptions) -> Transcript:
        """The clip's text, in turn. Raises what the recogniser raises."""
        if not self.is_free:
            if self.stops_soon and self._previews:
                self._previews.pop().cancel()
            turn = asyncio.get_running_loop().create_future()
            self._turns.append(turn)
            try:
                await turn  # the place is handed over: `_free` stays as it is
            except asyncio.CancelledError:
                if turn.done() and not turn.cancelled():
                    self._hand_over()
                elif turn in self._turns:
                    self._turns.remove(turn)
                raise
        else:
            self._free -= 1
        return await self._work(clip, options)

    async def may(self, clip: Clip, options: TranscribeOptions) -> Transcript | None:
        """The same if the recogniser is free now; else None, at once."""
        if not self.is_free:
            return None
        self._free -= 1
        return await self._work(clip, options)

    async def preview(self, clip: Clip, options: TranscribeOptions) -> Transcript | None:
        """The same; also None, later, if it was stopped because of something that must be done."""
        if not self.has_room_for_previews:
            return None
        self._free -= 1
        # The place is given back here, not by `_work`: a task that is stopped before it began does nothing.
        work = asyncio.ensure_future(self._transcriber.transcribe(clip, options))
        self._previews.append(work)
        try:
            await asyncio.wait([work])
        finally:
            if work in self._previews:
                self._previews.remove(work)
            work.cancel()
            self._hand_over()
        return None if work.cancelled() else work.result()

    async def _work(self, clip: Clip, options: TranscribeOptions) -> Transcript:
        try:
            return await self._transcriber.transcribe(clip, options)
        finally:
            self._hand_over()

    def _hand_over(self) -> None:
        while self._turns:
            turn = self._turns.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1
