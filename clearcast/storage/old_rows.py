"""Records that nobody needs any more: ended log-ins, webhooks that were sent, the course of old jobs.

What lives here: their removal, made to be called again and again. What does not: files and all that people
know of (`retention.py`); jobs themselves stay until their owner erases them.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from clearcast.storage.database import Database
from clearcast.storage.tables import AuditLine, Job, JobEvent, OneTimeCode, RefreshToken, WebhookDelivery

DELIVERIES_KEPT = timedelta(days=30)
EVENTS_KEPT = timedelta(days=7)
"""So long after its end the course of a job can still be followed; its last event stays."""

NAMELESS_LINES_KEPT = timedelta(days=90)
"""Audit lines that belong to nobody: log-ins that failed."""

BATCH_ROWS = 500
_ENDS = ("succeeded", "failed", "cancelled")


def forget_rows(database: Database, now: datetime) -> int:
    """Remove what is over at `now` (UTC), in short transactions; the number of rows. Blocks."""
    events = (
        sa.select(JobEvent.id)
        .join(Job, Job.id == JobEvent.job_id)
        .where(Job.finished_at <= now - EVENTS_KEPT, JobEvent.event.not_in(_ENDS))
    )
    deliveries = sa.select(WebhookDelivery.id).where(WebhookDelivery.finished_at <= now - DELIVERIES_KEPT)
    tokens = sa.select(RefreshToken.sha256).where(RefreshToken.expires_at <= now)
    lines = sa.select(AuditLine.id).where(
        AuditLine.owner_id.is_(None), AuditLine.at <= now - NAMELESS_LINES_KEPT
    )
    codes = sa.select(OneTimeCode.sha256).where(OneTimeCode.expires_at <= now)
    return (
        _remove(database, events, lambda keys: sa.delete(JobEvent).where(JobEvent.id.in_(keys)))
        + _remove(
            database,
            deliveries,
            lambda keys: sa.delete(WebhookDelivery).where(WebhookDelivery.id.in_(keys)),
        )
        + _remove(
            database, tokens, lambda keys: sa.delete(RefreshToken).where(RefreshToken.sha256.in_(keys))
        )
        + _remove(database, lines, lambda keys: sa.delete(AuditLine).where(AuditLine.id.in_(keys)))
        + _remove(database, codes, lambda keys: sa.delete(OneTimeCode).where(OneTimeCode.sha256.in_(keys)))
    )


def _remove(database: Database, over: sa.Select[Any], delete: Callable[[list[Any]], sa.Delete]) -> int:
    removed = 0
    while True:
        # Found without the lock of writers, whom a long look would keep waiting.
        with database.reading() as session:
            keys = list(session.scalars(over.limit(BATCH_ROWS)))
        if not keys:
            return removed
        with database.writing() as session:
            session.execute(delete(keys))
        removed += len(keys)
