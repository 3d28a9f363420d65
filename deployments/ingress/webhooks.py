"""`/v1/webhooks`: the secret that the caller's webhooks are signed with, and what became of them."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field

from clearcast.webhooks.records import Delivery, WebhookRecords
from clearcast.webhooks.secret import secret_of
from deployments.ingress.access import Owner
from deployments.ingress.problem_docs import problems
from deployments.ingress.state import State

router = APIRouter(prefix="/v1/webhooks", tags=["Webhooks"])

MAX_PAGE = 200


class WebhookSecret(BaseModel):
    model_config = ConfigDict(
        json_schema_extra={"example": {"secret": "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD3w9kZ0lLk0s="}}
    )

    secret: str = Field(description="As Standard Webhooks has it; its libraries take it as it is.")


class DeliveryAnswer(BaseModel):
    """What became of one webhook."""

    model_config = ConfigDict(
        from_attributes=True,
        json_schema_extra={
            "example": {
                "id": "msg_01k9x3v7w2e8m5q4r6t9y0z1ab",
                "job_id": "job_01k9x3v7w2e8m5q4r6t9y0z1ab",
                "url": "https://example.org/hook",
                "state": "delivered",
                "attempts": 1,
                "last_answer": "204",
                "created_at": "2026-03-02T09:00:00Z",
                "finished_at": "2026-03-02T09:00:01Z",
            }
        },
    )

    id: str = Field(description="The `webhook-id` it was sent with.")
    job_id: str
    url: str
    state: Literal["waiting", "sending", "delivered", "failed"]
    attempts: int
    last_answer: str | None = Field(description="The last HTTP status, or what went wrong before one.")
    created_at: datetime
    finished_at: datetime | None

    @classmethod
    def of(cls, delivery: Delivery) -> DeliveryAnswer:
        return cls.model_validate(delivery)


class DeliveryList(BaseModel):
    deliveries: list[DeliveryAnswer]
    next: str | None = Field(description="Send it as `after` for the next page; null on the last one.")


@router.get(
    "/secret", operation_id="getWebhookSecret", summary="The secret of your webhooks", responses=problems()
)
async def get_webhook_secret(owner: Owner, state: State) -> WebhookSecret:
    """Check the signature of what you receive with it: https://www.standardwebhooks.com."""
    return WebhookSecret(secret=await asyncio.to_thread(secret_of, state.settings.data_path, owner))


@router.get(
    "/deliveries", operation_id="listDeliveries", summary="What became of webhooks", responses=problems()
)
async def list_deliveries(
    owner: Owner,
    state: State,
    job_id: Annotated[str | None, Query(max_length=64, description="Only those of this job.")] = None,
    limit: Annotated[int, Query(ge=1, le=MAX_PAGE, description="Deliveries on a page.")] = 50,
    after: Annotated[str | None, Query(max_length=64, description="`next` of the page before.")] = None,
) -> DeliveryList:
    """The newest first."""
    records = WebhookRecords(state.database)
    found = await asyncio.to_thread(records.deliveries, owner, job_id=job_id, limit=limit + 1, after=after)
    page = found[:limit]
    return DeliveryList(
        deliveries=[DeliveryAnswer.of(delivery) for delivery in page],
        next=page[-1].id if len(found) > limit else None,
    )
