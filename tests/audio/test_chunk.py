from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from clearcast.audio.chunk import Chunk, ChunkPlan, cut, join, process_in_chunks


def signal(num_samples: int, channels: int | None) -> np.ndarray:
    shape = (num_samples,) if channels is None else (num_samples, channels)
    return np.random.default_rng(num_samples).uniform(-1, 1, shape).astype(np.float32)


def blocks_of(samples: np.ndarray, length: int) -> Iterator[np.ndarray]:
    for at in range(0, len(samples), length):
        yield samples[at : at + length]


@pytest.mark.parametrize("channels", [None, 1, 2])
@pytest.mark.parametrize("num_samples", [1, 99, 100, 101, 179, 180, 181, 1000, 12_345])
@pytest.mark.parametrize("block", [1, 37, 100, 5000])
def test_processing_that_does_nothing_changes_nothing(
    num_samples: int, block: int, channels: int | None
) -> None:
    samples = signal(num_samples, channels)
    plan = ChunkPlan(chunk_samples=100, overlap_samples=20)
    joined = np.concatenate(list(process_in_chunks(blocks_of(samples, block), plan, np.copy)))
    assert joined.shape == samples.shape
    assert np.abs(joined - samples).max() <= 1e-6


@pytest.mark.parametrize("overlap", [0, 1, 50])
def test_any_overlap_up_to_half_a_chunk_works(overlap: int) -> None:
    samples = signal(1234, None)
    joined = np.concatenate(list(process_in_chunks([samples], ChunkPlan(100, overlap), np.copy)))
    assert np.abs(joined - samples).max() <= 1e-6


def test_chunks_have_the_planned_length_and_starts() -> None:
    chunks = list(cut(blocks_of(signal(250, None), 30), ChunkPlan(100, 20)))
    assert [(chunk.start, len(chunk.samples)) for chunk in chunks] == [(0, 100), (80, 100), (160, 90)]


def test_last_chunk_is_never_shorter_than_its_overlap() -> None:
    for num_samples in range(1, 400):
        *_, last = cut([signal(num_samples, None)], ChunkPlan(100, 20))
        assert last.start == 0 or len(last.samples) > 20


def test_nothing_in_gives_nothing_out() -> None:
    plan = ChunkPlan(100, 20)
    assert list(cut([], plan)) == []
    assert list(cut([np.zeros(0, np.float32)], plan)) == []
    assert list(join([], plan)) == []


def test_result_comes_while_the_signal_still_arrives() -> None:
    arrived = 0

    def arriving() -> Iterator[np.ndarray]:
        nonlocal arrived
        for _ in range(1000):
            arrived += 50
            yield np.zeros(50, np.float32)

    joined = process_in_chunks(arriving(), ChunkPlan(100, 20), np.copy)
    assert len(next(joined)) == 80
    assert arrived == 150


def test_chunks_are_the_callers_to_change() -> None:
    def spoil(samples: np.ndarray) -> np.ndarray:
        result = samples.copy()
        samples[:] = 7
        return result

    samples = signal(1000, None)
    joined = np.concatenate(list(process_in_chunks([samples.copy()], ChunkPlan(100, 20), spoil)))
    assert np.abs(joined - samples).max() <= 1e-6


def test_chunks_that_differ_are_blended_without_a_step() -> None:
    levels = iter([1.0, -1.0, 1.0])
    joined = np.concatenate(
        list(
            process_in_chunks(
                [np.zeros(250, np.float32)], ChunkPlan(100, 20), lambda chunk: chunk + next(levels)
            )
        )
    )
    assert np.abs(np.diff(joined)).max() <= 2 / 20 + 1e-6
    assert joined[40] == 1.0
    assert joined[120] == -1.0


def test_equal_power_keeps_the_power_of_unrelated_chunks() -> None:
    rng = np.random.default_rng(0)
    plan = ChunkPlan(20_000, 10_000, fade="equal_power")
    noise = [Chunk(0, rng.standard_normal(20_000).astype(np.float32))]
    noise.append(Chunk(10_000, rng.standard_normal(20_000).astype(np.float32)))
    joined = np.concatenate(list(join(noise, plan)))
    assert np.var(joined[10_000:20_000]) == pytest.approx(1.0, abs=0.05)


def test_channels_may_change_and_lengths_may_not() -> None:
    plan = ChunkPlan(100, 20)
    stems = process_in_chunks([signal(250, 2)], plan, lambda chunk: np.tile(chunk, (1, 4)))
    assert np.concatenate(list(stems)).shape == (250, 8)
    with pytest.raises(ValueError, match="100 samples into 99"):
        list(process_in_chunks([signal(250, 2)], plan, lambda chunk: chunk[1:]))


def test_chunks_out_of_place_are_refused() -> None:
    chunks = [Chunk(0, signal(100, None)), Chunk(90, signal(100, None))]
    with pytest.raises(ValueError, match="at sample 80"):
        list(join(chunks, ChunkPlan(100, 20)))


@pytest.mark.parametrize(("chunk", "overlap"), [(0, 0), (100, 51), (100, -1)])
def test_impossible_plans_are_refused(chunk: int, overlap: int) -> None:
    with pytest.raises(ValueError, match="chunk_samples"):
        ChunkPlan(chunk, overlap)
