"""Jobs on a ClearCast server: `client.jobs` of the Python client.

    job = client.jobs.submit("meeting", ["monday.mp3"], options={"language": "fa"})
    job = client.jobs.wait(job.id, on_progress=lambda event: print(event.stage, event.fraction))
    print(client.jobs.result(job.id).transcript.text)

What does not live here: requests and their order (`orders`), files (`files`), the lines of
event streams (`events`).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path
from typing import Literal, Unpack, overload

from clearcast.client.events import EventReader
from clearcast.client.files import OnBytes, fetch, fetch_async, ignore_bytes
from clearcast.client.flow import BROKEN, ask_again
from clearcast.client.orders import (
    GivenFile,
    OrderFields,
    chosen_result_flow,
    job_call,
    jobs_call,
    pipelines_call,
    read_job,
    read_jobs,
    result_call,
    submit_flow,
    table_call,
    tasks_call,
)
from clearcast.client.transport import AsyncTransport, Transport
from clearcast.client.types import ENDED, Job, JobEvent, JobState, JobSummary, JobTask, Pipeline
from clearcast.client.wire import read_items, read_object
from clearcast.errors import ClearCastError, ServiceUnavailable
from clearcast.speech.formats import Result
from clearcast.speech.json_file import read_json
from clearcast.speech.keywords import Keywords
from clearcast.speech.keywords_file import read_keywords

OnEvent = Callable[[JobEvent], None]


def ignore_event(_event: JobEvent) -> None:
    """The listener of those who do not listen."""


class Jobs:
    """`client.jobs`. A job is named by its id. All raise NotFound for a job that is not yours."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def submit(
        self,
        pipeline: str,
        files: Sequence[GivenFile] | GivenFile,
        on_upload: OnBytes = ignore_bytes,
        **order: Unpack[OrderFields],
    ) -> Job:
        """Queue a job on files of this machine (paths), on the server (`StoredFile`s or ids), or below
        prefixes `s3://BUCKET/PREFIX` of buckets that the server reads from; `FileWithOptions` gives one of
        them options of its own. With `destination` the results go to a bucket too.

        Every submission has an idempotency key, made here when none is given: a request whose answer was
        lost is repeated and gives the same job.
        """
        flow = submit_flow(pipeline, files, order, self._transport.busy_wait_s, on_upload)
        return self._transport.run(flow)

    def get(self, job_id: str) -> Job:
        return read_job(self._transport.send(job_call(job_id)))

    def list(self, state: JobState | None = None, pipeline: str | None = None) -> Iterator[JobSummary]:
        """The newest first; pages are fetched as they are needed."""
        after: str | None = None
        while True:
            page, after = read_jobs(self._transport.send(jobs_call(state, pipeline, after)))
            yield from page
            if after is None:
                return

    def tasks(self, job_id: str) -> Iterator[JobTask]:
        """All files of a job."""
        after: int | None = -1
        while after is not None:
            response = self._transport.send(tasks_call(job_id, after))
            yield from map(JobTask.of, read_items(response, "tasks"))
            after = read_object(response).get("next")

    def cancel(self, job_id: str) -> Job:
        """Stop what runs and drop what waits; what is finished stays."""
        return read_job(self._transport.run(ask_again(job_call(job_id, "DELETE"))))

    def retry(self, job_id: str) -> Job:
        """Try again what failed or was cancelled. Raises JobUnfinished."""
        return read_job(self._transport.send(job_call(job_id, "POST", "/retry")))

    def erase(self, job_id: str) -> None:
        """Erase a job that has ended, with its results. Raises JobUnfinished."""
        self._transport.send(job_call(job_id, "POST", "/erase"))

    def follow(self, job_id: str, after: int = 0) -> Iterator[JobEvent]:
        """What happens, until the job has ended; `after` is the id of an event.

        A connection that breaks is made again, and nothing is told twice.
        """
        reader = EventReader(job_id, after, self._transport.busy_wait_s)
        while True:
            error: ClearCastError = ServiceUnavailable("The server ends the events before the job ends.")
            try:
                with self._transport.stream(reader.call()) as response:
                    for line in response.iter_lines():
                        if (event := reader.feed(line)) is not None:
                            yield event
                if reader.has_ended or self.get(job_id).has_ended:
                    return
            except BROKEN as broken:
                error = broken
            time.sleep(reader.pause_s(error))

    def wait(self, job_id: str, on_progress: OnEvent = ignore_event) -> Job:
        """The job as it is when it has ended; `on_progress` is told every event on the way.

        A job that fails does not raise: see `Job.state`, and `error` of its tasks.
        """
        for event in self.follow(job_id):
            on_progress(event)
        return self.get(job_id)

    @overload
    def result(
        self, job_id: str, name: str | None = None, task: int = 0, format: None = None
    ) -> Result: ...

    @overload
    def result(self, job_id: str, name: str | None = None, task: int = 0, *, format: str) -> bytes: ...

    def result(
        self,
        job_id: str,
        name: str | None = None,
        task: int = 0,
        format: str | None = None,  # noqa: A002 - as the API calls it
    ) -> Result | bytes:
        """A result of the file with the number `task`: a meeting, transcript or diarization; with `format`
        its bytes in that format. Without a name, the job's main result. Raises JobUnfinished.
        """
        chosen = self._transport.run(chosen_result_flow(job_id, task, name))
        response = self._transport.send(result_call(job_id, chosen, task, format))
        return read_json(response.content) if format is None else response.content

    def keywords(self, job_id: str, task: int = 0) -> Keywords:
        """What a job that classifies found in the file with the number `task`. Raises JobUnfinished."""
        return read_keywords(self.result(job_id, "keywords", task, format="json"))

    def download(
        self,
        job_id: str,
        to: str | Path,
        name: str | None = None,
        task: int = 0,
        format: str | None = None,  # noqa: A002 - as the API calls it
    ) -> Path:
        """Write a result to the path `to`, whole or not at all."""
        chosen = self._transport.run(chosen_result_flow(job_id, task, name))
        return fetch(self._transport, result_call(job_id, chosen, task, format), Path(to))

    def table(self, job_id: str, format: Literal["csv", "parquet"] = "csv") -> bytes:  # noqa: A002
        """What became of every file of a job, a row for each."""
        return self._transport.send(table_call(job_id, format)).content

    def pipelines(self) -> Sequence[Pipeline]:
        """What jobs can do."""
        return [
            Pipeline.of(values)
            for values in read_items(self._transport.send(pipelines_call()), "pipelines")
        ]


class AsyncJobs:
    """`client.jobs` of the asynchronous client; see `Jobs`."""

    def __init__(self, transport: AsyncTransport) -> None:
        self._transport = transport

    async def submit(
        self,
        pipeline: str,
        files: Sequence[GivenFile] | GivenFile,
        on_upload: OnBytes = ignore_bytes,
        **order: Unpack[OrderFields],
    ) -> Job:
        """As `Jobs.submit`."""
        flow = submit_flow(pipeline, files, order, self._transport.busy_wait_s, on_upload)
        return await self._transport.run(flow)

    async def get(self, job_id: str) -> Job:
        return read_job(await self._transport.send(job_call(job_id)))

    async def list(
        self, state: JobState | None = None, pipeline: str | None = None
    ) -> AsyncIterator[JobSummary]:
        """As `Jobs.list`."""
        after: str | None = None
        while True:
            page, after = read_jobs(await self._transport.send(jobs_call(state, pipeline, after)))
            for job in page:
                yield job
            if after is None:
                return

    async def tasks(self, job_id: str) -> AsyncIterator[JobTask]:
        """As `Jobs.tasks`."""
        after: int | None = -1
        while after is not None:
            response = await self._transport.send(tasks_call(job_id, after))
            for values in read_items(response, "tasks"):
                yield JobTask.of(values)
            after = read_object(response).get("next")

    async def cancel(self, job_id: str) -> Job:
        """As `Jobs.cancel`."""
        return read_job(await self._transport.run(ask_again(job_call(job_id, "DELETE"))))

    async def retry(self, job_id: str) -> Job:
        """As `Jobs.retry`."""
        return read_job(await self._transport.send(job_call(job_id, "POST", "/retry")))

    async def erase(self, job_id: str) -> None:
        """As `Jobs.erase`."""
        await self._transport.send(job_call(job_id, "POST", "/erase"))

    async def follow(self, job_id: str, after: int = 0) -> AsyncIterator[JobEvent]:
        """As `Jobs.follow`."""
        reader = EventReader(job_id, after, self._transport.busy_wait_s)
        while True:
            error: ClearCastError = ServiceUnavailable("The server ends the events before the job ends.")
            try:
                async with self._transport.stream(reader.call()) as response:
                    async for line in response.aiter_lines():
                        if (event := reader.feed(line)) is not None:
                            yield event
                if reader.has_ended or (await self.get(job_id)).state in ENDED:
                    return
            except BROKEN as broken:
                error = broken
            await asyncio.sleep(reader.pause_s(error))

    async def wait(self, job_id: str, on_progress: OnEvent = ignore_event) -> Job:
        """As `Jobs.wait`."""
        async for event in self.follow(job_id):
            on_progress(event)
        return await self.get(job_id)

    @overload
    async def result(
        self, job_id: str, name: str | None = None, task: int = 0, format: None = None
    ) -> Result: ...

    @overload
    async def result(
        self, job_id: str, name: str | None = None, task: int = 0, *, format: str
    ) -> bytes: ...

    async def result(
        self,
        job_id: str,
        name: str | None = None,
        task: int = 0,
        format: str | None = None,  # noqa: A002 - as the API calls it
    ) -> Result | bytes:
        """As `Jobs.result`."""
        chosen = await self._transport.run(chosen_result_flow(job_id, task, name))
        response = await self._transport.send(result_call(job_id, chosen, task, format))
        return read_json(response.content) if format is None else response.content

    async def keywords(self, job_id: str, task: int = 0) -> Keywords:
        """As `Jobs.keywords`."""
        return read_keywords(await self.result(job_id, "keywords", task, format="json"))

    async def download(
        self,
        job_id: str,
        to: str | Path,
        name: str | None = None,
        task: int = 0,
        format: str | None = None,  # noqa: A002 - as the API calls it
    ) -> Path:
        """As `Jobs.download`."""
        chosen = await self._transport.run(chosen_result_flow(job_id, task, name))
        return await fetch_async(self._transport, result_call(job_id, chosen, task, format), Path(to))

    async def table(self, job_id: str, format: Literal["csv", "parquet"] = "csv") -> bytes:  # noqa: A002
        """As `Jobs.table`."""
        return (await self._transport.send(table_call(job_id, format))).content

    async def pipelines(self) -> Sequence[Pipeline]:
        """As `Jobs.pipelines`."""
        response = await self._transport.send(pipelines_call())
        return [Pipeline.of(values) for values in read_items(response, "pipelines")]
