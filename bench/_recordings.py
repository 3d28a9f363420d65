"""Recordings of a wished length, made from the sample conversation."""

from __future__ import annotations

from pathlib import Path

from clearcast.audio.recording import SAMPLE_RATE_HZ, write_header
from clearcast.audio.sandbox import prepare_sync
from clearcast.sample import sample_conversation
from clearcast.settings import load_settings


def conversation_of(duration_s: float, folder: Path, pause_s: float = 0.0) -> Path:
    """A working copy in which the conversation is repeated, with `pause_s` of silence after each time."""
    once = folder / "once.wav"
    prepare_sync(sample_conversation().audio, once, load_settings("local").audio)
    period = once.read_bytes()[44:] + bytes(2 * round(pause_s * SAMPLE_RATE_HZ))
    target = folder / f"conversation-{duration_s:.0f}s.wav"
    left_bytes = 2 * round(duration_s * SAMPLE_RATE_HZ)
    with target.open("wb") as file:
        file.write(write_header(left_bytes))
        while left_bytes > 0:
            file.write(period[:left_bytes])
            left_bytes -= len(period)
    return target
