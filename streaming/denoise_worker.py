"""The process that denoises live voices. `workers` starts it; it ends when its socket closes.

    python -m streaming.denoise_worker DESCRIPTOR ORDER

What lives here: the child's side. What does not: the language it speaks (`worker_wire`) and how it is
started (`workers`).

One thread takes one frame after the other, so that a worker is a core and no more. An interrupt at the
terminal is for the parent, which then closes the socket; so does the system when the parent is killed.
"""

from __future__ import annotations

import contextlib
import json
import logging
import signal
import socket
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from clearcast.engines.denoise._stream import DenoiseStream
from clearcast.engines.denoise.contract import DenoiseEngine, DenoiseOptions
from clearcast.engines.engine import EngineContext, make_engine
from streaming.opus import SAMPLE_RATE_HZ
from streaming.worker_wire import Inbox, Kind, Message, error_body, sound_body

logger = logging.getLogger(__name__)

_READ_BYTES = 1 << 16


class DenoiseWorker:
    """One stream for each voice, and the answers to messages."""

    def __init__(self, engine: DenoiseEngine, options: DenoiseOptions) -> None:
        self._engine, self._options = engine, options
        self._streams: dict[int, DenoiseStream] = {}

    def load(self) -> Message:
        """READY: a first frame costs no more than a later one from now on. Raises what loading raises."""
        with self._engine.open_stream(SAMPLE_RATE_HZ, 1, self._options) as stream:
            stream.push(np.zeros((stream.hop_samples, 1), np.float32))
            return Message(Kind.READY, number=stream.delay_samples)

    def answer(self, message: Message) -> Message | None:
        """What is to be said to a message, if anything. One voice's fault does not touch the others."""
        if message.kind is Kind.OPEN:
            self._open(message.voice, message.number)
        elif message.kind is Kind.CLOSE:
            self._close(message.voice)
        elif message.kind is Kind.FRAME:
            return self._clean(message)
        return None

    def _open(self, voice: int, channels: int) -> None:
        try:
            self._streams[voice] = self._engine.open_stream(SAMPLE_RATE_HZ, channels, self._options)
        except Exception:  # its frames will fail
            logger.exception("a live voice could not be taken")

    def _close(self, voice: int) -> None:
        stream = self._streams.pop(voice, None)
        if stream is not None:
            stream.close()

    def _clean(self, message: Message) -> Message:
        try:
            stream = self._streams[message.voice]
            body = sound_body(stream.push(message.sound(stream.channels)))
            return Message(Kind.SOUND, message.voice, message.number, body)
        except Exception as error:
            logger.exception("a live voice could not be denoised")
            return Message(Kind.FAILED, message.voice, message.number, error_body(error))


@dataclass(frozen=True, slots=True)
class Order:
    """What a worker is told on its command line. Attributes: as `DenoiseWorkers` takes them."""

    engine: str
    engine_options: dict[str, object]
    models_dir: str
    options: dict[str, float | bool | None]

    def worker(self) -> DenoiseWorker:
        """Not loaded. Raises EngineUnknown, SettingsInvalid."""
        context = EngineContext(Path(self.models_dir))
        engine = make_engine(DenoiseEngine, self.engine, self.engine_options, context)
        return DenoiseWorker(engine, DenoiseOptions(**self.options))  # type: ignore[arg-type]


def serve(link: socket.socket, order: Order) -> None:
    """Until the other end closes, or at once if the engine cannot be loaded."""
    try:
        worker = order.worker()
        link.sendall(worker.load().packed())
    except Exception as error:
        logger.exception("a denoising worker could not load its engine")
        link.sendall(Message(Kind.FAILED, body=error_body(error)).packed())
        return
    inbox = Inbox()
    while data := link.recv(_READ_BYTES):
        for message in inbox.push(data):
            answer = worker.answer(message)
            if answer is not None:
                link.sendall(answer.packed())


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    descriptor, order = int(sys.argv[1]), Order(**json.loads(sys.argv[2]))
    # Where the parent has gone in mid-sentence there is nobody to tell.
    with (
        socket.socket(fileno=descriptor) as link,
        contextlib.suppress(BrokenPipeError, ConnectionResetError),
    ):
        serve(link, order)


if __name__ == "__main__":
    main()
