"""A batch over folders of its own, on services without models."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from clearcast.settings import Settings
from clearcast.testing.media import write_tone_wav
from pipelines.batch.plan import BatchOrder, Item
from pipelines.batch.sources import find_items

MakeOrder = Callable[..., BatchOrder]


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    """Three recordings, one of them in a folder of its own."""
    folder = tmp_path / "sources"
    (folder / "week").mkdir(parents=True)
    write_tone_wav(folder / "a.wav", 1.0)
    write_tone_wav(folder / "b.wav", 2.0)
    write_tone_wav(folder / "week" / "c.wav", 3.0)
    return folder


@pytest.fixture
def order(tmp_path: Path) -> BatchOrder:
    return BatchOrder(
        pipeline="transcription",
        options={},
        formats=("json",),
        sound_format="flac",
        bits=24,
        destination=str(tmp_path / "results"),
        settings=Settings(data_dir=tmp_path / "data"),
        voices=(),
        run_id="first",
    )


@pytest.fixture
def items(order: BatchOrder, sources: Path) -> tuple[Item, ...]:
    return find_items([str(sources)], order.destination, order.settings.storage)


def again(order: BatchOrder, **changes: Any) -> BatchOrder:
    """The order of a later run."""
    return replace(order, run_id="second", **changes)
