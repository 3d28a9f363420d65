"""`/health` and `/metrics`: what machines ask about this one."""

from __future__ import annotations

import asyncio
from typing import Literal

from fastapi import APIRouter, Response
from pydantic import BaseModel, Field

from deployments.ingress.access import Reader
from deployments.ingress.problem_docs import problems
from deployments.ingress.state import State

router = APIRouter(tags=["Monitoring"])


class Alive(BaseModel):
    status: Literal["alive"] = "alive"


class Readiness(BaseModel):
    status: Literal["ready", "not_ready"]
    missing: dict[str, str] = Field(description="What is not ready, and why.")
    waiting: dict[str, str] = Field(
        description="What should have more replicas than could be started, and why. Not a reason for 503."
    )


@router.get("/health/live", operation_id="isAlive", summary="Is this process alive?")
async def is_alive() -> Alive:
    """Answers as long as the event loop turns. Needs no key."""
    return Alive()


@router.get(
    "/health/ready",
    operation_id="isReady",
    summary="Can this server take work?",
    responses={503: {"model": Readiness, "description": "Not yet; `missing` tells what for."}},
)
async def is_ready(state: State, response: Response) -> Readiness:
    """503 until everything that answers need is there. Needs no key."""
    standing = await state.ready()
    response.status_code = 503 if standing.missing else 200
    return Readiness(
        status="not_ready" if standing.missing else "ready",
        missing=dict(standing.missing),
        waiting=dict(standing.waiting),
    )


@router.get(
    "/metrics",
    operation_id="readMetrics",
    summary="Counts and times, for Prometheus",
    response_class=Response,
    responses={
        **problems(),
        200: {"content": {"text/plain": {}}, "description": "Prometheus's text format."},
    },
)
async def read_metrics(_reader: Reader, state: State) -> Response:
    """Requests and stages are of this process, each ingress replica having its own; the queue is of all."""
    state.metrics.count_replicas(await state.replicas())
    await asyncio.to_thread(state.metrics.queue.refresh, state.database)
    return Response(state.metrics.page(), media_type=state.metrics.media_type)
