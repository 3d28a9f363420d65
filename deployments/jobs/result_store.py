"""Results of tasks: documents and sounds as blobs, and the rows by which their owner finds them.

A result has the same names every time: kept twice, it is there once.
"""

from __future__ import annotations

import asyncio
import hashlib
import math
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path, PurePath
from typing import Any

from clearcast.audio.sound import encode_sound, prepare_sound
from clearcast.engines.measure.contract import SoundScore
from clearcast.search.transcripts import TranscriptIndex
from clearcast.settings import AudioSettings
from clearcast.speech.extraction import Extracted
from clearcast.speech.extraction_file import write_extracted
from clearcast.speech.json_file import write_json
from clearcast.speech.keywords import Keywords
from clearcast.speech.keywords_file import write_keywords
from clearcast.speech.meeting import Meeting
from clearcast.speech.transcript import Transcript
from clearcast.storage.blobs import BlobStore
from clearcast.storage.job_progress import JobProgress, TaskOrder
from clearcast.storage.tables import File, Result, now
from pipelines.recipe import Document, KeptSound

SOUND_TYPE, SOUND_SUFFIX, SOUND_BITS = "audio/flac", "flac", 24


class ResultStore:
    def __init__(
        self, blobs: BlobStore, progress: JobProgress, index: TranscriptIndex, limits: AudioSettings
    ) -> None:
        self._limits = limits
        self._blobs = blobs
        self._progress = progress
        self._index = index

    async def keep(
        self, order: TaskOrder, name: str, result: Document, score: SoundScore | None, is_partial: bool
    ) -> None:
        """Keep a document under its name, in place of an earlier one; `score` is that of the recording."""
        await asyncio.to_thread(self._keep, order, name, result, score, is_partial)

    async def keep_sound(self, order: TaskOrder, sound: KeptSound, path: Path) -> None:
        """Keep the sound in the file `path`, packed as FLAC."""
        await asyncio.to_thread(self._keep_sound, order, sound, path)

    async def fetch_sound(self, order: TaskOrder, sound: KeptSound, path: Path) -> None:
        """Put a sound that was kept before at `path`, unless it is there. Raises NotFound."""
        if await asyncio.to_thread(path.exists):
            return
        packed = path.with_suffix(f".{SOUND_SUFFIX}")
        await asyncio.to_thread(path.parent.mkdir, parents=True, exist_ok=True, mode=0o700)
        await asyncio.to_thread(self._blobs.fetch, _sound_key(order, sound), packed)
        await prepare_sound(packed, path, self._limits)
        await asyncio.to_thread(packed.unlink)

    def _keep(
        self, order: TaskOrder, name: str, result: Document, score: SoundScore | None, is_partial: bool
    ) -> None:
        document = _text_of(result).encode()
        key = f"{order.folder}/results/{name}.json"
        self._blobs.put_bytes(key, document)
        file = _file(order, name, key, len(document), hashlib.sha256(document).hexdigest())
        row = _row(order, name, _kind(result), file, is_partial=is_partial)
        if score is not None:
            row.facts = {"score": {name: _finite(value) for name, value in score.card().items()}}
        self._progress.put_result(order, row, file)
        transcript = result.transcript if isinstance(result, Meeting) else result
        if isinstance(transcript, Transcript):
            self._index.put(order.owner_id, order.job_id, order.number, transcript)

    def _keep_sound(self, order: TaskOrder, sound: KeptSound, path: Path) -> None:
        key = _sound_key(order, sound)
        packed = path.with_suffix(f".{SOUND_SUFFIX}")
        encode_sound(path, packed, SOUND_SUFFIX, SOUND_BITS)
        with packed.open("rb") as content:
            sha256 = hashlib.file_digest(content, "sha256").hexdigest()
        size_bytes = packed.stat().st_size
        self._blobs.put_file(key, packed)
        file = _file(order, sound.name, key, size_bytes, sha256)
        file.duration_s = sound.duration_s
        row = _row(order, sound.name, "sound", file, is_partial=False)
        row.facts = {
            "provenance": [asdict(one) for one in sound.provenance],
            "score": {name: _finite(value) for name, value in sound.score.items()},
            "duration_s": sound.duration_s,
        }
        self._progress.put_result(order, row, file)


def sounds_in(value: Any) -> Iterator[KeptSound]:
    """The sounds that a stage gave: one, several, or none."""
    if isinstance(value, KeptSound):
        yield value
    elif isinstance(value, tuple):
        yield from (one for one in value if isinstance(one, KeptSound))


def _finite(value: float | int | str | None) -> float | int | str | None:
    """JSON has no infinities, nor what is not a number."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _sound_key(order: TaskOrder, sound: KeptSound) -> str:
    return f"{order.folder}/results/{sound.name}.{SOUND_SUFFIX}"


def _file(order: TaskOrder, name: str, key: str, size_bytes: int, sha256: str) -> File:
    is_sound = key.endswith(SOUND_SUFFIX)
    return File(
        id=f"file_{order.job_id.removeprefix('job_')}-{order.number}-{name}",
        owner_id=order.owner_id,
        kind="result",
        name=f"{PurePath(order.file_name).stem}.{name}.{SOUND_SUFFIX if is_sound else 'json'}",
        media_type=SOUND_TYPE if is_sound else "application/json",
        state="stored",
        size_bytes=size_bytes,
        received_bytes=size_bytes,
        sha256=sha256,
        blob_key=key,
        job_id=order.job_id,
        created_at=now(),
    )


def _row(order: TaskOrder, name: str, kind: str, file: File, *, is_partial: bool) -> Result:
    return Result(
        job_id=order.job_id,
        number=order.number,
        name=name,
        owner_id=order.owner_id,
        kind=kind,
        file_id=file.id,
        is_partial=is_partial,
        facts={},
    )


def _text_of(result: Document) -> str:
    if isinstance(result, Keywords):
        return write_keywords(result)
    return write_extracted(result) if isinstance(result, Extracted) else write_json(result)


def _kind(result: Document) -> str:
    if isinstance(result, Meeting):
        return "meeting"
    if isinstance(result, Extracted):
        return "extraction"
    if isinstance(result, Keywords):
        return "keywords"
    return "transcript" if isinstance(result, Transcript) else "diarization"
