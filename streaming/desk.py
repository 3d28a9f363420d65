"""The mixing desk of a room: one voice passes straight through, several are mixed by the clock.

What lives here: which of the two is the case, the room's timeline, and what each listener group hears. What
does not: sums (`mixer`), encoding (`listeners`).

One voice needs no clock of ours: each of its frames is encoded when it comes, and nothing waits. Several
have clocks of their own; then every frame's length one frame of each is added. The room's time follows the
wall clock wherever the way changes, so that pauses in a recording are as long as they were.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Hashable

from streaming.frames import Frame
from streaming.listeners import OutTrack, Programme
from streaming.mixer import Mixer
from streaming.opus import SAMPLE_RATE_HZ, EncoderOptions

logger = logging.getLogger(__name__)

_GRID_SAMPLES = 480  # positions lie on 10 ms
_MOST_BEHIND_S = 0.2  # a loop that was held up for longer skips what nobody needs any more


class Desk:
    """Attributes:
    programme: what everybody hears.
    """

    def __init__(self, options: EncoderOptions) -> None:
        self.programme = Programme(options)
        self._options = options
        self._voices: dict[Hashable, int | None] = {}  # offset of its timeline to the room's, while alone
        self._others: dict[Hashable, Programme] = {}  # what everybody but this voice says
        self._mixer = Mixer(options.frame_samples, options.channels)
        self._started_s = time.monotonic()
        self._end = 0  # of the room's timeline
        self._clock: asyncio.Task[None] | None = None

    def join(self, key: Hashable) -> None:
        """A voice that will `put` frames under this key."""
        self._voices[key] = None
        self._mixer.add(key)
        self._rearrange()

    def leave(self, key: Hashable) -> None:
        """Who listened to everybody but this voice hears everybody from now on."""
        del self._voices[key]
        self._mixer.remove(key)
        self._rearrange()
        own = self._others.pop(key, None)
        if own is not None:
            own.hand_over(self.programme)
            own.close()

    def without(self, key: Hashable) -> Programme:
        """What everybody but `key` says, encoded apart."""
        if key not in self._others:
            self._others[key] = Programme(self._options)
        return self._others[key]

    def move(self, track: OutTrack, key: Hashable | None) -> None:
        """Have this listener hear everybody from now on, or everybody but `key`."""
        (self.programme if key is None else self.without(key)).take_track(track)
        for other in [other for other, programme in self._others.items() if not programme.listeners]:
            self._others.pop(other).close()

    def put(self, key: Hashable, frame: Frame) -> None:
        """A frame of one voice."""
        if self._clock is not None:
            self._mixer.put(key, frame)
            return
        offset = self._voices[key]
        if offset is None:
            offset = max(self._end, self._now() - len(frame.samples)) - frame.position
            self._voices[key] = offset
        moved = Frame(frame.position + offset, frame.samples, frame.concealed)
        self._end = moved.position + len(frame.samples)
        self.programme.put(moved)
        for other, programme in self._others.items():
            if other != key:
                programme.put(moved)

    def _now(self) -> int:
        samples = round((time.monotonic() - self._started_s) * SAMPLE_RATE_HZ)
        return samples // _GRID_SAMPLES * _GRID_SAMPLES

    def _rearrange(self) -> None:
        several = len(self._voices) > 1
        if several and self._clock is None:
            self._clock = asyncio.ensure_future(self._run())
        elif not several and self._clock is not None:
            self._clock.cancel()
            self._clock = None
            self._voices = dict.fromkeys(self._voices)

    async def _run(self) -> None:
        frame_samples = self._options.frame_samples
        frame_s = frame_samples / SAMPLE_RATE_HZ
        self._end = max(self._end, self._now())
        due_s = time.monotonic()
        while True:
            due_s += frame_s
            behind_s = time.monotonic() - due_s
            if behind_s > _MOST_BEHIND_S:
                skipped = int(behind_s / frame_s)
                due_s += skipped * frame_s
                self._end += skipped * frame_samples
            await asyncio.sleep(max(0.0, due_s - time.monotonic()))
            try:
                self._mix(frame_samples)
            except Exception:  # one frame, not the show
                logger.exception("a frame of a mix could not be made")

    def _mix(self, frame_samples: int) -> None:
        mix = self._mixer.mix()
        position, self._end = self._end, self._end + frame_samples
        self.programme.put(Frame(position, mix.everybody()))
        for key, programme in self._others.items():
            programme.put(Frame(position, mix.without(key)))

    async def close(self) -> None:
        if self._clock is not None:
            self._clock.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._clock
            self._clock = None
        for programme in (self.programme, *self._others.values()):
            programme.close()
