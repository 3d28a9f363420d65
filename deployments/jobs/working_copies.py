"""The recording of a task in the forms that its recipe hears. Worth nothing after a crash: what is gone is
made again."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection
from functools import partial
from pathlib import Path

from clearcast.audio.recording import Clip
from clearcast.audio.sandbox import Prepared, prepare
from clearcast.audio.sound import PreparedSound, prepare_sound
from clearcast.audio.sound_check import warnings_on
from clearcast.engines.engine import Progress, share
from clearcast.errors import NotFound
from clearcast.settings import AudioSettings
from clearcast.storage.blobs import BlobStore
from deployments.jobs.patience import patiently
from pipelines.recipe import Hears
from pipelines.stages import Decoded


class WorkingCopies:
    """The copies in `folder`. `fetch` puts the recording where it is told; None when it is gone."""

    def __init__(
        self,
        folder: Path,
        blobs: BlobStore,
        fetch: Callable[[Path], Awaitable[None]] | None,
        limits: AudioSettings,
        hears: Collection[Hears],
    ) -> None:
        self.folder = folder
        self._blobs = blobs
        self._fetch = fetch
        self._limits = limits
        self._hears = hears

    @property
    def clip(self) -> Clip:
        """Mono 16 kHz."""
        return Clip((self.folder / "audio.wav").resolve().as_uri())

    @property
    def sound(self) -> Path:
        """At the recording's own rate and channels."""
        return self.folder / "sound.rf64"

    def are_there(self) -> bool:
        wanted = {"speech": self.folder / "audio.wav", "sound": self.sound}
        return all(path.is_file() for form, path in wanted.items() if form in self._hears)

    async def make(self, progress: Progress) -> Decoded:
        """Decode every form. Raises NotFound, and the audio errors."""
        if self._fetch is None:
            raise NotFound("The file of this job is gone.", hint="Upload it again.")
        original = await self._target("original")
        await self._fetch(original)
        each = 1 / len(self._hears)
        found: list[Prepared | PreparedSound] = []
        if "speech" in self._hears:
            part = share(progress, 0.0, each)
            found.append(await prepare(original, self.folder / "audio.wav", self._limits, part))
        if "sound" in self._hears:
            part = share(progress, 1.0 - each, each)
            found.append(await prepare_sound(original, self.sound, self._limits, part))
        await asyncio.to_thread(original.unlink)
        return Decoded(found[0].duration_s, warnings_on(found[0]))

    async def reference(self, blob_key: str | None) -> Clip:
        """Another recording, mono 16 kHz, from its blob. Raises NotFound, and the audio errors."""
        if blob_key is None:
            raise NotFound("The reference file is gone.", hint="Upload it again.")
        original, copy = await self._target("reference"), self.folder / "reference.wav"
        await fetch_blob(self._blobs, blob_key, original)
        await prepare(original, copy, self._limits)
        await asyncio.to_thread(original.unlink)
        return Clip(copy.resolve().as_uri())

    async def listen(self, sound: Path) -> Clip:
        """A sound that the job made, mono 16 kHz. Every sound has a name of its own, so once is enough."""
        copy = sound.with_suffix(".wav")
        if not await asyncio.to_thread(copy.is_file):
            await prepare(sound, copy, self._limits)
        return Clip(copy.resolve().as_uri())

    async def _target(self, name: str) -> Path:
        await asyncio.to_thread(self.folder.mkdir, parents=True, exist_ok=True, mode=0o700)
        return self.folder / name


async def fetch_blob(blobs: BlobStore, blob_key: str, target: Path) -> None:
    """The blob as a file at `target`, however long its store is away. Raises NotFound."""
    await patiently(lambda: asyncio.to_thread(partial(blobs.fetch, blob_key, target)))
