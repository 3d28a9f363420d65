"""Where all live keyword streams of a process are worked on.

What lives here: how many there may be, which models they may name, and the thread that does their work.
What does not: the protocol (`talk`), the engines.

One thread for all, and not the event loop, so that a client who sends a minute of sound at once holds up no
voice that is passed on in this process; and no process of its own, since a second of sound takes about ten
milliseconds, in steps too short to keep Python's lock for long: beside 32 streams (0.4 of a core) the event
loop was 1.1 ms late at p99, against 1.0 without. What a client sends is worked off in
pieces, so that all get their turn; who sends faster than that waits (`Spotting.push`), and nothing is
dropped.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import TypeVar

from clearcast.engines.classify.contract import ClassifyOptions, Heard, KeywordEngine, KeywordStream
from clearcast.errors import OptionInvalid, Overloaded
from clearcast.speech.provenance import Provenance
from streaming.live_text.sound import PcmReader

T = TypeVar("T")

RETRY_S = 15
_PIECE_S = 0.1  # of sound in one turn


class KeywordDesk:
    """For one event loop. Attributes:
    count: how many streams there are.
    """

    def __init__(self, usual: KeywordEngine, others: Mapping[str, KeywordEngine], most: int) -> None:
        """`usual` is the model of those who name none; `others` are loaded when somebody names one."""
        self.count = 0
        self._usual, self._others, self._most = usual, others, most
        self._thread = ThreadPoolExecutor(1, "keywords")

    @asynccontextmanager
    async def open(
        self, model: str | None, sample_rate_hz: int, options: ClassifyOptions
    ) -> AsyncIterator[Spotting]:
        """A stream of its own, to the end of the block. Raises OptionInvalid, Overloaded, and what loading
        the model raises."""
        engine, reader = self._engine(model), PcmReader(sample_rate_hz)
        if self.count >= self._most:
            raise Overloaded("As many live keyword streams run as can.", retry_after_s=RETRY_S)
        self.count += 1
        try:
            stream = await self.work(lambda: engine.stream(options))
            yield Spotting(self, engine, stream, reader, sample_rate_hz)
        finally:
            self.count -= 1

    def _engine(self, model: str | None) -> KeywordEngine:
        if model is None:
            return self._usual
        if model in self._others:
            return self._others[model]
        if model == self._usual.model_name:
            return self._usual
        raise OptionInvalid(
            f"There is no keyword model {model[:80]!r} here.",
            hint=f"Those of this server: {', '.join(sorted({*self._others, self._usual.model_name}))}.",
            option="model",
        )

    async def work(self, step: Callable[[], T]) -> T:
        """Have the thread do it, in turn."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, step)

    async def close(self) -> None:
        """When nobody is left."""
        await asyncio.to_thread(self._thread.shutdown)


class Spotting:
    """One client's sound. Attributes:
    made_by: the model.
    labels: the keywords it knows.
    """

    def __init__(
        self,
        desk: KeywordDesk,
        engine: KeywordEngine,
        stream: KeywordStream,
        reader: PcmReader,
        sample_rate_hz: int,
    ) -> None:
        """`engine` is loaded."""
        self.made_by: Provenance = engine.provenance
        self.labels = engine.labels()
        self._desk, self._stream, self._reader = desk, stream, reader
        self._piece_bytes = 2 * round(_PIECE_S * sample_rate_hz)

    async def push(self, pcm: bytes) -> list[Heard]:
        """16-bit sound; the words that ended in it. Waits for its turns."""
        heard: list[Heard] = []
        for start in range(0, len(pcm), self._piece_bytes):
            piece = pcm[start : start + self._piece_bytes]
            heard += await self._desk.work(functools.partial(self._take, piece))
        return heard

    def _take(self, piece: bytes) -> list[Heard]:
        return self._stream.push(self._reader.push(piece))

    async def finish(self) -> list[Heard]:
        """The words that the end of the sound ends."""
        return await self._desk.work(self._stream.finish)
