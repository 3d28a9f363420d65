"""The shared evaluation audio, which lies beside the checkout where it is there at all."""

from __future__ import annotations

from pathlib import Path

FOLDER = Path(__file__).resolve().parents[2] / "shared" / "audio"


def shared_audio() -> Path | None:
    """Its folder, or None (and a line that says so)."""
    if (FOLDER / "manifest.json").is_file():
        return FOLDER
    print("skipped: the shared evaluation audio is not beside this checkout")
    return None
