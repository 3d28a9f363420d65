"""`/v1/search`: the moments at which something was said, in the caller's own transcripts."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field
from pydantic.config import JsonDict

from clearcast.errors import OptionInvalid, ServiceUnavailable
from clearcast.search.query import MAX_QUERY_CHARACTERS
from clearcast.search.transcripts import MAX_LIMIT, Hit, TranscriptIndex
from deployments.ingress.access import Owner
from deployments.ingress.problem_docs import problems
from deployments.ingress.state import State

router = APIRouter(prefix="/v1/search", tags=["Search"])

_EXAMPLE: JsonDict = {
    "moments": [
        {
            "job_id": "job_01k9x3v7w2e8m5q4r6t9y0z1ab",
            "task": 0,
            "file_name": "monday.wav",
            "start_s": 61.2,
            "end_s": 64.9,
            "speaker": "Sara",
            "text": "Good morning, shall we begin?",
            "marks": [[5, 12]],
            "recorded_at": "2026-03-02T09:00:00Z",
            "job_url": "/v1/jobs/job_01k9x3v7w2e8m5q4r6t9y0z1ab",
        }
    ],
    "next": None,
}


class Moment(BaseModel):
    """A place in a recording."""

    job_id: str
    task: int = Field(description="Number of the file in its job, from 0.")
    file_name: str | None = Field(description="Name of the recording, as it was sent.")
    start_s: float = Field(description="Where in the recording it begins, in seconds.")
    end_s: float
    speaker: str | None
    text: str = Field(description="What was said; of something long, the part around the match.")
    marks: list[tuple[int, int]] = Field(
        description="Places [start, end) of `text` that match, in Unicode characters."
    )
    recorded_at: datetime
    job_url: str = Field(description="Where the job and its results are.")

    @classmethod
    def of(cls, hit: Hit) -> Moment:
        return cls(
            job_id=hit.job_id,
            task=hit.number,
            file_name=hit.file_name,
            start_s=round(hit.start_s, 3),
            end_s=round(hit.end_s, 3),
            speaker=hit.speaker,
            text=hit.snippet.text,
            marks=list(hit.snippet.marks),
            recorded_at=hit.recorded_at,
            job_url=f"/v1/jobs/{hit.job_id}",
        )


class Moments(BaseModel):
    model_config = ConfigDict(json_schema_extra={"example": _EXAMPLE})

    moments: list[Moment]
    next: str | None = Field(description="Send it as `after` for the next page; null on the last one.")


@router.get(
    "",
    operation_id="searchTranscripts",
    summary="Find where something was said",
    responses=problems(ServiceUnavailable),
)
async def search_transcripts(
    owner: Owner,
    state: State,
    q: Annotated[
        str,
        Query(
            max_length=MAX_QUERY_CHARACTERS,
            description='Words that must all be there; "a phrase" in quotes; begin* for a beginning.',
            examples=['"good morning" sara'],
        ),
    ],
    speaker: Annotated[
        str | None, Query(max_length=200, description="Only what this person said.", examples=["Sara"])
    ] = None,
    since: Annotated[
        datetime | None, Query(description="Recorded then or later; UTC where no zone is given.")
    ] = None,
    until: Annotated[datetime | None, Query(description="Recorded before then.")] = None,
    order: Annotated[
        Literal["relevance", "date"], Query(description="The best first, or the newest recording first.")
    ] = "relevance",
    limit: Annotated[int, Query(ge=1, le=MAX_LIMIT, description="Moments on a page.")] = 20,
    after: Annotated[str | None, Query(max_length=200, description="`next` of the page before.")] = None,
) -> Moments:
    """Letters, digits and joiners of Persian and Arabic are alike in all their forms; case is too."""
    page = await asyncio.to_thread(
        TranscriptIndex(state.database).find,
        owner,
        q,
        speaker=speaker,
        since=_utc(since, "since"),
        until=_utc(until, "until"),
        limit=limit,
        after=after,
        order=order,
    )
    return Moments(moments=[Moment.of(hit) for hit in page.hits], next=page.after)


def _utc(moment: datetime | None, field: str) -> datetime | None:
    if moment is None or moment.tzinfo is None:
        return None if moment is None else moment.replace(tzinfo=UTC)
    try:
        return moment.astimezone(UTC)
    except OverflowError as error:  # within a day of the year 1 or 9999
        raise OptionInvalid("That date is out of range.", field=field) from error
