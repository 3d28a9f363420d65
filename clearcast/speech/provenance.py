"""Which engine and which model made a result, so that no result is anonymous."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Provenance:
    """Attributes:
    service: what was done, for example "transcribe".
    engine: the engine's file name, for example "faster_whisper".
    model: the model's name, for example "small".
    quality: "rough" where the engine is known to be weak, "experimental" where it works on some sound only;
        shown wherever the result is. None otherwise.
    """

    service: str
    engine: str
    model: str
    quality: str | None = None

    def __str__(self) -> str:
        label = f"{self.service}: {self.engine} ({self.model})"
        return label if self.quality is None else f"{label}, {self.quality}"
