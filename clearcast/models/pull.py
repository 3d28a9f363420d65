"""Fetching a model: download or copy, check, put in place in one step.

What lives here: the order of things and the folders. What does not: the network (`hub`).

An interrupted download (Ctrl-C, kill, power) goes on where it stopped: finished files and the half of the
current one stay in `<models_dir>/.partial/<name>/` until the model is complete.
"""

from __future__ import annotations

import errno
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import filelock

from clearcast.errors import ModelCorrupt, ModelDownloadFailed, ModelMissing
from clearcast.models.archive import fetch_archive, unpack
from clearcast.models.hub import Hub, Listing, RemoteFile
from clearcast.models.manifest import FileRecord, Manifest, git_blob_sha1_of, sha256_of
from clearcast.models.spec import ModelSpec
from clearcast.models.store import model_folder, partial_folder
from clearcast.settings import Settings

_SPARE_BYTES = 64 << 20  # left free on the disk when a download ends
_DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_NOT_WRITABLE = (errno.EACCES, errno.EPERM, errno.EROFS)

PullProgress = Callable[[int, int], None]
"""Told the bytes of the model that are here and its bytes in all."""


def ignore_pull(_done_bytes: int, _total_bytes: int) -> None:
    """The listener of those who do not listen."""


def hub_url() -> str:
    """Address of the hub that models come from (the hub library's variable HF_ENDPOINT changes it)."""
    return Hub().address


def pull(
    spec: ModelSpec,
    settings: Settings,
    progress: PullProgress = ignore_pull,
    *,
    endpoint: str | None = None,
) -> Path:
    """Download a model, going on where an earlier call was interrupted; returns its folder.

    Files of a damaged copy that are still good are kept. Raises ModelDownloadFailed (no network, disk full,
    connection lost), ModelGated, ModelCorrupt (what arrived has another checksum than published; it is
    removed). After any error nothing half-done is found by `locate`.
    """
    if spec.archive_url is not None:
        return _pull_archive(spec, spec.archive_url, settings, progress)
    models_dir, token = settings.models_path, settings.models.hub_token
    hub = Hub(token.get_secret_value() if token else None, endpoint)
    with _working_in(spec, models_dir) as work:
        listing = hub.listing(spec)
        download = _Download(spec, models_dir, hub, listing, work, progress)
        download.make_room()
        records = {file.path: download.bring(file) for file in listing.files}
        manifest = Manifest(spec.name, spec.repo, listing.commit, spec.licence, records)
        return _put_in_place(manifest, download.ready, model_folder(spec, models_dir))


def _pull_archive(spec: ModelSpec, url: str, settings: Settings, progress: PullProgress) -> Path:
    models_dir = settings.models_path
    with _working_in(spec, models_dir) as work:
        archive, ready = work / "archive.part", work / "files"
        fetch_archive(spec, url, archive, _Counter(spec.size_bytes, progress).add)
        try:
            unpack(spec, archive, ready)
        except ModelCorrupt:
            archive.unlink()  # or it would be gone on with for ever
            raise
        archive.unlink()
        records = {
            path: FileRecord((ready / path).stat().st_size, sha256_of(ready / path)) for path in spec.files
        }
        manifest = Manifest(spec.name, spec.repo, "archive", spec.licence, records)
        return _put_in_place(manifest, ready, model_folder(spec, models_dir))


def adopt(spec: ModelSpec, source: Path, settings: Settings, progress: PullProgress = ignore_pull) -> Path:
    """Copy a model's files from a folder, for machines without a network; returns the model's folder.

    Raises ModelMissing naming the first file that the folder lacks, ModelDownloadFailed (disk full).
    """
    for path in spec.files:
        if not (source / path).is_file():
            raise ModelMissing(
                f"The folder {source} does not hold {path}, which {spec.name!r} needs.",
                hint=f"Needed: {', '.join(spec.files)}.",
                model=spec.name,
            )
    models_dir = settings.models_path
    with _working_in(spec, models_dir) as work:
        ready = work / "files"
        counter = _Counter(sum((source / path).stat().st_size for path in spec.files), progress)
        records = {}
        for path in spec.files:
            target = ready / path
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source / path, target)
            records[path] = FileRecord(target.stat().st_size, sha256_of(target, counter.add))
        manifest = Manifest(spec.name, spec.repo, "local", spec.licence, records)
        return _put_in_place(manifest, ready, model_folder(spec, models_dir))


class _Counter:
    """Adds up the bytes of all files of a model for the listener."""

    def __init__(self, total_bytes: int, progress: PullProgress) -> None:
        self.done_bytes = 0
        self.total_bytes = total_bytes
        self._progress = progress

    def add(self, count: int) -> None:
        self.done_bytes += count
        self._progress(self.done_bytes, self.total_bytes)


class _Download:
    """One model on its way: `parts` holds halves named by content, `ready` the checked files."""

    def __init__(
        self,
        spec: ModelSpec,
        models_dir: Path,
        hub: Hub,
        listing: Listing,
        work: Path,
        progress: PullProgress,
    ) -> None:
        self.spec = spec
        self.hub = hub
        self.listing = listing
        self.models_dir = models_dir
        self.work = work
        self.parts = work / "parts"
        self.ready = work / "files"
        self.counter = _Counter(listing.size_bytes, progress)

    def make_room(self) -> None:
        """Raises ModelDownloadFailed when the disk cannot take what is still to come."""
        here_bytes = sum(path.stat().st_size for path in self.work.rglob("*") if path.is_file())
        needed_bytes = self.listing.size_bytes - here_bytes + _SPARE_BYTES
        if shutil.disk_usage(self.work).free < needed_bytes:
            raise _disk_full(self.spec, self.models_dir, needed_bytes)

    def bring(self, file: RemoteFile) -> FileRecord:
        """Make the file lie in `ready`, checked."""
        target = self.ready / file.path
        target.parent.mkdir(parents=True, exist_ok=True)
        installed = model_folder(self.spec, self.models_dir) / file.path
        if _is_whole(file, target):
            self.counter.add(file.size_bytes)
        elif _is_whole(file, installed):
            shutil.copyfile(installed, target)
            self.counter.add(file.size_bytes)
        else:
            self._fetch(file, target)
        return FileRecord(file.size_bytes, file.checksum if file.is_sha256 else sha256_of(target))

    def _fetch(self, file: RemoteFile, target: Path) -> None:
        # Named by content, so that half a file of an older commit is never continued with a newer one.
        part = self.parts / file.checksum
        self.parts.mkdir(parents=True, exist_ok=True)
        if part.exists():
            if part.stat().st_size > file.size_bytes:
                part.unlink()
            else:
                self.counter.add(part.stat().st_size)
        self.hub.fetch(self.spec, self.listing.commit, file, part, self.counter.add)
        if not _is_whole(file, part):
            part.unlink()
            raise ModelCorrupt(
                f"{file.path} of {self.spec.name!r} arrived with another checksum than published;"
                " it was removed.",
                hint=f"Try again: clearcast models pull {self.spec.name}. If it happens again, something"
                " between here and the hub changes the bytes.",
                model=self.spec.name,
            )
        part.replace(target)


def _is_whole(file: RemoteFile, path: Path) -> bool:
    if not path.is_file() or path.stat().st_size != file.size_bytes:
        return False
    found = sha256_of(path) if file.is_sha256 else git_blob_sha1_of(path)
    return found == file.checksum


@contextmanager
def _working_in(spec: ModelSpec, models_dir: Path) -> Iterator[Path]:
    """The folder of a download in work, locked against a second one. Disk errors get our words."""
    work = partial_folder(spec, models_dir)
    try:
        work.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(work.with_name(f"{spec.name}.lock"), timeout=0):
            try:
                yield work
            finally:
                if not any(path.is_file() for path in work.rglob("*")):
                    shutil.rmtree(work, ignore_errors=True)  # nothing arrived, or all is in place
    except filelock.Timeout as error:
        raise ModelDownloadFailed(
            f"Another process is fetching {spec.name!r} right now.", hint="Wait for it.", model=spec.name
        ) from error
    except OSError as error:
        if error.errno in _DISK_FULL:
            raise _disk_full(spec, models_dir) from error
        if error.errno in _NOT_WRITABLE:
            raise ModelDownloadFailed(
                f"The models folder {models_dir} cannot be written to.",
                hint="Choose another: CLEARCAST__MODELS__DIR=…",
                model=spec.name,
            ) from error
        raise


def _disk_full(spec: ModelSpec, models_dir: Path, needed_bytes: int | None = None) -> ModelDownloadFailed:
    free_mb = free_bytes(models_dir) / 1e6
    needed = "" if needed_bytes is None else f" {needed_bytes / 1e6:.0f} MB are needed,"
    return ModelDownloadFailed(
        f"The disk is too full for {spec.name!r}:{needed} {free_mb:.0f} MB are free in {models_dir}.",
        hint="Make room, or choose another folder: CLEARCAST__MODELS__DIR=… What has arrived is kept.",
        model=spec.name,
    )


def free_bytes(folder: Path) -> int:
    """Room on the disk that `folder` lies on or would lie on."""
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free


def _put_in_place(manifest: Manifest, ready: Path, folder: Path) -> Path:
    """One rename makes the model appear; an older copy is moved aside first."""
    wanted = {ready / path for path in manifest.files}
    for path in [path for path in ready.rglob("*") if path.is_file() and path not in wanted]:
        path.unlink()  # left by an older commit
    manifest.write(ready)
    old = ready.with_name("old")
    shutil.rmtree(old, ignore_errors=True)
    if folder.exists():
        folder.rename(old)
    ready.replace(folder)
    shutil.rmtree(ready.parent)
    return folder
