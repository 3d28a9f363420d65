"""Denoising of live voices in processes of their own, one core each.

What lives here: the rooms' side: starting the workers, giving voices to them, and starting anew one that
died or does not answer. What does not: what a worker does (`denoise_worker`), what the two say to one
another (`worker_wire`), and what is heard meanwhile (`processing`).

A model's crash costs no room its sound, and models never take time from the loop that hands out packets.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import socket
import sys
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Self, cast

from clearcast.engines.denoise.contract import DenoiseEngine, DenoiseOptions
from clearcast.errors import (
    ClearCastError,
    ModelCorrupt,
    ModelMissing,
    OptionInvalid,
    Overloaded,
    ServiceUnavailable,
    SettingsInvalid,
)
from streaming.denoise_worker import Order
from streaming.opus import Sound
from streaming.worker_wire import Inbox, Kind, Message, sound_body

logger = logging.getLogger(__name__)

# A worker that owes an answer for so long gets no new voices; for so long, it is killed.
_LATE_S, _STUCK_S = 0.1, 1.0
_LOOK_S = 0.2
_LOAD_S = 120.0  # a first export of a network to ONNX on a busy machine
# One that ends before it was ever ready is started again after a while, ever longer.
_PAUSE_S, _LONGEST_PAUSE_S = 0.5, 30.0

_PACKAGES_DIR = Path(__file__).resolve().parent.parent
_THREADS = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
_LOAD_ERRORS: dict[str, type[ClearCastError]] = {
    kind.code: kind for kind in (ModelCorrupt, ModelMissing, OptionInvalid, SettingsInvalid)
}


def _told(message: Message) -> ClearCastError:
    told = json.loads(message.body)
    return _LOAD_ERRORS.get(told["code"], ServiceUnavailable)(told["message"], hint=told["hint"])


class WorkerProcessor:
    """A `FrameProcessor`: one voice's stream in a worker. It ends with its worker and never moves.

    One frame is under way at most.
    """

    def __init__(self, worker: _Worker, voice: int, channels: int) -> None:
        self.delay_samples = worker.delay_samples
        self._worker, self._voice, self._channels = worker, voice, channels
        self._number = 0
        self._answer: asyncio.Future[Sound] | None = None

    async def process(self, samples: Sound) -> Sound:
        """As `FrameProcessor`. Raises ServiceUnavailable when the worker is gone, or still owes the answer
        to an earlier frame."""
        if self._answer is not None:
            raise ServiceUnavailable("A denoising worker does not keep up with a voice.")
        self._number += 1
        self._answer = asyncio.get_running_loop().create_future()
        self._worker.ask(Message(Kind.FRAME, self._voice, self._number, sound_body(samples)))
        # Left in place when this is cancelled: the frame is still under way.
        sound = await self._answer
        self._answer = None
        return sound

    def take(self, message: Message) -> None:
        """The answer to the frame under way."""
        if self._answer is not None and not self._answer.done():
            if message.kind is Kind.SOUND:
                self._answer.set_result(message.sound(self._channels))
            else:
                self._answer.set_exception(_told(message))

    def fail(self) -> None:
        """The worker has gone."""
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(ServiceUnavailable("A denoising worker died."))

    async def close(self) -> None:
        self._worker.let_go(self._voice)


class _Worker(asyncio.Protocol):
    """One process and this end of its socket.

    Attributes:
        is_ready: from the engine's being loaded to the process's end.
        delay_samples: of its streams, once it is ready.
        voices: who has a stream there.
    """

    def __init__(self) -> None:
        self.is_ready = False
        self.delay_samples = 0
        self.voices: dict[int, WorkerProcessor] = {}
        self._loaded: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._inbox = Inbox()
        self._owed: deque[float] = deque()  # when the frames went out that are not answered yet
        self._last_voice = 0
        self._lost = asyncio.Event()
        self._process: asyncio.subprocess.Process | None = None
        self._transport: asyncio.Transport | None = None

    async def start(self, order: Order) -> None:
        """Returns when the engine is loaded. Raises what loading it raises, OSError, TimeoutError."""
        ours, theirs = socket.socketpair()
        try:
            with theirs:
                self._process = await _spawn(theirs, order)
            await asyncio.get_running_loop().create_unix_connection(lambda: self, sock=ours)
        except BaseException:
            ours.close()
            raise
        async with asyncio.timeout(_LOAD_S):
            await self._loaded
        self.is_ready = True

    @property
    def pid(self) -> int:
        return 0 if self._process is None else self._process.pid

    @property
    def owed_for_s(self) -> float:
        """How long the oldest frame has been waiting for its answer."""
        return time.monotonic() - self._owed[0] if self._owed else 0.0

    def open(self, channels: int) -> WorkerProcessor:
        self._last_voice += 1
        processor = WorkerProcessor(self, self._last_voice, channels)
        self.voices[self._last_voice] = processor
        self._send(Message(Kind.OPEN, self._last_voice, channels))
        return processor

    def ask(self, frame: Message) -> None:
        """Raises ServiceUnavailable when it has died."""
        if not self.is_ready:
            raise ServiceUnavailable("A denoising worker died.")
        self._owed.append(time.monotonic())
        self._send(frame)

    def let_go(self, voice: int) -> None:
        if self.voices.pop(voice, None) is not None and self.is_ready:
            self._send(Message(Kind.CLOSE, voice))

    def _send(self, message: Message) -> None:
        assert self._transport is not None
        self._transport.write(message.packed())

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's own are no subclass

    def data_received(self, data: bytes) -> None:
        for message in self._inbox.push(data):
            self._take(message)

    def _take(self, message: Message) -> None:
        if message.kind is Kind.READY:
            self.delay_samples = message.number
            self._settle(None)
        elif message.voice == 0:
            self._settle(_told(message))
        else:
            self._owed.popleft()
            processor = self.voices.get(message.voice)
            if processor is not None:
                processor.take(message)

    def connection_lost(self, error: Exception | None) -> None:
        self.is_ready = False
        self._lost.set()
        for processor in self.voices.values():
            processor.fail()
        self._settle(ServiceUnavailable("A denoising worker died while it was loading."))

    def _settle(self, error: Exception | None) -> None:
        if self._loaded.done():
            return
        if error is None:
            self._loaded.set_result(None)
        else:
            self._loaded.set_exception(error)
            self._loaded.exception()  # looked at, whether or not somebody waits for it

    async def lost(self) -> None:
        """Returns when it has died, or does not answer and should."""
        while not self._lost.is_set() and self.owed_for_s < _STUCK_S:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_LOOK_S):
                    await self._lost.wait()

    async def end(self) -> None:
        """It is dead when this returns, and its voices know."""
        if self._transport is not None:
            self._transport.abort()
            await self._lost.wait()
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()


async def _spawn(link: socket.socket, order: Order) -> asyncio.subprocess.Process:
    environment = os.environ | _THREADS
    paths = [str(_PACKAGES_DIR), *filter(None, [os.environ.get("PYTHONPATH")])]
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-m", "streaming.denoise_worker"),
        *(str(link.fileno()), json.dumps(asdict(order))),
        stdin=asyncio.subprocess.DEVNULL,
        pass_fds=(link.fileno(),),
        env=environment | {"PYTHONPATH": os.pathsep.join(paths)},
    )


class DenoiseWorkers:
    """Worker processes that rooms share: a `Denoising`. Start it before, close it after its rooms.

    Attributes:
        delay_samples: of every voice, at 48 kHz; known once it was started.
    """

    def __init__(
        self,
        engine: str,
        engine_options: Mapping[str, Any],
        models_dir: Path,
        *,
        workers: int = 1,
        voices_per_worker: int = 16,
        options: DenoiseOptions = DenoiseOptions(),
    ) -> None:
        """`engine`, `engine_options` and `models_dir` as `make_engine` takes them; `workers` processes, as
        many as there are cores to spare; who finds all of them full, or none running, stays untouched and
        asks again. `options` say how much is taken away, from every voice. Raises EngineUnknown."""
        # A worker is one core: an engine that could use more is told not to.
        one_thread = {"threads": 1} if DenoiseEngine.has_option(engine, "threads") else {}
        self.delay_samples = 0
        self._order = Order(engine, {**engine_options, **one_thread}, str(models_dir), asdict(options))
        self._voices_per_worker = voices_per_worker
        self._count = workers
        self._workers: list[_Worker] = []
        self._keepers: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Returns when every worker is ready. Raises what loading the engine raises: SettingsInvalid,
        ModelMissing, ModelCorrupt, OptionInvalid; ServiceUnavailable, TimeoutError."""
        self._workers = [_Worker() for _ in range(self._count)]
        starts = [worker.start(self._order) for worker in self._workers]
        try:
            for failure in await asyncio.gather(*starts, return_exceptions=True):
                if failure is not None:
                    raise failure
        except BaseException:
            await self.close()
            raise
        self.delay_samples = self._workers[0].delay_samples
        self._keepers = [asyncio.create_task(self._keep(at)) for at in range(self._count)]

    def open(self, channels: int) -> WorkerProcessor:
        """A stream for one voice, on the worker that has the fewest.

        Raises ServiceUnavailable where none is running, Overloaded where all are full or late.
        """
        ready = [worker for worker in self._workers if worker.is_ready]
        if not ready:
            raise ServiceUnavailable("No denoising worker is running.")
        free = [
            worker
            for worker in ready
            if len(worker.voices) < self._voices_per_worker and worker.owed_for_s < _LATE_S
        ]
        if not free:
            raise Overloaded("No denoising worker has room for another voice.")
        return min(free, key=lambda worker: len(worker.voices)).open(channels)

    @property
    def pids(self) -> list[int]:
        """Of the workers that run and are ready."""
        return [worker.pid for worker in self._workers if worker.is_ready]

    @property
    def voices(self) -> int:
        """How many are being denoised."""
        return sum(len(worker.voices) for worker in self._workers if worker.is_ready)

    async def _keep(self, at: int) -> None:
        """Have a worker in place `at`, always: another at once, and if that cannot load, after a while."""
        pause_s = _PAUSE_S
        while True:
            worker = self._workers[at]
            await worker.lost()
            await worker.end()
            logger.error("a denoising worker died or did not answer", extra={"pid": worker.pid})
            self._workers[at] = _Worker()
            try:
                await self._workers[at].start(self._order)
                pause_s = _PAUSE_S
            except (ClearCastError, OSError):  # TimeoutError is an OSError
                logger.exception("a denoising worker could not be started anew")
                await self._workers[at].end()
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)

    async def close(self) -> None:
        """No worker is left when this returns."""
        for keeper in self._keepers:
            keeper.cancel()
        await asyncio.gather(*self._keepers, return_exceptions=True)
        await asyncio.gather(*[worker.end() for worker in self._workers])
        self._keepers, self._workers = [], []

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()
