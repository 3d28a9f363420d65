"""Where enrolled voices are: this machine's store, a voice file, or a server, behind one interface."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from clearcast.audio.atomic import whole_or_absent
from clearcast.client import ClearCast
from clearcast.settings import Settings
from clearcast.storage.voice_store import VoiceStore
from clearcast.storage.voices import Voice, VoiceBook, load_voices, read_voices, write_voices
from pipelines.enrol import Enrolment

OWNER = "local"  # whose the voices of this machine's own user are in the store

Enrol = Callable[[Sequence[Path]], tuple[Enrolment, str | None]]
"""Makes a voiceprint from files, and says what would make it better, if anything."""


@dataclass(frozen=True, slots=True)
class VoiceRow:
    """A voice as lists show it; `speech_s` is None where no sample tells."""

    name: str
    samples: int
    speech_s: float | None
    models: tuple[str, ...]


class VoiceShelf(Protocol):
    """What `clearcast voices` needs. Methods raise NotFound, Conflict, OptionInvalid, FileFormatInvalid."""

    def rows(self) -> list[VoiceRow]: ...

    def add(self, name: str, files: Sequence[Path]) -> tuple[float | None, str | None]:
        """Enrol; seconds of speech used, and advice on a better recording if there is any."""
        ...

    def rename(self, name: str, new_name: str) -> None: ...

    def erase(self, name: str) -> None: ...

    def export(self) -> str: ...

    def import_(self, content: bytes, *, replace: bool) -> int:
        """Take in a voice file; the number of voices there are then."""
        ...


def local_voices(settings: Settings, voices_file: Path | None) -> tuple[Voice, ...]:
    """The voices that names are taken from: those of the file, else those enrolled on this machine.

    Raises NotFound, FileFormatInvalid.
    """
    if voices_file is not None:
        return tuple(load_voices(voices_file))
    return VoiceStore(settings.data_path).list(OWNER)


class StoreShelf:
    """The store in the profile's data folder."""

    def __init__(self, settings: Settings, enrol: Enrol) -> None:
        self._store = VoiceStore(settings.data_path)
        self._enrol = enrol

    def rows(self) -> list[VoiceRow]:
        return [_row(voice) for voice in self._store.list(OWNER)]

    def add(self, name: str, files: Sequence[Path]) -> tuple[float | None, str | None]:
        enrolment, advice = self._enrol(files)
        self._store.put_sample(OWNER, name, enrolment.sample)
        return enrolment.speech_s, advice

    def rename(self, name: str, new_name: str) -> None:
        self._store.rename(OWNER, name, new_name)

    def erase(self, name: str) -> None:
        self._store.erase(OWNER, name)

    def export(self) -> str:
        return self._store.export(OWNER)

    def import_(self, content: bytes, *, replace: bool) -> int:
        return len(self._store.import_(OWNER, content, "replace" if replace else "merge").voices)


class FileShelf:
    """A voice file, read at each call and replaced as a whole at each change."""

    def __init__(self, path: Path, enrol: Enrol) -> None:
        self.path = path
        self._enrol = enrol

    def _book(self) -> VoiceBook:
        return load_voices(self.path) if self.path.exists() else VoiceBook()

    def _save(self, book: VoiceBook) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with whole_or_absent(self.path) as temporary:
            temporary.touch(mode=0o600)  # voiceprints are biometric data
            temporary.write_text(write_voices(book), encoding="utf-8")

    def rows(self) -> list[VoiceRow]:
        return [_row(voice) for voice in self._book()]

    def add(self, name: str, files: Sequence[Path]) -> tuple[float | None, str | None]:
        enrolment, advice = self._enrol(files)
        self._save(self._book().add_sample(name, enrolment.sample))
        return enrolment.speech_s, advice

    def rename(self, name: str, new_name: str) -> None:
        self._save(self._book().rename(name, new_name))

    def erase(self, name: str) -> None:
        self._save(self._book().remove(name))

    def export(self) -> str:
        return write_voices(self._book())

    def import_(self, content: bytes, *, replace: bool) -> int:
        incoming = read_voices(content)
        book = incoming if replace else self._book().merge(incoming)
        self._save(book)
        return len(book.voices)


class ServerShelf:
    """The voices of the API key's owner on a server."""

    def __init__(self, client: ClearCast) -> None:
        self._client = client

    def rows(self) -> list[VoiceRow]:
        return [_row_of_server(values) for values in self._client.voices()]

    def add(self, name: str, files: Sequence[Path]) -> tuple[float | None, str | None]:
        answer = self._client.add_voice(name, files)
        remarks = [str(remark["message"]) for remark in answer.get("remarks") or ()]
        return answer.get("speech_s"), " ".join(remarks) or None

    def rename(self, name: str, new_name: str) -> None:
        self._client.rename_voice(name, new_name)

    def erase(self, name: str) -> None:
        self._client.erase_voice(name)

    def export(self) -> str:
        return self._client.export_voices().decode("utf-8")

    def import_(self, content: bytes, *, replace: bool) -> int:
        return len(self._client.import_voices(content, replace=replace))


def _row(voice: Voice) -> VoiceRow:
    known = [sample.speech_s for sample in voice.samples if sample.speech_s is not None]
    models = tuple(dict.fromkeys(sample.model for sample in voice.samples))
    return VoiceRow(voice.name, len(voice.samples), sum(known) if known else None, models)


def _row_of_server(values: dict[str, Any]) -> VoiceRow:
    samples = values["samples"]
    seconds = [sample["speech_s"] for sample in samples if sample["speech_s"] is not None]
    models = tuple(dict.fromkeys(str(sample["model"]) for sample in samples))
    return VoiceRow(str(values["name"]), len(samples), sum(seconds) if seconds else None, models)
