"""Every table, in one place. What lives here: columns, keys and indexes. What does not: queries.

Each row that belongs to somebody has `owner_id`, and every query on it names the owner. Times are UTC.
After a change here: `make migration NAME=what_changed`.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy import ForeignKey
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from clearcast.storage.utc_time import UtcDateTime


def now() -> datetime:
    return datetime.now(UTC)


class Table(DeclarativeBase):
    type_annotation_map = {datetime: UtcDateTime, dict[str, Any]: sa.JSON, list[str]: sa.JSON}  # noqa: RUF012


class User(Table):
    """A person. `name` is unique without regard to case; `name_key` is its folded form."""

    __tablename__ = "users"

    id: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str]
    name_key: Mapped[str] = mapped_column(unique=True)
    password_hash: Mapped[str | None]
    is_admin: Mapped[bool] = mapped_column(default=False)
    is_disabled: Mapped[bool] = mapped_column(default=False)
    created_at: Mapped[datetime] = mapped_column(default=now)
    failed_logins: Mapped[int] = mapped_column(default=0)
    locked_until: Mapped[datetime | None]
    quota_bytes: Mapped[int | None] = mapped_column(sa.BigInteger)


class RefreshToken(Table):
    """One link in a chain of rotating refresh tokens; a used one that comes again ends its whole family."""

    __tablename__ = "refresh_tokens"

    sha256: Mapped[str] = mapped_column(primary_key=True)
    family_id: Mapped[str] = mapped_column(index=True)
    owner_id: Mapped[str] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    created_at: Mapped[datetime] = mapped_column(default=now)
    expires_at: Mapped[datetime]
    used_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]


class OneTimeCode(Table):
    """A code that logs its owner in once."""

    __tablename__ = "one_time_codes"

    sha256: Mapped[str] = mapped_column(primary_key=True)
    owner_id: Mapped[str] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    expires_at: Mapped[datetime]


class ApiKey(Table):
    __tablename__ = "api_keys"

    id: Mapped[str] = mapped_column(primary_key=True)
    owner_id: Mapped[str] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    sha256: Mapped[str] = mapped_column(unique=True)
    label: Mapped[str] = mapped_column(default="")
    scopes: Mapped[list[str]]
    created_at: Mapped[datetime] = mapped_column(default=now)
    expires_at: Mapped[datetime | None]
    last_used_at: Mapped[datetime | None]


class Tie(Table):
    """What `owner_id` has said of `other_id`: "requested", "accepted" or "blocked".

    Two people are friends when both have said "accepted".
    """

    __tablename__ = "ties"

    owner_id: Mapped[str] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), primary_key=True)
    other_id: Mapped[str] = mapped_column(
        ForeignKey("users.id", ondelete="CASCADE"), primary_key=True, index=True
    )
    state: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(default=now)


class AuditLine(Table):
    """Who did what, without personal data. Not tied to `users`: it outlives them."""

    __tablename__ = "audit_lines"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    at: Mapped[datetime] = mapped_column(default=now, index=True)
    owner_id: Mapped[str | None] = mapped_column(index=True)
    event: Mapped[str]
    facts: Mapped[dict[str, Any]]


class File(Table):
    """Bytes that somebody sent ("upload"), a job made ("result") or a live room left ("recording").

    `state` is "receiving" while parts arrive (`received_bytes` of `size_bytes`), then "stored".
    """

    __tablename__ = "files"

    id: Mapped[str] = mapped_column(primary_key=True)
    owner_id: Mapped[str] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    kind: Mapped[str]
    name: Mapped[str]
    media_type: Mapped[str]
    state: Mapped[str]
    size_bytes: Mapped[int] = mapped_column(sa.BigInteger)
    received_bytes: Mapped[int] = mapped_column(sa.BigInteger, default=0)
    sha256: Mapped[str | None]
    blob_key: Mapped[str] = mapped_column(unique=True)
    duration_s: Mapped[float | None]
    job_id: Mapped[str | None] = mapped_column(index=True)
    created_at: Mapped[datetime] = mapped_column(default=now)
    expires_at: Mapped[datetime | None] = mapped_column(index=True)

    __table_args__ = (sa.Index("files_by_owner", "owner_id", "id"),)


class Job(Table):
    """What somebody asked for: one pipeline over one file or many, each file being a task."""

    __tablename__ = "jobs"

    id: Mapped[str] = mapped_column(primary_key=True)
    owner_id: Mapped[str] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    pipeline: Mapped[str]
    options: Mapped[dict[str, Any]]
    label: Mapped[str] = mapped_column(default="")
    priority: Mapped[str]
    state: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(default=now)
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    webhook_url: Mapped[str | None]
    idempotency_key: Mapped[str | None]
    request_sha256: Mapped[str | None]
    destination: Mapped[dict[str, Any] | None]

    __table_args__ = (
        sa.UniqueConstraint("owner_id", "idempotency_key"),
        sa.Index("jobs_by_owner", "owner_id", "id"),
    )


class Task(Table):
    """One file of a job. `place` is its place in the fair queue: lower goes first.

    `round` counts its workflows: one for each time it was asked for, or broke off and is tried again.
    """

    __tablename__ = "tasks"

    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    owner_id: Mapped[str]
    pipeline: Mapped[str]
    file_id: Mapped[str]
    file_name: Mapped[str]
    options: Mapped[dict[str, Any]] = mapped_column(default=dict, server_default="{}")
    output_name: Mapped[str | None]
    outputs: Mapped[list[str]] = mapped_column(default=list, server_default="[]")
    state: Mapped[str]
    round: Mapped[int] = mapped_column(default=0)
    place: Mapped[int] = mapped_column(sa.BigInteger)
    is_enqueued: Mapped[bool] = mapped_column(default=False)
    is_cancel_wanted: Mapped[bool] = mapped_column(default=False)
    times_broken_off: Mapped[int] = mapped_column(default=0)
    stage: Mapped[str | None]
    stage_fraction: Mapped[float] = mapped_column(default=0.0)
    fraction: Mapped[float] = mapped_column(default=0.0)
    duration_s: Mapped[float | None]
    error: Mapped[dict[str, Any] | None]
    warnings: Mapped[list[str]] = mapped_column(default=list)
    created_at: Mapped[datetime] = mapped_column(default=now)
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]

    __table_args__ = (
        # With `is_enqueued`, so that the runner's looks at a long queue touch the index only.
        sa.Index("tasks_by_state", "state", "place", "is_enqueued"),
        sa.Index("tasks_by_owner", "owner_id", "state"),
        sa.Index("tasks_by_finish", "pipeline", "finished_at"),
    )


class Result(Table):
    """A named result of a task; `is_partial` while later stages have not finished."""

    __tablename__ = "results"

    job_id: Mapped[str] = mapped_column(primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(primary_key=True)
    owner_id: Mapped[str]
    kind: Mapped[str]
    file_id: Mapped[str]
    is_partial: Mapped[bool] = mapped_column(default=False)
    facts: Mapped[dict[str, Any]] = mapped_column(default=dict)
    created_at: Mapped[datetime] = mapped_column(default=now)

    __table_args__ = (
        sa.ForeignKeyConstraint(["job_id", "number"], ["tasks.job_id", "tasks.number"], ondelete="CASCADE"),
    )


class JobEvent(Table):
    """What happened to a job, for those who listen; `id` is the SSE event id."""

    __tablename__ = "job_events"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"))
    number: Mapped[int | None]
    event: Mapped[str]
    data: Mapped[dict[str, Any]]
    at: Mapped[datetime] = mapped_column(default=now)

    __table_args__ = (sa.Index("job_events_in_order", "job_id", "id"),)


class QueueShare(Table):
    """How far each owner's work of each priority reaches into the fair queue."""

    __tablename__ = "queue_shares"

    owner_id: Mapped[str] = mapped_column(primary_key=True)
    priority: Mapped[str] = mapped_column(primary_key=True)
    last_place: Mapped[int] = mapped_column(sa.BigInteger)


class TranscriptLine(Table):
    """One utterance, for search. `plain` and `speaker_plain` are folded as `clearcast.search` has it.

    `created_at` is when it was recorded, as far as that is known.
    """

    __tablename__ = "transcript_lines"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    owner_id: Mapped[str] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), index=True)
    number: Mapped[int]
    start_s: Mapped[float]
    end_s: Mapped[float]
    speaker: Mapped[str | None]
    speaker_plain: Mapped[str | None]
    text: Mapped[str]
    plain: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(default=now)

    __table_args__ = (sa.Index("transcript_lines_by_owner", "owner_id", "created_at"),)


class WebhookDelivery(Table):
    __tablename__ = "webhook_deliveries"

    id: Mapped[str] = mapped_column(primary_key=True)
    owner_id: Mapped[str] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    job_id: Mapped[str] = mapped_column(index=True)
    url: Mapped[str]
    state: Mapped[str] = mapped_column(index=True)
    attempts: Mapped[int] = mapped_column(default=0)
    last_answer: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(default=now)
    finished_at: Mapped[datetime | None]


class Room(Table):
    """A live room. `node_id` is the live node that holds it, None while nobody is in it.

    visibility: "public", "friends", "invited", "password"; sound: "speech", "music"; state: "open", "ended"
    """

    __tablename__ = "rooms"

    id: Mapped[str] = mapped_column(primary_key=True)
    owner_id: Mapped[str] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    name: Mapped[str]
    name_key: Mapped[str]
    visibility: Mapped[str]
    password_hash: Mapped[str | None]
    sound: Mapped[str]
    frame_ms: Mapped[int]
    denoise: Mapped[bool]
    record: Mapped[bool]
    transcribe: Mapped[bool]
    captions: Mapped[bool] = mapped_column(default=False, server_default=sa.false())
    is_locked: Mapped[bool] = mapped_column(default=False)
    state: Mapped[str] = mapped_column(default="open")
    node_id: Mapped[str | None] = mapped_column(index=True)
    created_at: Mapped[datetime] = mapped_column(default=now)
    ended_at: Mapped[datetime | None]

    __table_args__ = (
        sa.Index("rooms_by_owner", "owner_id", "id"),
        sa.Index(
            "open_rooms_by_name",
            "owner_id",
            "name_key",
            unique=True,
            sqlite_where=sa.text("state = 'open'"),
            postgresql_where=sa.text("state = 'open'"),
        ),
    )


class RoomInvite(Table):
    """Kept as it was written, also where nobody is called so (`user_id` None): nobody learns who exists."""

    __tablename__ = "room_invites"

    room_id: Mapped[str] = mapped_column(ForeignKey("rooms.id", ondelete="CASCADE"), primary_key=True)
    name_key: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str]
    user_id: Mapped[str | None] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    created_at: Mapped[datetime] = mapped_column(default=now)


class RoomToken(Table):
    """Lets its bearer into one room without an account; `role` is "listen", "publish" or "moderate"."""

    __tablename__ = "room_tokens"

    id: Mapped[str] = mapped_column(primary_key=True)
    room_id: Mapped[str] = mapped_column(ForeignKey("rooms.id", ondelete="CASCADE"), index=True)
    owner_id: Mapped[str] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    sha256: Mapped[str] = mapped_column(unique=True)
    role: Mapped[str]
    label: Mapped[str] = mapped_column(default="")
    created_at: Mapped[datetime] = mapped_column(default=now)
    expires_at: Mapped[datetime]
    revoked_at: Mapped[datetime | None]


class RoomRecording(Table):
    """What a room recorded from its first voice to its last: "running", "storing", "stored" or "failed".

    `failure`: the code of what ended it or what it lacks. It has "failed" when there is no sound in it.
    """

    __tablename__ = "room_recordings"

    id: Mapped[str] = mapped_column(primary_key=True)
    room_id: Mapped[str] = mapped_column(ForeignKey("rooms.id", ondelete="CASCADE"), index=True)
    owner_id: Mapped[str] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    started_at: Mapped[datetime] = mapped_column(default=now)
    ended_at: Mapped[datetime | None]
    state: Mapped[str] = mapped_column(default="running", index=True)
    failure: Mapped[str | None]
    job_id: Mapped[str | None]


class RoomRecordingFile(Table):
    """What a file of a recording is: "mix", a voice's "original" or "cleaned" sound, "events", "captions".

    `participant` is the name that the voice had then, empty where it is nobody's; `part` counts from 0.
    """

    __tablename__ = "room_recording_files"

    recording_id: Mapped[str] = mapped_column(
        ForeignKey("room_recordings.id", ondelete="CASCADE"), primary_key=True
    )
    role: Mapped[str] = mapped_column(primary_key=True)
    participant_id: Mapped[str] = mapped_column(primary_key=True, default="")
    part: Mapped[int] = mapped_column(primary_key=True, default=0)
    participant: Mapped[str] = mapped_column(default="")
    file_id: Mapped[str] = mapped_column(ForeignKey("files.id", ondelete="CASCADE"), unique=True)


class LiveNode(Table):
    """A machine that carries live rooms, and when it was last heard of."""

    __tablename__ = "live_nodes"

    id: Mapped[str] = mapped_column(primary_key=True)
    url: Mapped[str]
    seen_at: Mapped[datetime] = mapped_column(default=now)
