"""Which files a batch is about: folders, patterns, single files, manifests and prefixes of buckets.

What lives here: finding them and naming their results. What does not: whether they are done (`plan`).
"""

from __future__ import annotations

import glob
import itertools
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from clearcast.audio.media_files import MEDIA_SUFFIXES, is_hidden
from clearcast.errors import NotFound
from clearcast.settings import StorageSettings
from clearcast.storage.places import S3, Found, open_place, split_address
from pipelines.batch.manifest import is_manifest, read_manifest
from pipelines.batch.plan import Item


@dataclass(frozen=True, slots=True)
class _Named:
    """A file before its results have a name: `relative` is its place below what was named."""

    source: str
    relative: str
    found: Found | None
    options: Mapping[str, Any]


def find_items(texts: Sequence[str], destination: str, storage: StorageSettings) -> tuple[Item, ...]:
    """Every file that `texts` name, each once for each set of options. A file that is named and not there
    is kept: it fails when its turn comes. What lies at the destination is a result and no source.

    Raises NotFound for a folder, pattern or prefix with no recording in it, FileFormatInvalid for a
    manifest that cannot be read, and what the places raise.
    """
    named: dict[tuple[str, str], _Named] = {}
    results = (destination if destination.startswith(S3) else str(Path(destination).resolve())) + "/"
    for text in texts:
        found = [one for one in _of(text, storage) if not one.source.startswith(results)]
        if not found:
            raise NotFound(f"There are no recordings in {text!r}.")
        for one in found:
            named.setdefault((one.source, json.dumps(one.options, sort_keys=True)), one)
    return tuple(_with_names(list(named.values())))


def _of(text: str, storage: StorageSettings) -> Iterator[_Named]:
    path = Path(text).expanduser()
    if not text.startswith(S3) and is_manifest(text):
        yield from _in_manifest(path, storage)
    elif not text.startswith(S3) and path.is_dir():
        yield from _below(str(path), storage)
    elif not text.startswith(S3) and not path.exists() and glob.has_magic(text):
        yield from _matching(path, storage)
    elif text.startswith(S3) and PurePosixPath(text).suffix.lower() not in MEDIA_SUFFIXES:
        yield from _below(text, storage)
    else:
        yield _one(text, PurePosixPath(text).name, storage, {})


def _below(address: str, storage: StorageSettings) -> Iterator[_Named]:
    """The recordings below a folder or prefix, by their endings, hidden ones left out."""
    base = address.rstrip("/") if address.startswith(S3) else str(Path(address).resolve())
    for found in sorted(open_place(address, storage).entries(), key=lambda found: found.name):
        name = PurePosixPath(found.name)
        if name.suffix.lower() in MEDIA_SUFFIXES and not is_hidden(name):
            yield _Named(f"{base}/{found.name}", found.name, found, {})


def _matching(pattern: Path, storage: StorageSettings) -> Iterator[_Named]:
    """What a pattern matches, named below the last folder before its first wildcard."""
    fixed = list(itertools.takewhile(lambda part: not glob.has_magic(part), pattern.parts))
    root = Path(*fixed)
    for match in sorted(root.glob(str(Path(*pattern.parts[len(fixed) :])))):
        if match.is_file() and not is_hidden(match.relative_to(root)):
            yield _one(str(match), match.relative_to(root).as_posix(), storage, {})


def _one(source: str, relative: str, storage: StorageSettings, options: Mapping[str, Any]) -> _Named:
    place, name = split_address(source)
    if not source.startswith(S3):
        source = str(Path(source).expanduser().resolve())
    return _Named(source, relative, open_place(place, storage).look(name), options)


def _in_manifest(path: Path, storage: StorageSettings) -> Iterator[_Named]:
    """A relative path counts from the manifest's own folder."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise NotFound(f"The manifest {str(path)!r} cannot be read.") from error
    for entry in read_manifest(path.name, content):
        file = entry.file
        source = file if file.startswith(S3) else str(path.parent / Path(file).expanduser())
        yield _one(source, file if entry.is_below else PurePosixPath(file).name, storage, entry.options)


def _with_names(named: Sequence[_Named]) -> Iterator[Item]:
    for one, name in zip(named, result_names([one.relative for one in named]), strict=True):
        found = one.found
        size_bytes, version = (found.size_bytes, found.version) if found is not None else (0, "")
        yield Item(one.source, name, size_bytes, version, one.options)


def result_names(relatives: Sequence[str]) -> list[str]:
    """What the results of each file are named after, a name of its own for each: without the ending, but
    "talk.wav" and "talk.mp3" keep theirs, and further files of one name are numbered."""
    bare = [str(PurePosixPath(relative).with_suffix("")) for relative in relatives]
    sharing = Counter(bare)
    taken: dict[str, None] = {}
    for relative, short in zip(relatives, bare, strict=True):
        name = short if sharing[short] == 1 else relative
        number = 2
        while name in taken:
            name, number = f"{relative}-{number}", number + 1
        taken[name] = None
    return list(taken)
