"""What a batch is to do: the order that holds for all files, the files, and which are done already."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from clearcast.errors import NotFound, OptionInvalid
from clearcast.settings import Settings
from clearcast.storage.places import S3, Place, open_place
from clearcast.storage.voices import Voice, VoiceBook, write_voices
from pipelines.batch.record import Record, record_name
from pipelines.recipe import Recipe, RecipeOptions
from pipelines.recipes import all_recipes

VERSION = 1  # of how results are made and named; another one makes finished files unfinished


@dataclass(frozen=True, slots=True)
class Item:
    """One file of a batch.

    Attributes:
        source: a path, or `s3://BUCKET/KEY`.
        name: below the destination, without an ending: what its results are named after.
        size_bytes, version: as the source's place tells them; 0 and "" where there is no such file.
        options: its own, which come before those of the order.
    """

    source: str
    name: str
    size_bytes: int
    version: str
    options: Mapping[str, Any] = field(default_factory=dict)


def digest_of_path(file: str) -> str:
    """The SHA-256 of a file of this machine, in hexadecimal. Raises NotFound."""
    try:
        with Path(file).open("rb") as content:
            return hashlib.file_digest(content, "sha256").hexdigest()
    except OSError as error:
        raise NotFound(f"There is no file {file!r}.") from error


@dataclass(frozen=True)
class BatchOrder:
    """What holds for every file.

    Attributes:
        options: of the recipe, not checked yet.
        formats: of documents, names in `clearcast.speech.formats`.
        sound_format, bits: of sounds, see `clearcast.audio.encode`.
        voices: those that names are taken from.
        run_id: of this run of the batch; the next one has another.
        digest_of: the SHA-256 of a file that options or an item name. Raises NotFound.
    """

    pipeline: str
    options: Mapping[str, Any]
    formats: tuple[str, ...]
    sound_format: str
    bits: int | None
    destination: str
    settings: Settings
    voices: tuple[Voice, ...]
    run_id: str
    digest_of: Callable[[str], str] = digest_of_path

    @property
    def recipe(self) -> Recipe:
        """Raises OptionInvalid."""
        recipe = all_recipes().get(self.pipeline)
        if recipe is None:
            known = ", ".join(all_recipes())
            raise OptionInvalid(f"There is no pipeline {self.pipeline!r}.", hint=f"There are: {known}.")
        return recipe

    @cached_property
    def place(self) -> Place:
        """Where results go."""
        return open_place(self.destination, self.settings.storage)

    @property
    def work_path(self) -> Path:
        """The folder of all that is half done."""
        return self.settings.data_path / "batch"

    def options_of(self, item: Item) -> RecipeOptions:
        """Raises OptionInvalid."""
        try:
            return self.recipe.Options.model_validate({**self.options, **item.options})
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            where = ".".join(map(str, first["loc"]))
            raise OptionInvalid(f"{where}: {first['msg']}." if where else f"{first['msg']}.") from error

    def key_of(self, item: Item) -> str:
        """A digest of all that results follow from but the file's own bytes.

        Raises OptionInvalid, NotFound.
        """
        options = self.options_of(item)
        facts = {
            "own": options.model_dump(mode="json"),
            "references": [self.digest_of(file) for file in options.file_ids()],
        }
        return hashlib.sha256((self._common + json.dumps(facts, sort_keys=True)).encode()).hexdigest()

    @cached_property
    def _common(self) -> str:
        facts = {
            "version": VERSION,
            "pipeline": self.pipeline,
            "formats": self.formats,
            "sound": [self.sound_format, self.bits],
            "engines": self.settings.engines.model_dump(mode="json"),
            "voices": write_voices(VoiceBook(self.voices)),
        }
        return json.dumps(facts, sort_keys=True)


@dataclass(frozen=True, slots=True)
class BatchPlan:
    """`todo`: the largest first, so that none is left over at the end. `done`: with their records."""

    todo: tuple[Item, ...]
    done: tuple[tuple[Item, Record], ...]


def plan_batch(order: BatchOrder, items: Sequence[Item], *, retry_failed: bool = False) -> BatchPlan:
    """Which files are done already, by the records at the destination.

    A file that could not be used, and is the same still, is done too, unless `retry_failed`.
    """
    todo: list[Item] = []
    done: list[tuple[Item, Record]] = []
    written = {found.name: found.size_bytes for found in order.place.entries()}
    for item in items:
        record = finished(order, item, written)
        if record is None or (record.outcome == "failed" and (record.retryable or retry_failed)):
            todo.append(item)
        else:
            done.append((item, record))
    return BatchPlan(tuple(sorted(todo, key=lambda item: -item.size_bytes)), tuple(done))


def finished(order: BatchOrder, item: Item, written: Mapping[str, int] | None = None) -> Record | None:
    """The record of a file whose results are all there and were made of these bytes in this way, else None.

    `written`: sizes of the files at the destination, by name, where the caller has listed them.
    """
    name = record_name(order.pipeline, item.name)
    if written is not None and name not in written:
        return None
    record = Record.parse(order.place.read(name))
    if record is None or record.source != item.source or not _is_same(order, item, record):
        return None
    for output, size_bytes in record.outputs.items():
        if written is not None:
            there = written.get(output)
        else:
            found = order.place.look(output)
            there = None if found is None else found.size_bytes
        if there != size_bytes:
            return None
    return record


def _is_same(order: BatchOrder, item: Item, record: Record) -> bool:
    try:
        if record.order_key != order.key_of(item):
            return False
    except (OptionInvalid, NotFound):
        return False
    if (record.size_bytes, record.version) == (item.size_bytes, item.version):
        return True
    # Touched or copied, perhaps with the same bytes in it; only reading them tells.
    return (
        record.size_bytes == item.size_bytes
        and record.sha256 is not None
        and not item.source.startswith(S3)
        and record.sha256 == order.digest_of(item.source)
    )
