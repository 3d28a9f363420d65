"""DBOS around our tasks: the queue, a workflow per task, its stages as steps, going on after a crash.

What lives here: everything that knows DBOS. What does not: what a task does (`task_run.py`).

DBOS keeps one instance per process and finds workflows by name, so the workflow is a function of this
module and finds its engine in `_engine`.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from dbos import DBOS, DBOSConfig, SetEnqueueOptions, SetWorkflowID
from sqlalchemy.engine import ExceptionContext

from clearcast.errors import PipelineMissing, ServiceError
from clearcast.settings import Settings
from clearcast.storage.database import make_private
from clearcast.storage.job_progress import Ending, TaskKey, TaskRound, Waiting
from clearcast.webhooks.records import WebhookRecords
from deployments.ingress.log_lines import log_fields
from deployments.jobs.housekeeping import OVER, clean_house, forget_workflows
from deployments.jobs.patience import patiently
from deployments.jobs.progress_report import ProgressReport
from deployments.jobs.task_run import TaskRun, Workshop, as_problem
from deployments.jobs.webhook_run import tell
from pipelines.recipes import all_recipes

logger = logging.getLogger(__name__)

QUEUE = "tasks"
WEBHOOK_QUEUE = "webhooks"
MOST_WEBHOOKS = 1000  # sleeping between tries counts too
AHEAD = 50  # tasks that DBOS holds before their turn: later ones may still overtake them
WATCH_S = 0.4  # between two looks at who cancelled, and two lines of progress
RECONCILE_S = 10.0
CLEAN_S = 3600.0
# The same after every start, so that DBOS takes up what the process before left.
EXECUTOR = "runner"
VERSION = "1"  # of the workflow below: raise it when its steps change, after the queue has run dry

_engine: JobEngine | None = None


@DBOS.workflow(name="task")
async def _task(job_id: str, number: int, round_: int) -> None:
    assert _engine is not None
    with log_fields(job_id=job_id), _nothing_personal():
        await _engine.run_task(job_id, number, round_)


@DBOS.workflow(name="webhook")
async def _webhook(delivery_id: str) -> None:
    assert _engine is not None
    with _nothing_personal():
        await tell(_engine.settings, _engine.webhooks, delivery_id, _once, DBOS.sleep_async)


@contextmanager
def _nothing_personal() -> Iterator[None]:
    """DBOS keeps the error that ends a workflow, and the message of one may hold anything."""
    try:
        yield
    except Exception as error:
        logger.exception("a workflow broke off")
        raise RuntimeError(f"broke off: {type(error).__name__}") from None


class JobEngine:
    """The engine of this process; there may be one per process and one per database."""

    def __init__(self, settings: Settings, workshop: Workshop) -> None:
        self.settings = settings
        self.webhooks = WebhookRecords(workshop.database)
        self._shop = workshop
        self._running: dict[TaskKey, TaskRun] = {}
        self._reports: dict[TaskKey, ProgressReport] = {}
        self._loops: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Launch DBOS, which goes on with what was left unfinished, and begin to hand it work."""
        global _engine  # noqa: PLW0603 - see the module's docstring
        _engine = self
        config = DBOSConfig(
            name="clearcast",
            system_database_url=await asyncio.to_thread(_dbos_url, self.settings),
            executor_id=EXECUTOR,
            application_version=VERSION,
            log_level="WARNING",
        )
        sa.event.listen(sa.Engine, "handle_error", _lost_is_lost)
        DBOS(config=config)
        DBOS.launch()
        await DBOS.register_queue_async(
            QUEUE,
            worker_concurrency=self.settings.jobs.max_running,
            polling_interval_sec=self.settings.jobs.poll_s,
        )
        await DBOS.register_queue_async(WEBHOOK_QUEUE, worker_concurrency=MOST_WEBHOOKS)
        self._loops = [
            asyncio.create_task(self._every(self.settings.jobs.poll_s, self._hand_over)),
            asyncio.create_task(self._every(WATCH_S, self._watch)),
            asyncio.create_task(self._every(RECONCILE_S, self._reconcile)),
            asyncio.create_task(self._every(CLEAN_S, self._clean)),
        ]

    async def stop(self) -> None:
        """Take on nothing more and let go; the next start goes on with what is unfinished."""
        for loop in self._loops:
            loop.cancel()
        await asyncio.gather(*self._loops, return_exceptions=True)
        await asyncio.to_thread(DBOS.destroy, workflow_completion_timeout_sec=0)
        # DBOS made its own thread pool the loop's, and has closed it.
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor())

    def check(self) -> None:
        """Raises RuntimeError when a loop has ended, which none should."""
        for loop in self._loops:
            if loop.done():
                raise RuntimeError("a loop of the job engine has ended")

    async def run_task(self, job_id: str, number: int, round_: int) -> None:
        """The body of the workflow."""
        progress = self._shop.progress
        order = await patiently(lambda: asyncio.to_thread(progress.start, job_id, number, round_))
        if order is None:
            return
        recipe = all_recipes().get(order.pipeline)
        if recipe is None:
            gone = PipelineMissing(f"There is no pipeline {order.pipeline!r} any more.")
            failed = Ending("failed", as_problem(gone))
            await patiently(lambda: asyncio.to_thread(progress.finish, order, failed))
            return
        report = ProgressReport(progress, order.key, recipe.weights_for(order.options))
        run = TaskRun(self._shop, order, report, _as_step)
        self._running[order.key], self._reports[order.key] = run, report
        try:
            ending = await run.run()
            await self._write(report)
            await patiently(lambda: asyncio.to_thread(progress.finish, order, ending))
            await run.clean_up(ending)
        finally:
            # The owner may have asked for it again already: then these are the next round's.
            if self._running.get(order.key) is run:
                del self._running[order.key], self._reports[order.key]

    async def _hand_over(self) -> None:
        """Give DBOS the next tasks in their fair order."""
        progress = self._shop.progress
        room = AHEAD - await asyncio.to_thread(progress.count_enqueued)
        if room <= 0:
            return
        tasks = await asyncio.to_thread(progress.not_enqueued, room)
        for task in tasks:
            await _enqueue(task)
        if tasks:
            await asyncio.to_thread(progress.mark_enqueued, tasks)

    async def _hand_over_webhooks(self) -> None:
        for delivery_id in await asyncio.to_thread(self.webhooks.waiting):
            with SetWorkflowID(delivery_id):
                await DBOS.enqueue_workflow_async(WEBHOOK_QUEUE, _webhook, delivery_id)
            await asyncio.to_thread(self.webhooks.begin, delivery_id)

    async def _clean(self) -> None:
        await asyncio.to_thread(clean_house, self.settings, self._shop.database, self._shop.blobs)
        await forget_workflows()

    async def _watch(self) -> None:
        await self._hand_over_webhooks()
        for report in list(self._reports.values()):
            await self._write(report)
        keys = list(self._running)
        for key in await asyncio.to_thread(self._shop.progress.cancel_wanted, keys):
            if key in self._running:
                self._running[key].cancel()

    async def _reconcile(self) -> None:
        """Queue again the tasks whose workflow is over though they are not: it met something unforeseen.

        Webhooks in the same state have failed.
        """
        for task in await asyncio.to_thread(self._shop.progress.in_the_engine):
            status = await DBOS.get_workflow_status_async(task.workflow_id)
            if status is None or status.status in OVER:
                # The status was read after the task: what ended in between is not open any more.
                await asyncio.to_thread(self._hand_back, task)
        for delivery_id in await _ended(await asyncio.to_thread(self.webhooks.sending)):
            await asyncio.to_thread(self.webhooks.give_up, delivery_id)

    def _hand_back(self, task: TaskRound) -> None:
        if not self._shop.progress.hand_back(task):
            logger.error("task given up", extra={"job_id": task.job_id})
            self._shop.progress.give_up(
                task, as_problem(ServiceError("The work broke off again and again."))
            )

    async def _write(self, report: ProgressReport) -> None:
        await patiently(report.write)

    async def _every(self, seconds: float, act: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                await patiently(act)
            except Exception:
                logger.exception("a loop of the job engine failed; it goes on")
            await asyncio.sleep(seconds)


async def _enqueue(task: Waiting) -> None:
    """Idempotent by the workflow's id."""
    with SetWorkflowID(task.workflow_id), SetEnqueueOptions(priority=task.place):
        await DBOS.enqueue_workflow_async(QUEUE, _task, task.job_id, task.number, task.round)


async def _ended(workflow_ids: list[str]) -> list[str]:
    """Those of the workflows that will not go on, in one look."""
    if not workflow_ids:
        return []
    found = await DBOS.list_workflows_async(workflow_ids=workflow_ids, load_input=False, load_output=False)
    going_on = {workflow.workflow_id for workflow in found if workflow.status not in OVER}
    return [one for one in workflow_ids if one not in going_on]


async def _once(name: str, step: Callable[[], Coroutine[Any, Any, dict[str, Any]]]) -> dict[str, Any]:
    return await DBOS.run_step_async({"name": name}, step)


async def _as_step(name: str, step: Callable[[], Awaitable[None]]) -> None:
    await DBOS.run_step_async({"name": name}, step)


def _lost_is_lost(context: ExceptionContext) -> None:
    """Mark a failure to connect as what it is.

    DBOS waits for a PostgreSQL that is away, but knows it by the wording of the error, and libpq has
    several: a workflow that met another wording would break off and could not even say so.
    """
    if context.connection is None and context.dialect.name == "postgresql":
        context.is_disconnect = True


def _dbos_url(settings: Settings) -> str:
    """Beside our records: a file of its own next to SQLite, a schema of its own in PostgreSQL."""
    url = settings.database_url
    if not url.startswith("sqlite:///"):
        return url
    path = Path(url.removeprefix("sqlite:///")).expanduser().with_name("workflows.sqlite")
    make_private(path)
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA journal_mode = WAL")  # stays with the file
    connection.close()
    return f"sqlite:///{path}"
