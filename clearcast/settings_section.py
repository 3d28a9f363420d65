"""What all sections of the settings have in common (`settings.py`)."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class Section(BaseModel):
    """One part of the settings; a name that it does not know is refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class EngineChoice(Section):
    """The engine of one service and its own options (each engine's file documents them)."""

    engine: str = Field(description="Name of a file in clearcast/engines/<service>/.")
    options: dict[str, Any] = Field(
        default_factory=dict, description="Passed to the engine; unknown names are refused."
    )
