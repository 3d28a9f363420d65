"""Recordings of live rooms become meeting jobs of the room's owner.

What lives here: the order. What does not: when it is given (`streaming/recording_store.py`), and the job,
which is one like any other.
"""

from __future__ import annotations

import hashlib

from clearcast.storage.job_order import JobFile, JobOrder
from clearcast.storage.job_records import JobRecords
from pipelines.recipes.meeting import MeetingRecipe
from streaming.recording_store import MeetingOrder


def order_meeting(jobs: JobRecords, order: MeetingOrder) -> str:
    """The job's id; asked again for the same recording, the same job.

    Blocks. Raises Overloaded, ServiceUnavailable, NotFound when the owner was erased.
    """
    file_ids = " ".join(file_id for file_id, _ in order.files)
    job_id, _ = jobs.accept(
        order.owner_id,
        JobOrder(
            pipeline=MeetingRecipe.name,
            options={},
            files=[JobFile(*file) for file in order.files],
            label=order.label,
            idempotency_key=f"recording {order.recording_id}",  # with a space: no client can send this key
            request_sha256=hashlib.sha256(file_ids.encode()).hexdigest(),
        ),
    )
    return job_id
