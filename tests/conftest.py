"""Fixtures shared by all tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from clearcast.privacy import forbid_telemetry

forbid_telemetry()  # some tests call the libraries directly

SHARED_AUDIO = Path(__file__).resolve().parents[2] / "shared" / "audio"


@pytest.fixture(scope="session")
def shared_audio() -> Path:
    """The folder of real speech with ground truth, which lies beside the checkout."""
    if not (SHARED_AUDIO / "manifest.json").is_file():
        pytest.skip("the shared evaluation audio is not beside this checkout")
    return SHARED_AUDIO
