"""`/v1/rooms/{room_id}/recordings`: what a room remembers.

What lives here: the lists. What does not: the bytes, which are files like any other (`downloads.py`).
"""

from __future__ import annotations

import asyncio

from fastapi import APIRouter

from clearcast.errors import NotFound
from clearcast.storage.room_recordings import RoomRecordings
from deployments.ingress.access import Owner
from deployments.ingress.problem_docs import problems
from deployments.ingress.room_answers import RecordingAnswer, RecordingList
from deployments.ingress.rooms import After, Limit, RoomId
from deployments.ingress.state import State

router = APIRouter(prefix="/v1/rooms/{room_id}/recordings", tags=["Rooms"])


@router.get("", operation_id="listRecordings", summary="List recordings", responses=problems(NotFound))
async def list_recordings(
    room_id: RoomId, owner: Owner, state: State, limit: Limit = 50, after: After = None
) -> RecordingList:
    """The newest first, with their files; those whose time is over are not among them."""
    found = await asyncio.to_thread(
        lambda: RoomRecordings(state.database).list(owner, room_id, limit=limit + 1, after=after)
    )
    page = found[:limit]
    return RecordingList(
        recordings=[RecordingAnswer.of(record) for record in page],
        next=page[-1].id if len(found) > limit else None,
    )
