"""What runs here: the engines and models of the profile, and the names they answer to.

What lives here: the list, in OpenAI's form with ClearCast's own fields. What does not: the routes
(`models.py`) and loading (each replica).
"""

from __future__ import annotations

import time
from typing import Literal

from pydantic import BaseModel, Field

from clearcast.engines.boost.contract import BoostEngine
from clearcast.engines.classify.contract import KeywordEngine
from clearcast.engines.denoise.contract import DenoiseEngine
from clearcast.engines.diarize.contract import DiarizationEngine
from clearcast.engines.embed.contract import EmbeddingEngine
from clearcast.engines.engine import Engine
from clearcast.engines.extract.contract import ExtractionEngine
from clearcast.engines.identify.contract import IdentificationEngine
from clearcast.engines.measure.contract import MeasureEngine
from clearcast.engines.separate.contract import SeparationEngine
from clearcast.engines.transcribe.contract import TranscriptionEngine
from clearcast.engines.voice_activity.contract import VoiceActivityEngine
from clearcast.errors import ModelError, NotFound
from clearcast.local import engine_from
from clearcast.models.store import locate
from clearcast.settings import Settings

KINDS: tuple[type[Engine], ...] = (
    TranscriptionEngine,
    DiarizationEngine,
    EmbeddingEngine,
    IdentificationEngine,
    VoiceActivityEngine,
    DenoiseEngine,
    BoostEngine,
    SeparationEngine,
    ExtractionEngine,
    MeasureEngine,
    KeywordEngine,
)

# Names that programs written for OpenAI send; each means "the transcription engine that runs here".
OPENAI_NAMES = (
    "whisper-1",
    "gpt-transcribe",
    "gpt-4o-transcribe",
    "gpt-4o-mini-transcribe",
    "gpt-4o-mini-transcribe-2025-12-15",
    "gpt-4o-transcribe-diarize",
)


class Model(BaseModel):
    """One model. The first four fields are OpenAI's."""

    id: str
    object: Literal["model"] = "model"
    created: int = Field(description="When this server started, as a Unix time.")
    owned_by: Literal["clearcast"] = "clearcast"
    service: str = Field(description='What it does, for example "transcribe".')
    engine: str
    model: str
    quality: str | None = Field(description='"rough" where the engine is known to be weak.')
    ready: bool = Field(description="Whether its files are on this machine.")
    aliases: list[str] = Field(description="Other names it answers to in `model`.")


class ModelList(BaseModel):
    object: Literal["list"] = "list"
    data: list[Model]


class Catalog:
    """The engines of a profile, not loaded. Raises EngineUnknown, SettingsInvalid."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._created = int(time.time())
        self._engines: list[Engine] = [engine_from(kind, settings) for kind in KINDS]

    def models(self) -> list[Model]:
        return [self._describe(engine) for engine in self._engines]

    def find(self, name: str) -> Model:
        """The model of that id or alias. Raises NotFound."""
        for model in self.models():
            if name in {model.id, *model.aliases}:
                return model
        raise NotFound(f"There is no model {name!r} here.", hint="See GET /v1/models.", field="model")

    def check_transcriber(self, name: str) -> None:
        """Whether a request for `name` means the engine that runs here; nothing weaker is put in its place.

        Raises NotFound.
        """
        model = self._describe(self._engines[0])
        if name not in {model.id, *model.aliases}:
            raise NotFound(
                f"The transcription model {name!r} does not run here.",
                hint=f"Ask for {model.id!r} or {OPENAI_NAMES[0]!r}.",
                field="model",
            )

    def _describe(self, engine: Engine) -> Model:
        made_by = engine.provenance
        names = [made_by.model, *(OPENAI_NAMES if engine is self._engines[0] else ())]
        return Model(
            id=made_by.engine,
            created=self._created,
            service=made_by.service,
            engine=made_by.engine,
            model=made_by.model,
            quality=made_by.quality,
            ready=self._is_ready(engine),
            aliases=[name for name in names if name != made_by.engine],
        )

    def _is_ready(self, engine: Engine) -> bool:
        try:
            for spec in engine.models(engine.options):
                locate(spec, self._settings.models_path)
        except ModelError:
            return False
        return True
