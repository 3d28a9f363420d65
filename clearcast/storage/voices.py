"""Enrolled voices: the data types and the JSON file they are exported to and imported from.

What lives here: `Voice`, `VoiceSample`, `VoiceBook` and its file. What does not: making voiceprints
(`engines/embed`) and comparing them (`engines/identify`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, slots=True, eq=False)
class VoiceSample:
    """One voiceprint: `embedding` is float32, L2 norm 1, shape (dimension,), made by the engine `model`
    from `speech_s` seconds of speech (None when not known)."""

    embedding: npt.NDArray[np.float32]
    model: str
    speech_s: float | None = None


@dataclass(frozen=True, slots=True)
class Voice:
    """A person by name, with at least one sample."""

    name: str
    samples: tuple[VoiceSample, ...]
