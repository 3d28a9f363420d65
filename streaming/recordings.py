"""The keeper of recordings: started for a show, watched, stored in the background, taken up after a kill.

What lives here: when each of that happens. What does not: the folder (`recording_folder`) and the steps of
storing (`recording_store`).

The folders are the queue: whatever lies below `recordings_path`, is not being written, and will not go on,
is stored, one at a time, oldest first. So a kill forgets nothing, and nothing need be remembered.
"""

from __future__ import annotations

import asyncio
import errno
import functools
import logging
import shutil
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from clearcast.errors import (
    ClearCastError,
    Conflict,
    FileFormatInvalid,
    NotFound,
    QuotaExceeded,
    StorageFull,
)
from clearcast.settings import Settings
from clearcast.storage.blobs import BlobStore
from clearcast.storage.database import Database
from clearcast.storage.intake import Intake
from clearcast.storage.room_recordings import RoomRecordings, new_recording_id
from streaming.events import EventLog
from streaming.ogg_writer import PartLimits
from streaming.recording_folder import RecordingFacts, RecordingFolder, look
from streaming.recording_keeper import RecordedShow
from streaming.recording_store import OrderMeeting, RecordingStore
from streaming.room import Room

logger = logging.getLogger(__name__)

WATCH_S = 1.0  # between looks at a recording that runs
QUOTA_LOOKS = 10  # of them, until the quota is looked at, too
LOOK_S = 10.0  # between looks for folders whose time has come
RETRY_S = 60.0  # after a folder could not be stored
MIN_FREE_BYTES = 50_000_000  # below, no recording begins: databases and uploads need some, too
PACKETS_LOST = "packets_lost"
_DISK_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


class Recordings:
    """A `RecordingKeeper`. All of it on one event loop; what blocks, in threads."""

    def __init__(
        self, settings: Settings, database: Database, blobs: BlobStore, order_meeting: OrderMeeting
    ) -> None:
        self._settings = settings
        self._path = settings.recordings_path
        self._limits = PartLimits(settings.live.max_recording_part_bytes, settings.audio.max_duration_s)
        self._records = RoomRecordings(database)
        self._intake = Intake(database, blobs, settings)
        self._store = RecordingStore(self._records, self._intake, self._limits, order_meeting)
        self._ended: set[str] = set()  # by this process, whether or not the disk took it down
        self._not_before_s: dict[Path, float] = {}
        self._wake = asyncio.Event()
        self._worker: asyncio.Task[None] | None = None

    def open(self) -> None:
        """Take up what lies there, and store what comes, until `close`."""
        self._worker = asyncio.create_task(self._work())

    async def close(self) -> None:
        """What is being stored is broken off; the next `open` goes on with it."""
        if self._worker is not None:
            self._worker.cancel()
            with suppress(asyncio.CancelledError):
                await self._worker

    async def start(self, show: RecordedShow, room: Room) -> Running:
        """See `RecordingKeeper`."""
        await asyncio.to_thread(self._check_space, show.owner_id)
        folder = await asyncio.to_thread(self._broken_off, show)
        is_new = folder is None
        if folder is None:
            folder = await asyncio.to_thread(self._new_folder, show)
        try:
            check_quota = functools.partial(self._check_quota, show.owner_id)
            running = Running(show, room, folder, self._records, check_quota)
            await running.begin(self._done, is_new=is_new)
        except BaseException:
            await asyncio.to_thread(folder.remove if is_new else folder.release)
            raise
        return running

    def _check_space(self, owner_id: str) -> None:
        self._path.mkdir(parents=True, exist_ok=True, mode=0o700)
        if shutil.disk_usage(self._path).free < MIN_FREE_BYTES:
            raise StorageFull("The server has no room left.", hint="Ask its operator to free disk space.")
        self._check_quota(owner_id, 1)

    def _check_quota(self, owner_id: str, size_bytes: int) -> None:
        self._intake.records.check_quota(owner_id, self._settings.storage.quota_bytes, size_bytes)

    def _new_folder(self, show: RecordedShow) -> RecordingFolder:
        facts = RecordingFacts(
            id=new_recording_id(),
            room_id=show.room_id,
            owner_id=show.owner_id,
            room_name=show.room_name,
            is_transcribed=show.is_transcribed,
            started_at=datetime.now(UTC),
        )
        return RecordingFolder.create(self._path / facts.id, facts, self._limits)

    def _broken_off(self, show: RecordedShow) -> RecordingFolder | None:
        """The recording of this room that may go on, if there is one."""
        for path in _folders(self._path):
            with suppress(FileFormatInvalid, OSError, Conflict):
                facts, _ = look(path)
                if facts.room_id != show.room_id or self._is_due(path):
                    continue
                folder = RecordingFolder.take(path, self._limits)
                try:
                    self._records.move(facts.owner_id, facts.id, "running")
                    return folder
                except BaseException as error:
                    folder.release()
                    if not isinstance(error, NotFound):
                        raise
        return None

    def _is_due(self, path: Path) -> bool:
        """Whether nobody will write to this folder any more. Raises FileFormatInvalid, OSError."""
        facts, written_at = look(path)
        if facts.stopped_at is not None or facts.id in self._ended:
            return True
        return datetime.now(UTC) - written_at > timedelta(seconds=self._settings.live.recording_resume_s)

    def _done(self, recording_id: str) -> None:
        """A recording has ended, and its folder was let go of."""
        self._ended.add(recording_id)
        self._wake.set()

    async def _work(self) -> None:
        while True:
            self._wake.clear()
            try:
                paths = await asyncio.to_thread(_folders, self._path)
            except OSError:
                logger.exception("recordings that wait to be stored cannot be listed")
                paths = []
            for path in paths:
                if self._not_before_s.get(path, 0.0) <= time.monotonic():
                    await self._finish(path)
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_S):
                    await self._wake.wait()

    async def _finish(self, path: Path) -> None:
        """Store one folder, if its time has come; whatever fails is tried again later."""
        try:
            await asyncio.to_thread(self._store_folder, path)
            self._not_before_s.pop(path, None)
        except Exception as error:
            self._not_before_s[path] = time.monotonic() + RETRY_S
            expected = isinstance(error, ClearCastError | OSError)
            level = logging.WARNING if expected else logging.ERROR
            facts = {"recording_id": path.name, "retry_after_s": RETRY_S}
            logger.log(level, "a recording could not be stored yet", extra=facts, exc_info=error)

    def _store_folder(self, path: Path) -> None:
        if path.name.startswith("."):
            shutil.rmtree(path)  # half removed
            return
        if not self._is_due(path):
            return
        try:
            folder = RecordingFolder.take(path, self._limits)
        except Conflict:
            return  # it runs, or another process stores it
        try:
            self._store.store(folder)
        except BaseException:
            folder.release()
            raise
        self._ended.discard(path.name)


class Running:
    """A `RunningRecording`. One task looks after it from its beginning to its end."""

    def __init__(
        self,
        show: RecordedShow,
        room: Room,
        folder: RecordingFolder,
        records: RoomRecordings,
        check_quota: Callable[[int], None],
    ) -> None:
        """`check_quota` is asked whether so many bytes may be kept; it blocks, and raises QuotaExceeded."""
        self._show, self._room, self._folder = show, room, folder
        self._records, self._check_quota = records, check_quota
        self._stopping = asyncio.Event()
        self._log: EventLog | None = None
        self._task: asyncio.Task[None] | None = None

    @property
    def id(self) -> str:
        return self._folder.facts.id

    @property
    def started_at(self) -> datetime:
        return self._folder.facts.started_at

    async def begin(self, on_done: Callable[[str], None], *, is_new: bool) -> None:
        """Raises Conflict, NotFound, ServiceUnavailable, OSError; then nothing runs."""
        facts = self._folder.facts
        self._log = await asyncio.to_thread(EventLog, self._folder.events_path, facts.started_at)
        try:
            await self._room.start_recording(self._folder)
            try:
                if is_new:
                    await asyncio.to_thread(
                        self._records.start, facts.owner_id, facts.room_id, facts.id, facts.started_at
                    )
            except BaseException:
                await self._room.stop_recording()
                raise
        except BaseException:
            await self._log.close()
            raise
        self._task = asyncio.create_task(self._run(on_done))

    def note(self, event: str, participant: str | None = None, **facts: str | float | bool) -> None:
        if self._log is not None:
            self._log.note(event, participant, **facts)

    async def stop(self) -> None:
        self._stopping.set()
        if self._task is not None:
            await asyncio.shield(self._task)

    async def _run(self, on_done: Callable[[str], None]) -> None:
        failure = await self._until_over()
        with suppress(Conflict):  # the room was closed, and its recording with it
            await self._room.stop_recording()
        if self._log is not None:
            await self._log.close()
        facts = replace(
            self._folder.facts,
            voices=self._voices(),
            stopped_at=datetime.now(UTC),
            failure=failure or self._shortcoming(),
        )
        await asyncio.to_thread(self._write_end, facts)
        on_done(self.id)
        if failure is not None:
            self._show.on_failure(failure)

    async def _until_over(self) -> str | None:
        """Why it ends by itself; None when it was stopped."""
        looks = 0
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(WATCH_S):
                    await self._stopping.wait()
                return None
            looks += 1
            try:
                await asyncio.to_thread(self._look, self._voices(), looks)
                failure: Exception | None = self._folder.failure
            except (ClearCastError, OSError) as error:
                failure = error
            code = None if failure is None else _code_of(failure)
            if code is not None:
                logger.warning("a recording ends", extra={"recording_id": self.id}, exc_info=failure)
                return code

    def _look(self, voices: dict[str, str], looks: int) -> None:
        if voices != self._folder.facts.voices:
            self._folder.write(replace(self._folder.facts, voices=voices))
        if looks % QUOTA_LOOKS == 0:
            self._check_quota(self._folder.size_bytes)

    def _voices(self) -> dict[str, str]:
        known = self._folder.facts.voices
        return known | {voice: self._show.name_of(voice) for voice in self._folder.voices - known.keys()}

    def _shortcoming(self) -> str | None:
        """What a recording lacks that was stopped by somebody."""
        failure = self._folder.failure
        if failure is not None:
            return _code_of(failure)
        return PACKETS_LOST if self._folder.lost_packets else None

    def _write_end(self, facts: RecordingFacts) -> None:
        """On the disk and in the records; where one of them fails, the other says it."""
        try:
            self._folder.write(facts)
        except OSError:
            logger.exception("the end of a recording could not be noted", extra={"recording_id": self.id})
        try:
            self._records.move(
                facts.owner_id, facts.id, "storing", ended_at=facts.stopped_at, failure=facts.failure
            )
        except ClearCastError as error:
            logger.warning("the end of a recording is not in the records yet", exc_info=error)
        self._folder.release()


def _folders(path: Path) -> list[Path]:
    """Oldest first: their names begin with their time."""
    try:
        return sorted(entry for entry in path.iterdir() if entry.is_dir())
    except FileNotFoundError:
        return []


def _code_of(failure: Exception) -> str | None:
    """What a recording ends for; None for what will pass."""
    if isinstance(failure, OSError):
        return StorageFull.code if failure.errno in _DISK_FULL else ClearCastError.code
    if isinstance(failure, QuotaExceeded | NotFound):
        return failure.code
    return None if isinstance(failure, ClearCastError) else ClearCastError.code
