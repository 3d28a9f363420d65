"""Where results go and in which formats; written whole or not at all."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from clearcast.audio.atomic import whole_or_absent
from clearcast.cli.inputs import Source
from clearcast.errors import OptionInvalid
from clearcast.speech.formats import FORMATS, Result, format_named, format_names, write_result

STDOUT = "-"


@dataclass(frozen=True, slots=True)
class OutputPlan:
    """Attributes:
    formats: names of the formats to write; empty shows the result to a person instead.
    files: for each source its files by format; empty when results go to standard output.
    """

    formats: tuple[str, ...]
    files: dict[Source, dict[str, Path]]

    def is_done(self, source: Source) -> bool:
        """Whether all files of the source are there already."""
        paths = self.files.get(source, {}).values()
        return bool(paths) and all(path.is_file() for path in paths)

    def write(self, source: Source, result: Result) -> tuple[Path, ...]:
        """Write the files of a source; returns them. Raises OptionInvalid as the formats do."""
        texts = {
            path: write_result(result, name, source.relative.stem)
            for name, path in self.files[source].items()
        }
        for path, text in texts.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            with whole_or_absent(path) as temporary:
                temporary.write_text(text, encoding="utf-8", newline="\n")
        return tuple(texts)


def plan_outputs(
    sources: Sequence[Source], output: str | None, formats: Sequence[str], kind: type[Result]
) -> OutputPlan:
    """Decide where each result goes. `formats` are as given, commas allowed.

    Raises UsageError for wishes that contradict each other, OptionInvalid for a format that does not exist
    or cannot hold results of this kind.
    """
    names = tuple(dict.fromkeys(name for text in formats for name in text.lower().split(",") if name))
    if output is None or output == STDOUT:
        if len(names) > 1 or (names and len(sources) > 1):
            raise click.UsageError("Several results need a place to go: -o FOLDER.")
        chosen = names or (("json",) if output == STDOUT else ())
        return OutputPlan(_checked(chosen, kind), {})
    target = Path(output)
    is_folder = output.endswith(("/", os.sep)) or target.is_dir() or len(sources) > 1 or len(names) > 1
    if not is_folder:
        suffix = target.suffix.removeprefix(".").lower()
        name = names[0] if names else suffix or "json"
        if not names and name not in FORMATS:
            raise click.UsageError(f"The suffix of {target.name} names no format; add --format.")
        return _not_onto_inputs(OutputPlan(_checked((name,), kind), {sources[0]: {name: target}}))
    if target.is_file():
        raise click.UsageError(f"{target} is a file; for several results name a folder.")
    checked = _checked(names or ("json",), kind)
    return _not_onto_inputs(OutputPlan(checked, _in_folder(sources, target, checked)))


def bases_in(folder: Path, sources: Sequence[Source]) -> dict[Source, Path]:
    """The path of each source's results without their endings, one of its own for each."""
    # "talk.wav" and "talk.mp3" side by side: their results keep the whole name, "talk.wav.json".
    stems = Counter(source.relative.with_suffix("") for source in sources)
    bases: dict[Source, Path] = {}
    taken: set[Path] = set()
    for source in sources:
        bare = source.relative.with_suffix("")
        base = folder / (bare if stems[bare] == 1 else source.relative)
        number = 2
        while base in taken:  # files of one name from several folders
            base = folder / source.relative.with_name(f"{source.relative.name}-{number}")
            number += 1
        taken.add(base)
        bases[source] = base
    return bases


def _in_folder(
    sources: Sequence[Source], folder: Path, formats: Sequence[str]
) -> dict[Source, dict[str, Path]]:
    return {
        source: {name: base.with_name(base.name + FORMATS[name].suffix) for name in formats}
        for source, base in bases_in(folder, sources).items()
    }


def _checked(names: Sequence[str], kind: type[Result]) -> tuple[str, ...]:
    for name in names:
        if not format_named(name).holds(kind):
            raise OptionInvalid(
                f"The format {name!r} cannot hold a {kind.__name__.lower()}.",
                hint=f"Formats that can: {', '.join(format_names(kind))}.",
            )
    return tuple(names)


def _not_onto_inputs(plan: OutputPlan) -> OutputPlan:
    sources = {source.path.resolve() for source in plan.files}
    for paths in plan.files.values():
        for path in paths.values():
            if path.resolve() in sources:
                raise click.UsageError(f"The result would overwrite the input {path}.")
    return plan
