"""Which recordings a command is to work on: files, folders of files, standard input."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from clearcast.audio.media_files import MEDIA_SUFFIXES, is_hidden
from clearcast.errors import UploadTooLarge

_BLOCK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Source:
    """One recording.

    Attributes:
        path: where it lies.
        relative: its place below the folder that was named, or its bare name: what results are named after.
    """

    path: Path
    relative: Path

    @property
    def shown(self) -> str:
        return str(self.relative)


def collect(inputs: Sequence[str], temporary: Path, max_bytes: int) -> tuple[Source, ...]:
    """All recordings that `inputs` name, each once; "-" is read into the folder `temporary`.

    A file that does not exist is kept: it fails when its turn comes, like any other bad file.
    Raises UsageError when there is nothing to do, UploadTooLarge for more standard input than allowed.
    """
    found: dict[Path, Source] = {}
    for text in inputs:
        if text == "-":
            path = _standard_input(temporary, max_bytes)
            found[path] = Source(path, Path("stdin"))
        elif Path(text).is_dir():
            found.update({source.path.resolve(): source for source in _in_folder(Path(text))})
        else:
            found.setdefault(Path(text).resolve(), Source(Path(text), Path(Path(text).name)))
    if not found:
        raise click.UsageError(f"No audio or video files in {', '.join(inputs)}.")
    return tuple(found.values())


def _in_folder(folder: Path) -> Iterator[Source]:
    for path in sorted(folder.rglob("*")):
        relative = path.relative_to(folder)
        if not is_hidden(relative) and path.suffix.lower() in MEDIA_SUFFIXES and path.is_file():
            yield Source(path, relative)


def _standard_input(temporary: Path, max_bytes: int) -> Path:
    if sys.stdin.isatty():
        raise click.UsageError("Standard input is the terminal; pipe a recording into it.")
    path = temporary / "stdin"
    with path.open("wb") as file:
        while block := sys.stdin.buffer.read(_BLOCK_BYTES):
            file.write(block)
            if file.tell() > max_bytes:
                raise UploadTooLarge(
                    f"More than {max_bytes / 1e6:.0f} MB on standard input.",
                    hint="Raise audio.max_upload_bytes, or name the file.",
                )
    return path
