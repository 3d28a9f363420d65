"""One task from its file to its results: decode, then the stages of its recipe, each durable.

What lives here: the run of a task, told what to do by a `TaskOrder`. What does not: the workflow around it
(`engine.py`), which gives the `durably` that makes a step of a stage.
"""

from __future__ import annotations

import asyncio
import logging
import shutil
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol, TypeVar, cast

from sqlalchemy.exc import SQLAlchemyError

from clearcast.audio.recording import Clip
from clearcast.engines.engine import Progress, ignore_progress
from clearcast.engines.measure.contract import SoundScore
from clearcast.errors import Cancelled, ClearCastError, NotFound, Overloaded, ServiceTimeout
from clearcast.search.transcripts import TranscriptIndex
from clearcast.services import Services
from clearcast.settings import Settings
from clearcast.storage.blobs import BlobStore
from clearcast.storage.database import Database, is_away
from clearcast.storage.files import FileRecords
from clearcast.storage.job_progress import Ending, JobProgress, TaskOrder
from clearcast.storage.job_records import State
from clearcast.storage.voice_store import VoiceStore
from clearcast.storage.voices import Voice
from deployments.jobs.delivery import Delivery
from deployments.jobs.patience import patiently
from deployments.jobs.progress_report import ProgressReport
from deployments.jobs.result_store import ResultStore, sounds_in
from deployments.jobs.stage_store import StageStore
from deployments.jobs.working_copies import WorkingCopies, fetch_blob
from pipelines.batch.bucket_recordings import BucketRecordings
from pipelines.batch.outputs import KEEP
from pipelines.batch.record import Record
from pipelines.recipe import KeptSound, Recipe, RecipeResult, Source
from pipelines.recipes import all_recipes
from pipelines.scored import SCORE, run_scored
from pipelines.stages import Decoded, Work

logger = logging.getLogger(__name__)

T = TypeVar("T")

FIRST_WAIT_S, LONGEST_WAIT_S = 0.5, 20.0


class StageFailed(Exception):
    """All that the workflow engine is told of a stage that failed."""


class Durably(Protocol):
    async def __call__(self, name: str, step: Callable[[], Awaitable[None]]) -> None:
        """Run `step`, unless it ran to its end before under this name in this task."""
        ...


@dataclass(frozen=True, slots=True)
class Workshop:
    """What every task is done with."""

    settings: Settings
    services: Services
    database: Database
    blobs: BlobStore
    progress: JobProgress
    results: ResultStore
    voices: VoiceStore

    @classmethod
    def of(cls, settings: Settings, services: Services, database: Database, blobs: BlobStore) -> Workshop:
        progress = JobProgress(database)
        results = ResultStore(blobs, progress, TranscriptIndex(database), settings.audio)
        return cls(settings, services, database, blobs, progress, results, VoiceStore(settings.data_path))

    def folder(self, order: TaskOrder) -> Path:
        """Where the task's working copy lies; anything in it can be made again."""
        return self.settings.data_path / "jobs" / f"{order.job_id}.{order.number}.{order.round}"


class TaskRun:
    """The run of one task in this process."""

    def __init__(
        self, workshop: Workshop, order: TaskOrder, report: ProgressReport, durably: Durably
    ) -> None:
        self._shop = workshop
        self._order = order
        self._report = report
        self._durably = durably
        self._recipe = _recipe(order.pipeline)
        self._stages = StageStore(
            workshop.blobs,
            order.folder,
            {**self._recipe.stage_types, "decode": Decoded, SCORE: SoundScore, KEEP: Record},
        )
        self._delivery = Delivery.of(workshop.settings, workshop.database, workshop.voices, order)
        self._copies = WorkingCopies(
            workshop.folder(order),
            workshop.blobs,
            _fetch_for(workshop, order),
            workshop.settings.audio,
            self._recipe.hears,
        )
        self._cancelled = asyncio.Event()

    def cancel(self) -> None:
        """Stop the work: the stage that runs now ends at once, and none is begun."""
        self._cancelled.set()

    async def run(self) -> Ending:
        """Do the task; failure is an ending too.

        Raises when this process is being stopped, and when the workflow engine lost its database for good:
        neither says anything about the task, which is done again.
        """
        try:
            async with asyncio.timeout(self._shop.settings.jobs.timeout_s):
                if (ending := await self._done_before()) is not None:
                    return ending
                results = await self._work()
                await self._deliver(results)
            await self._keep(results, is_partial=False)
            return self._ending("succeeded")
        except Cancelled:
            await self._keep_partial()
            return self._ending("cancelled")
        except TimeoutError:
            error: Exception = ServiceTimeout("The job took longer than one may take.")
        except Exception as caught:
            if isinstance(caught, SQLAlchemyError) and is_away(caught):
                raise
            error = caught
            if not isinstance(caught, ClearCastError):
                logger.exception("task failed", extra={"job_id": self._order.job_id})
        await self._keep_partial()
        return self._ending("failed", as_problem(error))

    async def clean_up(self, ending: Ending) -> None:
        """Remove what is not needed any more, once the ending is on record; what failed keeps stages."""
        await asyncio.to_thread(shutil.rmtree, self._shop.folder(self._order), ignore_errors=True)
        if ending.state == "succeeded":
            await patiently(self._stages.clear)
        is_gone = partial(self._shop.progress.is_gone, self._order.key)
        if await patiently(lambda: asyncio.to_thread(is_gone)):
            await patiently(lambda: asyncio.to_thread(self._erase))

    def _erase(self) -> None:
        """Of a task that its owner erased while it ran nothing is kept."""
        for key in list(self._shop.blobs.keys(self._order.folder + "/")):
            self._shop.blobs.delete(key)

    async def _work(self) -> Mapping[str, RecipeResult]:
        options = self._recipe.Options.model_validate(self._order.options)
        on_decode = self._on_progress("decode")
        decoded = await self._stage("decode", self._copies.make, on_decode)
        if not await asyncio.to_thread(self._copies.are_there):
            await self._persistently(lambda: self._copies.make(on_decode))
        source = Source(
            clip=self._copies.clip,
            sound=self._copies.sound,
            duration_s=decoded.duration_s,
            choose_voices=self._choose_voices,
            reference=self._reference,
            listen=lambda sound: self._persistently(lambda: self._copies.listen(sound)),
            place=self._place,
        )
        return await run_scored(
            self._recipe, self._shop.services, source, options, self._report.listen, self._stage
        )

    async def _done_before(self) -> Ending | None:
        """How the task ends when an earlier job left all its results at the destination."""
        if (delivery := self._delivery) is None:
            return None
        record = await self._persistently(lambda: asyncio.to_thread(delivery.found))
        if record is None:
            return None
        told = "Its results were at the destination already; nothing was done."
        return Ending("succeeded", None, (told,), record.duration_s, tuple(record.outputs))

    async def _deliver(self, results: Mapping[str, RecipeResult]) -> None:
        """Bring the results to the job's destination, where it has one."""
        if (delivery := self._delivery) is None:
            return
        duration_s = cast(Decoded, self._stages.finished["decode"]).duration_s
        write = partial(delivery.deliver, results, duration_s, self._copies.folder, self._place)
        await self._stage(KEEP, lambda _report: asyncio.to_thread(write), ignore_progress)

    async def _stage(self, name: str, work: Work[T], progress: Progress) -> T:
        """The stage hook that the recipe is run with."""
        failures: list[Exception] = []

        async def step() -> None:
            try:
                await do()
            except Exception as error:
                # DBOS keeps the error of a step, and ours may name a person.
                failures.append(error)
                raise StageFailed from None

        async def do() -> None:
            if await patiently(lambda: self._stages.find(name)):
                return
            started_s = time.monotonic()
            value = await self._persistently(lambda: work(progress))
            for sound in sounds_in(value):
                await patiently(
                    partial(self._shop.results.keep_sound, self._order, sound, self._place(sound.name))
                )
            await patiently(lambda: self._stages.put(name, value))
            note = partial(
                self._shop.progress.stage_done, self._order.key, name, time.monotonic() - started_s
            )
            await patiently(lambda: asyncio.to_thread(note))

        try:
            await self._durably(name, step)
        except StageFailed:
            if failures:
                raise failures[0] from None
            await do()  # it failed just before a crash, and nobody knows why: once more
        await patiently(lambda: self._stages.find(name))
        value = self._stages.finished[name]
        for sound in sounds_in(value):
            await patiently(
                partial(self._shop.results.fetch_sound, self._order, sound, self._place(sound.name))
            )
        if "/" not in name and name not in ("decode", SCORE, KEEP):
            await self._keep_partial()
        return cast(T, value)

    def _place(self, name: str) -> Path:
        return self._copies.folder / f"{name}.rf64"

    async def _persistently(self, work: Callable[[], Awaitable[T]]) -> T:
        """Try until it works, a number of times; a full queue does not count, one waits for it."""
        failures, wait_s = 0, FIRST_WAIT_S
        while True:
            try:
                return await self._unless_cancelled(work())
            except ClearCastError as error:
                if not error.retryable:
                    raise
                failures += not isinstance(error, Overloaded)
                if failures >= self._shop.settings.jobs.max_attempts:
                    raise
            await self._unless_cancelled(asyncio.sleep(wait_s))
            wait_s = min(2 * wait_s, LONGEST_WAIT_S)

    async def _unless_cancelled(self, work: Awaitable[T]) -> T:
        """Wait for `work`; when the task is cancelled first, stop it. Raises Cancelled, or its error."""
        task = asyncio.ensure_future(work)
        gone = asyncio.ensure_future(self._cancelled.wait())
        try:
            await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
            if self._cancelled.is_set():
                raise Cancelled("The job was cancelled.")
            return task.result()
        finally:
            gone.cancel()
            if not task.done():
                task.cancel()
                await asyncio.wait({task})

    async def _choose_voices(self, names: Sequence[str]) -> Sequence[Voice]:
        book = await asyncio.to_thread(self._shop.voices.book, self._order.owner_id)
        return book.chosen(names)

    async def _reference(self, file_id: str) -> Clip:
        files = FileRecords(self._shop.database)
        try:
            record = await asyncio.to_thread(files.find, self._order.owner_id, file_id)
        except NotFound:
            return await self._copies.reference(None)
        return await self._copies.reference(record.blob_key)

    def _on_progress(self, stage: str) -> Progress:
        return lambda fraction: self._report.listen(stage, fraction)

    async def _keep_partial(self) -> None:
        """Show what there is so far; trouble with that must not hide how the task ended."""
        try:
            await self._keep(self._recipe.partial(self._stages.finished), is_partial=True)
        except Exception:
            logger.exception("partial results lost", extra={"job_id": self._order.job_id})

    async def _keep(self, results: Mapping[str, RecipeResult], *, is_partial: bool) -> None:
        score: SoundScore | None = self._stages.finished.get(SCORE)
        for name, result in results.items():
            if not isinstance(result, KeptSound):  # sounds are kept when their stage ends
                keep = partial(self._shop.results.keep, self._order, name, result, score, is_partial)
                await patiently(keep)

    def _ending(self, state: State, error: Mapping[str, Any] | None = None) -> Ending:
        decoded = self._stages.finished.get("decode")
        if decoded is None:
            return Ending(state, error)
        kept: Record | None = self._stages.finished.get(KEEP)
        outputs = () if kept is None else tuple(kept.outputs)
        return Ending(state, error, decoded.warnings, decoded.duration_s, outputs)


def _fetch_for(shop: Workshop, order: TaskOrder) -> Callable[[Path], Awaitable[None]] | None:
    """What brings the recording of a task; None when it is gone."""
    if (address := order.address) is not None:
        bucket = BucketRecordings(shop.settings, order.owner_id)
        return lambda target: asyncio.to_thread(bucket.fetch, address, target)
    if (blob_key := order.blob_key) is not None:
        return lambda target: fetch_blob(shop.blobs, blob_key, target)
    return None


def _recipe(name: str) -> Recipe:
    recipe = all_recipes().get(name)
    if recipe is None:
        raise NotFound(f"There is no pipeline {name!r} any more.")
    return recipe


def as_problem(error: Exception) -> Mapping[str, Any]:
    """The error as the fields of a problem document; nothing of an unforeseen one but its code."""
    known = (
        error if isinstance(error, ClearCastError) else ClearCastError("An unforeseen error; see the log.")
    )
    problem = {"code": known.code, "title": known.title, "detail": known.message}
    return problem | ({"hint": known.hint} if known.hint else {})
