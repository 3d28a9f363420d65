"""When a live room is recorded.

What lives here: recording while it is wanted and somebody speaks. What does not: how (`recording_keeper`).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import datetime

from clearcast.errors import ClearCastError
from streaming.recording_keeper import RecordedShow, RecordingKeeper, RunningRecording
from streaming.room import Room

logger = logging.getLogger(__name__)


class ShowRecording:
    """Attributes:
    is_wanted: recorded as soon as somebody speaks.
    """

    def __init__(
        self,
        keeper: RecordingKeeper,
        show: RecordedShow,
        media: Room,
        on_change: Callable[[], None],
        before_stop: Callable[[], Awaitable[None]],
    ) -> None:
        """`on_change` is called whenever `is_running` has changed; `before_stop` is awaited before it ends,
        for what is still to be noted, and must not take long."""
        self.is_wanted = False
        self._keeper = keeper
        self._show = show
        self._media = media
        self._on_change = on_change
        self._before_stop = before_stop
        self._running: RunningRecording | None = None
        self._turn = asyncio.Lock()

    @property
    def is_running(self) -> bool:
        return self._running is not None

    def note(self, event: str, participant: str | None = None, **facts: str | float | bool) -> None:
        """For the sidecar of a recording that runs."""
        if self._running is not None:
            self._running.note(event, participant, **facts)

    def note_said(
        self, event: str, participant: str, start: datetime, end: datetime, **facts: str | float | bool
    ) -> None:
        """The same of what was said from here to there, as `start_s` and `end_s` in the recording; nothing
        where that was before it."""
        if self._running is None:
            return
        zero = self._running.started_at
        start_s, end_s = ((at - zero).total_seconds() for at in (start, end))
        if end_s > 0:
            times = {"start_s": round(max(0.0, start_s), 3), "end_s": round(end_s, 3)}
            self._running.note(event, participant, **times, **facts)

    def failed(self) -> None:
        """The keeper has ended it; it is not tried again until somebody asks for it."""
        self.is_wanted = False
        self._running = None
        self._on_change()

    async def review(self) -> None:
        """Start or stop, as things are now. The show goes on when it cannot be recorded."""
        async with self._turn:
            if not self._is_due and self._running is not None:
                await self._before_stop()
            if self._is_due and self._running is None:
                await self._start()
            elif not self._is_due and self._running is not None:
                await self._stop()

    @property
    def _is_due(self) -> bool:
        return self.is_wanted and bool(self._media.voices)

    async def _start(self) -> None:
        try:
            self._running = await self._keeper.start(self._show, self._media)
        except (ClearCastError, OSError) as error:
            logger.warning("a room cannot be recorded", exc_info=error)
            code = error.code if isinstance(error, ClearCastError) else ClearCastError.code
            self.is_wanted = False
            self._show.on_failure(code)
            return
        self._on_change()

    async def _stop(self) -> None:
        running, self._running = self._running, None
        if running is not None:
            try:
                await running.stop()
            except Exception:  # the keeper takes up what lies in its folder at its next start
                logger.exception("a recording could not be finished")
            self._on_change()

    async def close(self) -> None:
        async with self._turn:
            if self._running is not None:
                await self._before_stop()
            await self._stop()
