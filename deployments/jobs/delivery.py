"""Results of a task at the destination that its owner named, as `clearcast batch` leaves them there.

What lives here: whether they are there already, and writing them. What does not: what they are named and
how they are written (`pipelines/batch`), and the results that the server keeps (`result_store.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Self

from clearcast.audio.encode import FORMATS as SOUND_FORMATS
from clearcast.settings import Settings
from clearcast.storage.database import Database
from clearcast.storage.files import FileRecord, FileRecords
from clearcast.storage.job_progress import TaskOrder
from clearcast.storage.voice_store import VoiceStore
from pipelines.batch.allowed_prefixes import allowed_destinations
from pipelines.batch.bucket_recordings import BucketRecordings
from pipelines.batch.outputs import Made, keep_results
from pipelines.batch.plan import BatchOrder, Item, finished
from pipelines.batch.record import Record
from pipelines.recipe import RecipeResult


class Delivery:
    """Of one task, which is one file of a batch. Everything here blocks.

    Raises Forbidden, NotFound, OptionInvalid, StorageFull, ServiceUnavailable.
    """

    def __init__(self, settings: Settings, database: Database, voices: VoiceStore, task: TaskOrder) -> None:
        self._settings = settings
        self._files = FileRecords(database)
        self._voices = voices
        self._task = task

    @classmethod
    def of(cls, settings: Settings, database: Database, voices: VoiceStore, task: TaskOrder) -> Self | None:
        """None where the results stay with the server."""
        return None if task.destination is None else cls(settings, database, voices, task)

    def found(self) -> Record | None:
        """The record of an earlier job, when all the results are there, were made of the same bytes, and in
        the same way."""
        order = self._order()
        record = finished(order, self._item())
        return None if record is None or record.run_id == order.run_id else record

    def deliver(
        self,
        results: Mapping[str, RecipeResult],
        duration_s: float,
        folder: Path,
        sound_path: Callable[[str], Path],
    ) -> Record:
        """Write the results, each whole, and then their record. Done again, it writes the same.

        `duration_s`: of the recording. Files are made in `folder`; `sound_path` tells where a sound lies.
        """
        order = self._order()
        made = Made(results, duration_s)
        return keep_results(order, self._item(), made, folder, sound_path, order.place.put)

    def _order(self) -> BatchOrder:
        task, destination = self._task, self._task.destination
        assert destination is not None
        # Again: what was allowed when the job came may not be any more.
        allowed_destinations(self._settings, task.owner_id).check(destination.address)
        return BatchOrder(
            pipeline=task.pipeline,
            options=task.options,
            formats=destination.formats,
            sound_format=destination.sound_format,
            bits=SOUND_FORMATS[destination.sound_format].result_bits,
            destination=destination.address,
            settings=self._settings,
            voices=tuple(self._voices.book(task.owner_id)),
            run_id=task.job_id,
            digest_of=lambda file_id: self._file(file_id).sha256 or "",
        )

    def _item(self) -> Item:
        task = self._task
        if task.address is not None:
            facts = BucketRecordings(self._settings, task.owner_id).look(task.address)
            return Item(task.address, task.output_name, facts.size_bytes, facts.version)
        file = self._file(task.file_id)
        return Item(task.file_id, task.output_name, file.size_bytes, file.sha256 or "")

    def _file(self, file_id: str) -> FileRecord:
        return self._files.find(self._task.owner_id, file_id)
