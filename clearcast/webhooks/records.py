"""Which webhooks are to be sent, and what became of them. Sending itself is in `delivery.py`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from clearcast.storage.database import Database
from clearcast.storage.tables import Job, Task, WebhookDelivery, now
from clearcast.webhooks.delivery import Outcome

BROKE_OFF = "broke_off"
"""`last_answer` of a delivery that ended by an error of this server."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """What became of one webhook. `last_answer` is an HTTP status or the code of what went wrong."""

    id: str
    job_id: str
    url: str
    state: str
    attempts: int
    last_answer: str | None
    created_at: datetime
    finished_at: datetime | None


@dataclass(frozen=True, slots=True)
class Message:
    """One webhook to send. `payload` holds no names and no transcripts, only where to look."""

    id: str
    owner_id: str
    url: str
    payload: Mapping[str, Any]


class WebhookRecords:
    """Deliveries go waiting → sending → delivered | failed. All methods block."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def deliveries(
        self, owner_id: str, *, job_id: str | None = None, limit: int = 50, after: str | None = None
    ) -> list[Delivery]:
        """The owner's deliveries, the newest first; `after` is the id of the last one seen."""
        columns = [getattr(WebhookDelivery, field.name) for field in fields(Delivery)]
        query = sa.select(*columns).where(WebhookDelivery.owner_id == owner_id)
        if job_id is not None:
            query = query.where(WebhookDelivery.job_id == job_id)
        if after is not None:
            query = query.where(WebhookDelivery.id < after)
        with self._database.reading() as session:
            rows = session.execute(query.order_by(WebhookDelivery.id.desc()).limit(limit))
            return [Delivery(*row) for row in rows]

    def waiting(self, limit: int = 50) -> list[str]:
        """Ids of deliveries that nobody has begun."""
        query = sa.select(WebhookDelivery.id).where(WebhookDelivery.state == "waiting").limit(limit)
        with self._database.reading() as session:
            return list(session.scalars(query))

    def begin(self, delivery_id: str) -> None:
        self._set(delivery_id, "waiting", state="sending")

    def sending(self, limit: int = 500) -> list[str]:
        """Ids of deliveries that somebody has begun and nobody has ended, the oldest first."""
        query = sa.select(WebhookDelivery.id).where(WebhookDelivery.state == "sending")
        with self._database.reading() as session:
            return list(session.scalars(query.order_by(WebhookDelivery.id).limit(limit)))

    def give_up(self, delivery_id: str) -> None:
        """End a delivery whose workflow is over though it is not: it met something unforeseen."""
        self._set(delivery_id, "sending", state="failed", last_answer=BROKE_OFF, finished_at=now())

    def message(self, delivery_id: str) -> Message | None:
        """None when it need not be sent any more: it was, or its job is gone."""
        with self._database.reading() as session:
            delivery = session.get(WebhookDelivery, delivery_id)
            if delivery is None or delivery.state not in {"waiting", "sending"}:
                return None
            job = session.scalar(
                sa.select(Job).where(Job.id == delivery.job_id, Job.owner_id == delivery.owner_id)
            )
            if job is None:
                return None
            counts = session.execute(
                sa.select(Task.state, sa.func.count()).where(Task.job_id == job.id).group_by(Task.state)
            )
            return Message(
                delivery.id,
                delivery.owner_id,
                delivery.url,
                _payload(job, dict(counts.all())),
            )

    def note(self, delivery_id: str, attempts: int, outcome: Outcome, *, is_last: bool) -> None:
        """What became of a try."""
        state = "delivered" if outcome.result == "delivered" else "failed" if is_last else "sending"
        self._set(
            delivery_id,
            "sending",
            state=state,
            attempts=attempts,
            last_answer=outcome.answer,
            finished_at=None if state == "sending" else now(),
        )

    def _set(self, delivery_id: str, from_state: str, **values: Any) -> None:
        with self._database.writing() as session:
            session.execute(
                sa.update(WebhookDelivery)
                .where(WebhookDelivery.id == delivery_id, WebhookDelivery.state == from_state)
                .values(**values)
            )


def _payload(job: Job, counts: Mapping[str, int]) -> Mapping[str, Any]:
    """As Standard Webhooks has it: a type, a time, and data."""
    ended_at = job.finished_at or now()
    return {
        "type": f"job.{job.state}",
        "timestamp": ended_at.isoformat(),
        "data": {
            "id": job.id,
            "pipeline": job.pipeline,
            "state": job.state,
            "counts": counts,
            "url": f"/v1/jobs/{job.id}",
        },
    }
