"""Which models there are: those the profile's engines need and all others that engines know of.

What lives here: asking the engines. What does not: the files on disk (`clearcast/models`, which engines
build on and which therefore cannot know them).
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from dataclasses import dataclass

from clearcast.engines.engine import (
    SERVICES,
    Engine,
    EngineContext,
    engine_class,
    engine_names,
    make_engine,
)
from clearcast.errors import ClearCastError, NotFound
from clearcast.models.spec import ModelSpec
from clearcast.settings import Settings


@dataclass(frozen=True, slots=True)
class CatalogueEntry:
    """One model that can be used here.

    Attributes:
        name: the model's name; for one that comes inside a package, the name its engine gives it.
        used_by: "service/engine" of every engine that can use it.
        spec: how to get it; None when it comes inside the package and there is nothing to get.
        needed: True when the profile's engines use it.
    """

    name: str
    used_by: tuple[str, ...]
    spec: ModelSpec | None
    needed: bool


def catalogue(settings: Settings) -> tuple[CatalogueEntry, ...]:
    """Every model, those that the profile needs first. Raises SettingsInvalid, EngineUnknown."""
    needed = {spec.name for spec in needed_models(settings)}
    entries: dict[str, CatalogueEntry] = {}
    for service in SERVICES:
        for name in engine_names(service):
            chosen = getattr(settings.engines, service).engine == name
            for spec in _specs(service, name, settings):
                known = entries.get(spec.name)
                used_by = (*(known.used_by if known else ()), f"{service}/{name}")
                entries[spec.name] = CatalogueEntry(spec.name, used_by, spec, spec.name in needed)
            for packaged in _packaged(service, name, settings):
                entries[f"{service}/{name}"] = CatalogueEntry(
                    packaged, (f"{service}/{name}",), None, chosen
                )
    return tuple(sorted(entries.values(), key=lambda entry: not entry.needed))


def needed_models(settings: Settings) -> tuple[ModelSpec, ...]:
    """What the profile's engines need beyond their packages. Raises SettingsInvalid, EngineUnknown."""
    specs: dict[str, ModelSpec] = {}
    for service in SERVICES:
        engine = chosen_engine(service, settings)
        specs.update({spec.name: spec for spec in type(engine).models(engine.options)})
    return tuple(specs.values())


def chosen_engine(service: str, settings: Settings) -> Engine:
    """The profile's engine of a service, not loaded. Raises SettingsInvalid, EngineUnknown."""
    choice = getattr(settings.engines, service)
    cls = engine_class(service, choice.engine)
    return make_engine(cls, choice.engine, choice.options, EngineContext(settings.models_path))


def find_model(name: str, settings: Settings) -> ModelSpec:
    """The model of that name. Raises NotFound with the nearest names; also for one inside a package."""
    specs: dict[str, ModelSpec] = {}
    for entry in catalogue(settings):
        if entry.spec is not None:
            specs[entry.name] = entry.spec
        elif name in (entry.name, *(user.partition("/")[2] for user in entry.used_by)):
            raise NotFound(f"{name!r} comes inside its Python package: there is nothing to fetch.")
    if name in specs:
        return specs[name]
    near = difflib.get_close_matches(name, specs, n=3, cutoff=0.4)
    raise NotFound(
        f"No engine knows a model {name!r}.",
        hint=f"Did you mean {', '.join(near)}? All: clearcast models list"
        if near
        else "All of them: clearcast models list",
    )


def _specs(service: str, name: str, settings: Settings) -> Iterator[ModelSpec]:
    """Specs of one engine: with the profile's options where it is chosen, by default, and all it knows."""
    cls = engine_class(service, name)
    seen: dict[str, ModelSpec] = {}
    if getattr(settings.engines, service).engine == name:
        engine = chosen_engine(service, settings)
        seen.update({spec.name: spec for spec in cls.models(engine.options)})
    for spec in cls.catalogue():
        seen.setdefault(spec.name, spec)
    yield from seen.values()


def _packaged(service: str, name: str, settings: Settings) -> Iterator[str]:
    """The name of the model that an engine brings along; none for engines whose models are fetched."""
    if any(True for _ in _specs(service, name, settings)):
        return
    cls = engine_class(service, name)
    try:
        yield make_engine(cls, name, {}, EngineContext(settings.models_path)).model_name
    except ClearCastError:  # an engine that cannot exist without options is no built-in
        return
