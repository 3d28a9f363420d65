"""Fixtures shared by the audio tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from clearcast.settings import AudioSettings
from clearcast.testing.media import write_silence_bomb


@pytest.fixture
def limits() -> AudioSettings:
    return AudioSettings()


@pytest.fixture(scope="session")
def hour_of_silence(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """650 kB of FLAC that take about a second to decode: long enough to be interrupted."""
    return write_silence_bomb(tmp_path_factory.mktemp("long") / "hour.flac", 3600)
