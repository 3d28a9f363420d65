"""Telling a webhook that its job has ended: a few tries with growing pauses, through crashes.

What lives here: the schedule. What does not: one try (`clearcast/webhooks/delivery.py`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import asdict
from functools import partial
from typing import Any, Protocol

from clearcast.settings import Settings
from clearcast.webhooks.delivery import Outcome, deliver
from clearcast.webhooks.records import WebhookRecords
from clearcast.webhooks.secret import secret_of
from deployments.jobs.patience import patiently

# Seconds before the second, third … try; the last one counts for all that follow.
PAUSES_S = (5.0, 30.0, 120.0, 600.0, 3600.0)

Pause = Callable[[float], Awaitable[None]]


class Once(Protocol):
    async def __call__(
        self, name: str, step: Callable[[], Coroutine[Any, Any, dict[str, Any]]]
    ) -> dict[str, Any]:
        """What `step` gives, or gave before a crash under this name."""
        ...


async def tell(
    settings: Settings, records: WebhookRecords, delivery_id: str, once: Once, pause: Pause
) -> None:
    """Send the delivery until it is taken, refused, or the tries are used up."""

    async def send() -> dict[str, Any]:
        return await _try(settings, records, delivery_id)

    for attempt in range(1, settings.jobs.webhook_attempts + 1):
        outcome = Outcome(**await once(f"try {attempt}", send))
        is_last = outcome.result == "refused" or attempt == settings.jobs.webhook_attempts
        note = partial(records.note, delivery_id, attempt, outcome, is_last=is_last)
        await patiently(lambda note=note: asyncio.to_thread(note))  # type: ignore[misc]
        if is_last or outcome.result == "delivered":
            return
        usual_s = PAUSES_S[min(attempt, len(PAUSES_S)) - 1]
        await pause(max(usual_s, float(outcome.retry_after_s or 0)))


async def _try(settings: Settings, records: WebhookRecords, delivery_id: str) -> dict[str, Any]:
    message = await patiently(lambda: asyncio.to_thread(records.message, delivery_id))
    if message is None:
        return asdict(Outcome("refused", "job_gone"))
    secret = await asyncio.to_thread(secret_of, settings.data_path, message.owner_id)
    return asdict(await deliver(message.url, message.id, message.payload, secret, settings.jobs))
