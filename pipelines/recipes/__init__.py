"""What can be asked for as a job: one file per recipe, found by itself.

What lives here: `all_recipes`. What does not: the contract (`pipelines/recipe.py`) and the flows.
"""

from __future__ import annotations

import functools
import importlib
import pkgutil
from collections.abc import Mapping

from pipelines.recipe import Recipe


@functools.cache
def all_recipes() -> Mapping[str, Recipe]:
    """Every recipe by name, in the order of the names."""
    found: dict[str, Recipe] = {}
    for module in pkgutil.iter_modules(__path__):
        members = vars(importlib.import_module(f"{__name__}.{module.name}")).values()
        for member in members:
            if isinstance(member, type) and issubclass(member, Recipe) and member is not Recipe:
                found[member.name] = member()
    return dict(sorted(found.items()))
