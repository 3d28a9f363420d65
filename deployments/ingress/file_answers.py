"""Files as the API shows them. What lives here: the shapes of answers. What does not: routes."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from clearcast.settings import StorageSettings
from clearcast.storage.files import FileRecord

EXAMPLE: dict[str, Any] = {
    "id": "file_01k9z3x5c8m2v7q4w6t1r0y9pb",
    "kind": "upload",
    "name": "interview.mp3",
    "media_type": "audio/mpeg",
    "state": "stored",
    "size_bytes": 8388608,
    "received_bytes": 8388608,
    "sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    "duration_s": None,
    "job_id": None,
    "created_at": "2026-01-31T09:00:00Z",
    "expires_at": "2026-03-02T09:00:00Z",
}


class FileAnswer(BaseModel):
    """One file of yours; `id` is the `file_id` for jobs."""

    model_config = ConfigDict(json_schema_extra={"example": EXAMPLE})

    id: str
    kind: Literal["upload", "result", "recording"] = Field(
        description="Sent by you, made by a job, or left by a live room."
    )
    name: str
    media_type: str
    state: Literal["receiving", "stored"] = Field(description="Whether all of its bytes are here.")
    size_bytes: int
    received_bytes: int
    sha256: str | None = Field(description="Of the whole file; null until it is stored.")
    duration_s: float | None = Field(description="Decoded seconds, once a job has found out.")
    job_id: str | None = Field(description="The job that made it.")
    created_at: datetime
    expires_at: datetime | None = Field(description="When it is removed; null for never.")

    @classmethod
    def of(cls, record: FileRecord, storage: StorageSettings) -> FileAnswer:
        return cls(
            id=record.id,
            kind=record.kind,
            name=record.name,
            media_type=record.media_type,
            state=record.state,
            size_bytes=record.size_bytes,
            received_bytes=record.received_bytes,
            sha256=record.sha256,
            duration_s=record.duration_s,
            job_id=record.job_id,
            created_at=record.created_at,
            expires_at=record.kept_until(storage),
        )


class FileList(BaseModel):
    """One page of files, the newest first."""

    model_config = ConfigDict(json_schema_extra={"example": {"files": [EXAMPLE], "next": None}})

    files: list[FileAnswer]
    next: str | None = Field(description="`after` for the next page; null on the last one.")
