"""A real conversation that is on every ClearCast machine: pyannote.audio's wheel carries it.

Half a minute of two people on the telephone, with a reference of who speaks when. The demo, tests and
measurements use it, so that all of them work with nothing downloaded.
"""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path

from clearcast.errors import NotFound


@dataclass(frozen=True, slots=True)
class Sample:
    """`audio` is a 16 kHz mono WAV, `reference` the RTTM that goes with it."""

    audio: Path
    reference: Path


def sample_conversation() -> Sample:
    """Where the conversation lies. Raises NotFound when pyannote.audio is not installed."""
    spec = importlib.util.find_spec("pyannote")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        audio = Path(folder) / "audio" / "sample" / "sample.wav"
        if audio.is_file():
            return Sample(audio, audio.with_suffix(".rttm"))
    raise NotFound("pyannote.audio, which carries the sample conversation, is not installed.")
