"""`docs/settings.md`, written from the settings themselves: `python -m clearcast.settings_page`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from clearcast.settings import Settings

PAGE = Path(__file__).resolve().parent.parent / "docs" / "settings.md"

_HEAD = """# Settings

A profile (`config/local.yaml`, `gpu.yaml`, `cluster.yaml`, or any YAML file) gives the values; whatever it
leaves out has the default below. An environment variable overrides the profile: `CLEARCAST__` and the
name with `__` for each dot, for example `CLEARCAST__HTTP__PORT=9000`. Unknown names are refused. Which
profile is read: `--profile`, else `$CLEARCAST_PROFILE`, else `local`.

This page is made by `python -m clearcast.settings_page`.

| name | type | default | what it does |
|---|---|---|---|
"""


def page() -> str:
    """The whole page as Markdown."""
    return _HEAD + "".join(
        f"| `{name}` | {kind} | {default} | {text} |\n" for name, kind, default, text in rows(Settings)
    )


def rows(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, str, str, str]]:
    """(dotted name, type, default, description) of every field, sections opened up."""
    for name, field in model.model_fields.items():
        section = field.annotation
        if isinstance(section, type) and issubclass(section, BaseModel):
            default = field.get_default(call_default_factory=True)
            for row in rows(section, f"{prefix}{name}."):
                yield _with_section_default(row, default, row[0].removeprefix(f"{prefix}{name}."))
        else:
            yield f"{prefix}{name}", _kind(field), _shown(field.default), field.description or ""


def _with_section_default(
    row: tuple[str, str, str, str], section: Any, path: str
) -> tuple[str, str, str, str]:
    value = section
    for part in path.split("."):
        value = getattr(value, part, None)
    return (row[0], row[1], _shown(value), row[3])


def _kind(field: FieldInfo) -> str:
    kind = field.annotation
    name = getattr(kind, "__name__", str(kind)).replace("|", "or")
    return name.removeprefix("pydantic.types.")


def _shown(value: Any) -> str:
    return "–" if value is None else f"`{value}`"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
