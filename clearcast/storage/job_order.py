"""What somebody asks of the job queue, once it is checked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple, Self

from clearcast.storage.fair_queue import Priority


class JobFile(NamedTuple):
    """One file of a job.

    Attributes:
        file_id: of an upload; or the address `s3://…` of a recording in a bucket.
        name: to show.
        options: its own, which come before those of the job.
        output_name: below the job's destination, without an ending; None where there is none.
    """

    file_id: str
    name: str
    options: Mapping[str, Any] = {}
    output_name: str | None = None


@dataclass(frozen=True, slots=True)
class Destination:
    """Where the results of a job go beside the server's own store.

    Attributes:
        address: `s3://BUCKET/PREFIX`.
        formats: of documents, names in `clearcast.speech.formats`.
        sound_format: a name in `clearcast.audio.encode`.
    """

    address: str
    formats: tuple[str, ...] = ("json",)
    sound_format: str = "flac"

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> Self:
        """From a row of the table of jobs."""
        return cls(row["address"], tuple(row["formats"]), row["sound_format"])

    def row(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class JobOrder:
    """What somebody asks for."""

    pipeline: str
    options: Mapping[str, Any]
    files: Sequence[JobFile]
    priority: Priority = "normal"
    label: str = ""
    webhook_url: str | None = None
    idempotency_key: str | None = None
    request_sha256: str | None = None
    destination: Destination | None = None
