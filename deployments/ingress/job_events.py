"""`/v1/jobs/{job_id}/events`: what happens to a job, as server-sent events that can be resumed."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Header, Query
from fastapi.responses import StreamingResponse

from clearcast.errors import NotFound
from clearcast.storage.job_records import JobRecords
from deployments.ingress.access import Owner
from deployments.ingress.job_answers import has_ended
from deployments.ingress.jobs import JobId, records_of
from deployments.ingress.problem_docs import problems
from deployments.ingress.state import State

router = APIRouter(prefix="/v1/jobs", tags=["Jobs"])

LOOK_S = 0.3  # between two looks at the records: any ingress process can tell of any job
QUIET_S = 15.0  # proxies close connections that are silent for 30 to 60 s
LAST_ID = 2**63 - 1


@router.get(
    "/{job_id}/events",
    operation_id="followJob",
    summary="Follow a job",
    response_class=StreamingResponse,
    responses={
        **problems(NotFound),
        200: {"content": {"text/event-stream": {}}, "description": "Events until the job has ended."},
    },
)
async def follow_job(
    job_id: JobId,
    owner: Owner,
    state: State,
    last_event_id: Annotated[
        int | None, Header(ge=0, le=LAST_ID, description="Go on after this event; browsers send it.")
    ] = None,
    after: Annotated[int, Query(ge=0, le=LAST_ID, description="The same for those who cannot.")] = 0,
) -> StreamingResponse:
    """`queued`, `running`, `progress`, `stage`, `result` and `task` as they come; at last `succeeded`,
    `failed` or `cancelled`, and the stream ends. Each has an id and JSON data.
    """
    records = records_of(state)
    await asyncio.to_thread(records.events, owner, job_id, LAST_ID)  # 404 before the stream begins
    return StreamingResponse(
        _events(records, owner, job_id, after if last_event_id is None else last_event_id),
        media_type="text/event-stream",
        headers={"X-Accel-Buffering": "no"},  # nginx would hold events back
    )


async def _events(records: JobRecords, owner: str, job_id: str, after: int) -> AsyncIterator[str]:
    quiet_s = 0.0
    while True:
        try:
            job = await asyncio.to_thread(records.state, owner, job_id)
            events = await asyncio.to_thread(records.events, owner, job_id, after)
        except NotFound:
            return  # erased meanwhile
        for event in events:
            after = event.id
            data = json.dumps({**event.data, "at": event.at.isoformat()}, separators=(",", ":"))
            yield f"id: {event.id}\nevent: {event.event}\ndata: {data}\n\n"
        if has_ended(job) and not events:
            return
        quiet_s = 0.0 if events else quiet_s + LOOK_S
        if quiet_s >= QUIET_S:
            quiet_s = 0.0
            yield ": still here\n\n"
        if not events:
            await asyncio.sleep(LOOK_S)
