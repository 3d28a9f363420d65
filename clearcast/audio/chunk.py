"""A long signal in overlapping chunks, and the processed chunks joined again by crossfade.

What lives here: the arithmetic of cutting and joining, streaming on both sides, so that memory holds two
chunks and not the signal. What does not: what is done to a chunk.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

FloatSamples = npt.NDArray[np.float32]
Fade = Literal["linear", "equal_power"]


@dataclass(frozen=True, slots=True)
class ChunkPlan:
    """How a signal is cut: chunks of `chunk_samples`, each sharing `overlap_samples` with the next.

    `fade` is how two chunks blend where they overlap. "linear" is the default, for its weights add up to
    one: both chunks hold the same sound there, processed twice, so equal parts stay what they are and the
    identity stays the identity. "equal_power" (weights whose squares add up to one) would raise such sound
    by up to 3 dB; it is for chunks whose content is unrelated.

    Raises ValueError when more than two chunks would meet in one place.
    """

    chunk_samples: int
    overlap_samples: int
    fade: Fade = "linear"

    def __post_init__(self) -> None:
        if not 0 <= 2 * self.overlap_samples <= self.chunk_samples or self.chunk_samples < 1:
            raise ValueError("chunk_samples must be positive and at least twice overlap_samples")

    @property
    def hop_samples(self) -> int:
        """From the start of one chunk to the start of the next."""
        return self.chunk_samples - self.overlap_samples


@dataclass(frozen=True, slots=True)
class Chunk:
    """A stretch of the signal: index of its first sample, and samples of shape (n,) or (n, channels)."""

    start: int
    samples: FloatSamples


def cut(blocks: Iterable[FloatSamples], plan: ChunkPlan) -> Iterator[Chunk]:
    """Cut a signal that arrives in blocks of any length, shape (n,) or (n, channels).

    All chunks but the last have `chunk_samples`; the last holds what is left, more than the overlap. A
    signal shorter than a chunk is one chunk; an empty one is none.
    """
    held: list[FloatSamples] = []
    count = start = 0
    for block in blocks:
        held.append(block)
        count += len(block)
        if count <= plan.chunk_samples:
            continue
        joined = np.concatenate(held)
        at = 0
        # One sample more than a chunk tells that this chunk is not the last.
        while count - at > plan.chunk_samples:
            yield Chunk(start + at, joined[at : at + plan.chunk_samples].copy())
            at += plan.hop_samples
        held, count, start = [joined[at:].copy()], count - at, start + at
    if count:
        yield Chunk(start, np.concatenate(held))


def join(chunks: Iterable[Chunk], plan: ChunkPlan) -> Iterator[FloatSamples]:
    """Blend processed chunks into one signal, yielded in consecutive blocks.

    Channels may have changed, lengths and starts may not. Raises ValueError when a chunk does not start
    where the plan has it, or is not longer than the overlap that it shares with the one before.
    """
    tail: FloatSamples | None = None
    start = 0
    for chunk in chunks:
        if chunk.start != start:
            raise ValueError(f"expected the chunk at sample {start}, not {chunk.start}")
        start += plan.hop_samples
        body = chunk.samples
        if tail is not None:
            if len(body) <= len(tail):
                raise ValueError("a chunk is not longer than its overlap")
            body = body.copy()
            body[: len(tail)] = _blend(tail, body[: len(tail)], plan.fade)
        settled = min(len(body), plan.hop_samples)
        yield body[:settled]
        tail = body[settled:]
    if tail is not None and len(tail):
        yield tail


def process_in_chunks(
    blocks: Iterable[FloatSamples],
    plan: ChunkPlan,
    process: Callable[[FloatSamples], FloatSamples],
) -> Iterator[FloatSamples]:
    """Cut, process each chunk, join. Raises ValueError when `process` changes the length of a chunk."""

    def processed() -> Iterator[Chunk]:
        for chunk in cut(blocks, plan):
            result = process(chunk.samples)
            if len(result) != len(chunk.samples):
                raise ValueError(f"processing turned {len(chunk.samples)} samples into {len(result)}")
            yield Chunk(chunk.start, result)

    return join(processed(), plan)


def _blend(old: FloatSamples, new: FloatSamples, fade: Fade) -> FloatSamples:
    """From `old` to `new` over their common length."""
    position = (np.arange(len(old), dtype=np.float32) + np.float32(0.5)) / np.float32(len(old) or 1)
    position = position.reshape((-1,) + (1,) * (old.ndim - 1))
    if fade == "linear":
        return old + (new - old) * position  # exact where both are equal
    angle = position * np.float32(np.pi / 2)
    mixed: FloatSamples = old * np.cos(angle) + new * np.sin(angle)
    return mixed
