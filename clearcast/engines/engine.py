"""What all engines have in common: options, loading, provenance; and how one is found by name.

What lives here: the `Engine` base class and the lookup by file name. What does not: what a service does
(`<service>/contract.py`) and any model.
"""

from __future__ import annotations

import importlib
import inspect
import logging
import pkgutil
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from pydantic import ConfigDict, TypeAdapter, ValidationError

from clearcast.errors import EngineUnknown, SettingsInvalid
from clearcast.models.spec import ModelSpec
from clearcast.privacy import forbid_telemetry
from clearcast.speech.provenance import Provenance

logger = logging.getLogger(__name__)

SERVICES = (
    "voice_activity",
    "embed",
    "diarize",
    "identify",
    "transcribe",
    "boost",
    "separate",
    "denoise",
    "extract",
    "measure",
    "classify",
)

Progress = Callable[[float], None]
"""Told the finished fraction in [0, 1]; may raise `Cancelled` to stop the work."""


def ignore_progress(_fraction: float) -> None:
    """The progress listener of those who do not listen."""


def share(progress: Progress, done: float, part: float) -> Progress:
    """The progress of a part: its 0…1 becomes `done`…`done + part` of the whole."""
    return lambda fraction: progress(done + part * fraction)


@dataclass(frozen=True)
class EngineOptions:
    """Base of every engine's options, as a profile gives them; unknown names are refused."""

    __pydantic_config__ = ConfigDict(extra="forbid")


@dataclass(frozen=True, slots=True)
class EngineContext:
    """What an engine is told about its surroundings: where models lie, and whether a hub may be asked.

    Attributes:
        models_dir: folder that holds downloaded models (see `clearcast.models`).
    """

    models_dir: Path


class Engine(ABC):
    """Base of every engine.

    Subclasses set `Options` (a frozen dataclass on `EngineOptions`), implement `_load` and `model_name`,
    and the `_run` of their service's contract. The constructor does no work.
    """

    service: ClassVar[str]
    Options: ClassVar[type[EngineOptions]] = EngineOptions
    quality: ClassVar[str | None] = None

    def __init__(self, options: EngineOptions, context: EngineContext) -> None:
        self.options = options
        self.context = context
        self._loaded = False
        self._load_lock = threading.Lock()

    @classmethod
    def engine_name(cls) -> str:
        """The name of the file the engine is written in."""
        return cls.__module__.rpartition(".")[2]

    @classmethod
    def has_option(cls, name: str, option: str) -> bool:
        """Whether the engine `name` of this service has an option called `option`."""
        return option in {field.name for field in fields(engine_class(cls.service, name).Options)}

    @classmethod
    def models(cls, options: Any) -> tuple[ModelSpec, ...]:
        """The files these options need, beyond what the packages carry."""
        return ()

    @classmethod
    def catalogue(cls) -> tuple[ModelSpec, ...]:
        """Every published model this engine can use, whatever the options; `clearcast models list` shows
        them and `pull` knows their names."""
        return ()

    @property
    @abstractmethod
    def model_name(self) -> str:
        """Name of the model in use, as results show it."""

    @property
    def provenance(self) -> Provenance:
        return Provenance(self.service, self.engine_name(), self.model_name, self.quality)

    @abstractmethod
    def _load(self) -> None:
        """Import heavy packages and read weights. Raises ModelMissing, ModelCorrupt."""

    def load(self) -> None:
        """Make the engine ready; later calls do nothing. Raises what `_load` raises."""
        with self._load_lock:
            if self._loaded:
                return
            started_s = time.perf_counter()
            forbid_telemetry()
            self._load()
            self._loaded = True
            logger.info(
                "engine loaded",
                extra={
                    "service": self.service,
                    "engine": self.engine_name(),
                    "model": self.model_name,
                    "seconds": round(time.perf_counter() - started_s, 3),
                },
            )


def engine_names(service: str) -> tuple[str, ...]:
    """The engines of a service: the files in its folder, without its contract."""
    if service not in SERVICES:
        raise EngineUnknown(
            f"There is no service called {service!r}.", hint=f"Services: {', '.join(SERVICES)}."
        )
    package = importlib.import_module(f"clearcast.engines.{service}")
    names = (info.name for info in pkgutil.iter_modules(package.__path__) if not info.ispkg)
    return tuple(sorted(name for name in names if name != "contract" and not name.startswith("_")))


def engine_class(service: str, name: str) -> type[Engine]:
    """The one engine that the file `engines/<service>/<name>.py` defines. Raises EngineUnknown."""
    known = engine_names(service)
    if name not in known:
        raise EngineUnknown(
            f"The service {service!r} has no engine called {name!r}.",
            hint=f"Engines there: {', '.join(known)}.",
        )
    module = importlib.import_module(f"clearcast.engines.{service}.{name}")
    found = [
        value
        for value in vars(module).values()
        if inspect.isclass(value)
        and issubclass(value, Engine)
        and value.__module__ == module.__name__
        and not inspect.isabstract(value)
    ]
    if len(found) != 1:
        raise EngineUnknown(f"{module.__name__} must define exactly one engine, not {len(found)}.")
    return found[0]


EngineT = TypeVar("EngineT", bound=Engine)


def make_engine(
    kind: type[EngineT], name: str, options: Mapping[str, Any], context: EngineContext
) -> EngineT:
    """Build, without loading, the engine `name` of the service whose contract class is `kind`.

    Raises EngineUnknown, or SettingsInvalid when the options have a wrong name or type.
    """
    cls = engine_class(kind.service, name)
    assert issubclass(cls, kind)
    try:
        checked = TypeAdapter(cls.Options).validate_python(dict(options))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise SettingsInvalid(
            f"Engine {kind.service}/{name}: option {where!r}: {first['msg']}.",
            hint=f"Options: {', '.join(field.name for field in fields(cls.Options)) or 'none'}.",
        ) from error
    return cls(checked, context)
