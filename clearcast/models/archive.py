"""Models that their owner publishes as one archive at an address of its own, not on the hub.

What lives here: fetching such an archive, going on where it stopped, and taking a model's files out of it.
What does not: folders and manifests (`pull`).
"""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path, PurePosixPath

import httpx2
from huggingface_hub import get_session

from clearcast.errors import ModelCorrupt, ModelDownloadFailed
from clearcast.models.manifest import BytesRead
from clearcast.models.spec import ModelSpec

_CONNECT_TIMEOUT_S = 4.0  # a machine without a network must learn so within seconds
_READ_TIMEOUT_S = 20.0
_BLOCK_BYTES = 1 << 18
_MOST_BYTES = 1 << 33  # of one unpacked file: an archive that unfolds further is no model of ours


def fetch_archive(spec: ModelSpec, url: str, part: Path, on_bytes: BytesRead) -> None:
    """Bring the archive to `part`, going on after what it already holds. Raises ModelDownloadFailed."""
    have_bytes = part.stat().st_size if part.exists() else 0
    headers = {"Accept-Encoding": "identity"}
    if have_bytes:
        headers["Range"] = f"bytes={have_bytes}-"
        on_bytes(have_bytes)
    timeout = httpx2.Timeout(_READ_TIMEOUT_S, connect=_CONNECT_TIMEOUT_S)
    try:
        with get_session().stream(
            "GET", url, headers=headers, timeout=timeout, follow_redirects=True
        ) as response:
            if have_bytes and response.status_code == 416:
                return  # nothing lies beyond: it is whole
            response.raise_for_status()
            if have_bytes and response.status_code != 206:
                on_bytes(-have_bytes)
                have_bytes = 0
            with part.open("r+b" if have_bytes else "wb") as out:
                out.seek(have_bytes)
                for block in response.iter_bytes(_BLOCK_BYTES):
                    out.write(block)
                    on_bytes(len(block))
    except httpx2.HTTPError as error:
        raise ModelDownloadFailed(
            f"{url} cannot be fetched ({error or type(error).__name__}).",
            hint=f"What has arrived is kept. Without a network: unpack the archive of {spec.repo}"
            f" on another machine, copy the folder here and run"
            f" `clearcast models pull {spec.name} --from FOLDER`.",
            model=spec.name,
        ) from error


def unpack(spec: ModelSpec, archive: Path, target: Path) -> None:
    """Write the model's files below `target`, wherever in the archive they lie. Raises ModelCorrupt."""
    try:
        with zipfile.ZipFile(archive) as content:
            for path in spec.files:
                member = _member(spec, content, path)
                out = target / path
                out.parent.mkdir(parents=True, exist_ok=True)
                with content.open(member) as source, out.open("wb") as file:
                    shutil.copyfileobj(source, file, _BLOCK_BYTES)
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError) as error:
        raise ModelCorrupt(
            f"The archive of {spec.name!r} is damaged ({error}); it was removed.",
            hint=f"Try again: clearcast models pull {spec.name}",
            model=spec.name,
        ) from error


def _member(spec: ModelSpec, content: zipfile.ZipFile, path: str) -> zipfile.ZipInfo:
    wanted = PurePosixPath(path).parts
    found = [
        member
        for member in content.infolist()
        if PurePosixPath(member.filename).parts[-len(wanted) :] == wanted and not member.is_dir()
    ]
    if len(found) != 1 or found[0].file_size > _MOST_BYTES:
        raise ModelCorrupt(
            f"The archive of {spec.name!r} does not hold {path} once, as it did before.",
            model=spec.name,
        )
    return found[0]
