"""What may be done to a broadcaster's sound on its way, switched on and off while it runs.

What lives here: the `FrameProcessor` and `Denoising` Protocols, and the stage that fades between processed
and untouched sound. What does not: any model, and where models run (`workers`).

A stage's delay never changes: untouched sound waits as long as processed sound takes. So switching moves
nothing in time, and both can be added during the fade.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np

from clearcast.errors import ServiceError
from streaming.frames import Frame
from streaming.opus import SAMPLE_RATE_HZ, Sound

logger = logging.getLogger(__name__)

# A model that was just switched on hears so much before it is heard: its running means settle.
_WARM_UP_S = 0.2
# So long a processor may take for one frame before it is given up; nobody hears anything meanwhile.
_PATIENCE_S = 0.3
# So long sound passes untouched before another processor is tried; longer each time one fails soon, for
# every failure may be heard.
_RETRY_S, _LONGEST_RETRY_S = 0.5, 8.0


class FrameProcessor(Protocol):
    """Sound in, as much sound out, late by a fixed number of samples.

    Attributes:
        delay_samples: once n samples went in, at least n − delay_samples have come out.
    """

    delay_samples: int

    async def process(self, samples: Sound) -> Sound:
        """float32 (n, channels) in; what is ready out, sample k of all outputs belonging to sample k of all
        inputs. Called for one frame after another, never at once."""

    async def close(self) -> None:
        """Give everything back."""


class Denoising(Protocol):
    """What rooms share to clean voices: `streaming.workers.DenoiseWorkers`.

    Attributes:
        delay_samples: of every processor it opens.
    """

    delay_samples: int

    def open(self, channels: int) -> FrameProcessor:
        """For one voice. Raises what it likes: the stage then tries again after a while."""


class ProcessingStage:
    """Frames through a processor that is opened when it is switched on and closed when it is switched off.

    Attributes:
        delay_samples: of whatever comes out, processed or not; a multiple of the frame.
        failed: True while a processor that raised or stalled is not replaced: sound passes untouched.
    """

    def __init__(
        self, open_processor: Callable[[], FrameProcessor], delay_samples: int, frame_samples: int
    ) -> None:
        """`delay_samples` is that of the processors that will be opened."""
        self._open = open_processor
        self._frame_samples = frame_samples
        self._delay_frames = -(-delay_samples // frame_samples)
        self.delay_samples = self._delay_frames * frame_samples
        self.failed = False
        self._on = False
        self._running: _Running | None = None
        self._retry_s = _RETRY_S
        self._retry_in_samples = 0
        self._closing: set[asyncio.Task[None]] = set()
        self._waiting: deque[Frame | None] = deque()  # None for silence of our own, dropped at the end
        self._end: int | None = None

    @property
    def on(self) -> bool:
        """Whether processed sound is asked for."""
        return self._on

    @property
    def heard(self) -> bool:
        """Whether what came out last was processed sound."""
        return self._running is not None and self._running.share == 1

    def switch(self, on: bool) -> None:
        """Heard once the model has warmed up, or at once for off; faded over one frame."""
        self._on = on
        self._retry_in_samples = 0

    async def push(self, *frames: Frame) -> list[Frame]:
        """Frames of `frame_samples` in; as many out, `delay_samples` late, and more where time jumped.

        Several that follow one another go through the processor at once: who has fallen behind catches up.
        The processor's faults do not come through: see `failed`.
        """
        out: list[Frame] = []
        together: list[Frame] = []
        for frame in frames:
            if self._end is not None and frame.position != self._end:
                out += await self._step(together) + await self.flush()
                together = []
            self._end = frame.position + len(frame.samples)
            together.append(frame)
        return out + await self._step(together)

    async def flush(self) -> list[Frame]:
        """What still waits, pushed out by silence that is dropped when it comes out itself."""
        out: list[Frame] = []
        while (last := next((frame for frame in self._waiting if frame is not None), None)) is not None:
            out += await self._step([None], np.zeros_like(last.samples))
        return out

    async def close(self) -> None:
        """Give the processors back; one that is stuck is waited for no longer than it was in a frame."""
        self._drop()
        if self._closing:
            await asyncio.wait(self._closing)

    def _drop(self) -> None:
        """Do without the processor from now on; it is closed while sound goes on."""
        if self._running is not None:
            closing = asyncio.ensure_future(self._give_back(self._running.processor))
            self._closing.add(closing)
            closing.add_done_callback(self._closing.discard)
            self._running = None

    def _fail(self) -> None:
        """Do without for a while."""
        wait_s = _RETRY_S
        if self._running is not None:  # it was opened, and broke
            if self._running.given_samples > _LONGEST_RETRY_S * SAMPLE_RATE_HZ:
                self._retry_s = _RETRY_S
            wait_s, self._retry_s = self._retry_s, min(2 * self._retry_s, _LONGEST_RETRY_S)
        self.failed = True
        self._retry_in_samples = round(wait_s * SAMPLE_RATE_HZ)
        self._drop()

    async def _give_back(self, processor: FrameProcessor) -> None:
        try:
            async with asyncio.timeout(_PATIENCE_S):
                await processor.close()
        except Exception:
            logger.exception("a processor of live sound could not be closed")

    async def _step(self, frames: Sequence[Frame | None], silence: Sound | None = None) -> list[Frame]:
        """Frames that follow one another in, or None with the silence it stands for."""
        sounds = [frame.samples for frame in frames if frame is not None]
        if silence is not None:
            sounds.append(silence)
        if not sounds:
            return []
        samples = sounds[0] if len(sounds) == 1 else np.concatenate(sounds)
        if self._on and self._running is None:
            self._retry_in_samples -= len(samples)
            if self._retry_in_samples <= 0:
                self._start()
        self._waiting.extend(frames)
        if self._running is not None:
            await self._process(self._running, samples)
        out = []
        while len(self._waiting) > self._delay_frames:
            mixed = self._mixed(self._waiting.popleft())
            if mixed is not None:
                out.append(mixed)
        return out

    def _start(self) -> None:
        try:
            self._running = _Running(self._open(), frames_before=len(self._waiting))
            self.failed = False
        except Exception:
            if not self.failed:  # or every half second would be told
                logger.exception("a processor of live sound could not be opened")
            self._fail()

    async def _process(self, running: _Running, samples: Sound) -> None:
        try:
            # Not `wait_for`: before Python 3.12 it loses a cancellation that meets the answer.
            async with asyncio.timeout(_PATIENCE_S):
                processed = await running.processor.process(samples)
            running.put(processed)
        except (
            TimeoutError,
            ServiceError,
        ) as error:  # late or gone, which is no fault to be looked for here
            logger.warning("a processor of live sound failed", extra={"reason": type(error).__name__})
            self._fail()
        except Exception:  # whatever a model does, the show goes on
            logger.exception("a processor of live sound failed")
            self._fail()

    def _mixed(self, frame: Frame | None) -> Frame | None:
        """The frame that leaves, with as much processed sound as is asked for."""
        if self._running is None:
            return frame
        try:
            mixed = self._running.mix(frame, self._frame_samples, on=self._on)
        except LookupError:
            logger.exception("a processor of live sound is later than it said")
            self._fail()
            return frame
        if not self._on and self._running.share == 0:
            self._drop()
        return mixed


class _Running:
    """A processor at work: its output, and how much of it is heard.

    Attributes:
        share: of processed sound in what came out last, 0 or 1.
        given_samples: how much it has processed.
    """

    def __init__(self, processor: FrameProcessor, frames_before: int) -> None:
        self.processor = processor
        self.share = 0.0
        self.given_samples = 0
        self._frames_before = frames_before  # that leave before the first one it has heard
        self._to_warm_up_samples = round(_WARM_UP_S * SAMPLE_RATE_HZ)
        self._parts: list[Sound] = []

    def put(self, processed: Sound) -> None:
        self.given_samples += len(processed)
        if len(processed):
            self._parts.append(processed)

    def mix(self, frame: Frame | None, count: int, *, on: bool) -> Frame | None:
        """The frame, as much of it processed as is due. Raises LookupError when that has not come."""
        if self._frames_before:
            self._frames_before -= 1
            return frame
        if sum(map(len, self._parts)) < count:
            raise LookupError
        joined = self._parts[0] if len(self._parts) == 1 else np.concatenate(self._parts)
        processed, rest = joined[:count], joined[count:]
        self._parts = [rest] if len(rest) else []
        self._to_warm_up_samples -= count
        target = 1.0 if on and self._to_warm_up_samples <= 0 else 0.0
        before, self.share = self.share, target
        if frame is None or before == target == 0:
            return frame
        if before == target == 1:
            return Frame(frame.position, processed, frame.concealed)
        ramp = np.linspace(before, target, count, dtype=np.float32)[:, np.newaxis]
        return Frame(frame.position, frame.samples * (1 - ramp) + processed * ramp, frame.concealed)
