"""The work on one file of a batch, from its source to its results and its record.

What lives here: what a worker does with one file, and what is left of failing. What does not: who the
workers are (`deployments/batch.py`).
"""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import logging
import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from clearcast.engines.measure.contract import SoundScore
from clearcast.errors import (
    ClearCastError,
    ModelError,
    ServiceError,
    SettingsInvalid,
    StorageFull,
)
from clearcast.services import Services
from clearcast.storage.places import open_place, split_address
from pipelines.alone import Bench
from pipelines.batch.outputs import KEEP, Made, keep_results, put_record
from pipelines.batch.plan import BatchOrder, Item
from pipelines.batch.record import Record, record_name
from pipelines.batch.stages import SharedStages, StageElsewhere, WorkGone
from pipelines.scored import SCORE
from pipelines.stages import Decoded

logger = logging.getLogger(__name__)

# These say nothing about the file: every other file would fail in the same way.
_HOPELESS = (ModelError, SettingsInvalid, StorageFull)
MOST_STARTS = 3  # of a file in one run; then it is taken to be what kills the workers


class BatchStopped(Exception):
    """Going on makes no sense. `error`: why."""

    def __init__(self, error: ClearCastError) -> None:
        super().__init__(error)
        self.error = error


class FileWork:
    """Files of one batch, one at a time, in this process."""

    def __init__(
        self,
        order: BatchOrder,
        services: Services,
        is_ours: Callable[[str], bool] = lambda _group: True,
    ) -> None:
        """`is_ours`: which groups of stages this worker has the models for."""
        self._order = order
        self._services = services
        self._is_ours = is_ours
        self._types = {
            **order.recipe.stage_types,
            "decode": Decoded,
            SCORE: SoundScore,
            KEEP: Record,
        }

    async def do(self, item: Item) -> Record | None:
        """Work on the file, alone or beside others who do the same: nothing is done twice. Gives its record
        once it is finished, None when the next stage is for somebody else.

        Failing is a record too. Raises BatchStopped for what no other file would escape: a missing model, a
        full disk, a destination that takes nothing.
        """
        folder = self._folder(item)
        (folder / "stages").mkdir(parents=True, exist_ok=True, mode=0o700)
        # Somebody who worked on it at the same time may have finished it and removed the folder before.
        if (record := self._ended(item)) is not None:
            await asyncio.to_thread(_remove, folder)
            return record
        try:
            record = await self._tried(item, folder)
        except StageElsewhere:
            return None
        except WorkGone:
            return self._ended(item) or await self.do(item)
        await asyncio.to_thread(_remove, folder)
        return record

    def _ended(self, item: Item) -> Record | None:
        """The record of a file that this run has brought to its end."""
        record = Record.parse(self._order.place.read(record_name(self._order.pipeline, item.name)))
        if record is None or (record.run_id, record.source) != (self._order.run_id, item.source):
            return None
        return record

    async def _tried(self, item: Item, folder: Path) -> Record:
        stages = SharedStages(folder, self._types, self._is_ours)
        try:
            with self._visit(folder):
                return await self._worked_on(item, folder, stages)
        except _HOPELESS as error:
            raise BatchStopped(error) from error
        except (StageElsewhere, WorkGone, BatchStopped):
            raise
        except ClearCastError as error:
            _assert_there(folder)
            failed = self._failed(item, error.code, error.message, stages, retryable=error.retryable)
        except Exception as error:
            _assert_there(folder)
            logger.exception("file of a batch failed")
            message = f"Something unexpected went wrong: {type(error).__name__}."
            failed = self._failed(item, ClearCastError.code, message, stages, retryable=True)
        await asyncio.to_thread(put_record, self._order, item, failed, folder, self._put)
        return failed

    @contextmanager
    def _visit(self, folder: Path) -> Iterator[None]:
        """Be counted as one who works on the file. Each leaves a mark with a lock on it, which goes at the
        end; a mark without a lock is that of a worker that died here. A file that ends every worker that
        touches it must not end the batch. Raises ServiceError.
        """
        mark = folder / f"visit-{self._order.run_id}-{secrets.token_hex(4)}"
        try:
            descriptor = os.open(mark, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except FileNotFoundError as error:
            raise WorkGone from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            others = (path for path in folder.glob(f"visit-{self._order.run_id}-*") if path != mark)
            if sum(map(_is_unlocked, others)) >= MOST_STARTS:
                raise ServiceError("The worker died each time it worked on this file.")
            yield
            mark.unlink(missing_ok=True)
        except Exception:
            mark.unlink(missing_ok=True)
            raise
        finally:
            os.close(descriptor)

    async def _worked_on(self, item: Item, folder: Path, stages: SharedStages) -> Record:
        options = self._order.options_of(item)
        source = await asyncio.to_thread(self._fetched, item, folder)
        sha256 = await asyncio.to_thread(_sha256_of, source)
        bench = Bench(self._services, self._order.settings.audio, folder, self._order.voices)
        outcome = await bench.run(self._order.recipe, source, options, stage=stages)

        async def keep(_report: object) -> Record:
            made = Made(outcome.results, outcome.duration_s, sha256, stages.seconds)
            return await asyncio.to_thread(
                keep_results, self._order, item, made, folder, bench.sound_path, self._put
            )

        return await stages(KEEP, keep, lambda _fraction: None)

    def _fetched(self, item: Item, folder: Path) -> Path:
        """The file on this machine. Raises NotFound."""
        address, name = split_address(item.source)
        copy = folder / "original"
        if copy.exists():
            return copy
        return open_place(address, self._order.settings.storage).fetch(name, copy)

    def _put(self, name: str, file: Path) -> None:
        try:
            self._order.place.put(name, file)
        except ClearCastError as error:
            raise BatchStopped(error) from error

    def _failed(
        self, item: Item, code: str, message: str, stages: SharedStages, *, retryable: bool
    ) -> Record:
        try:
            order_key = self._order.key_of(item)
        except ClearCastError:
            order_key = ""
        return Record(
            source=item.source,
            size_bytes=item.size_bytes,
            version=item.version,
            sha256=None,
            order_key=order_key,
            run_id=self._order.run_id,
            outcome="failed",
            error_code=code,
            message=message,
            retryable=retryable,
            stages_s=stages.seconds,
        )

    def _folder(self, item: Item) -> Path:
        """The work folder of these bytes and this order: a later run of the same finds it again."""
        try:
            order_key = self._order.key_of(item)
        except ClearCastError:
            order_key = ""
        facts = (self._order.destination, item.source, item.size_bytes, item.version, item.name, order_key)
        return self._order.work_path / hashlib.sha256(repr(facts).encode()).hexdigest()[:32]


def _sha256_of(path: Path) -> str:
    with path.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def _is_unlocked(mark: Path) -> bool:
    try:
        descriptor = os.open(mark, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:  # its visitor has just left
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(descriptor)
    return True


def _assert_there(folder: Path) -> None:
    """Raises WorkGone: what fails in a folder that somebody else removed says nothing about the file."""
    if not folder.is_dir():
        raise WorkGone


def _remove(folder: Path) -> None:
    """In one step for those who still look into it."""
    gone = folder.with_name(f"{folder.name}.{secrets.token_hex(4)}.gone")
    with suppress(FileNotFoundError):
        folder.rename(gone)
    shutil.rmtree(gone, ignore_errors=True)
