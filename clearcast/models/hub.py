"""The hub that models are published on: what it has, and the bytes of one file.

What lives here: everything that speaks to the network for models, on `huggingface_hub`, with its errors
put into our words. What does not: folders and manifests (`pull`, `store`).

Files come by plain HTTP with ranges and not by the library's own downloader, because that one (2.x)
throws half a file away when it is interrupted, and a 3 GB model on a bad line would never arrive.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import httpx2  # what huggingface_hub 2.x speaks HTTP with; its errors pass through
from huggingface_hub import constants, get_hf_file_metadata, get_session, hf_hub_url
from huggingface_hub.errors import (
    EntryNotFoundError,
    FileMetadataError,
    GatedRepoError,
    HfHubHTTPError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.utils import (  # type: ignore[attr-defined]  # documented, yet not in its __all__
    build_hf_headers,
    hf_raise_for_status,
)

from clearcast.errors import ModelDownloadFailed, ModelError, ModelGated
from clearcast.models.manifest import BytesRead
from clearcast.models.spec import ModelSpec

ANSWER_TIMEOUT_S = 4.0  # a machine without a network must learn so within 5 s, whatever the resolver does
_READ_TIMEOUT_S = 20.0
_ATTEMPTS = 4  # connections tried for one file without one new byte
_BLOCK_BYTES = 1 << 18
_SHA256 = re.compile(r"[0-9a-f]{64}")

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """Attributes:
    path: inside the repository.
    size_bytes: as published.
    checksum: hex; SHA-256 for files in large-file storage, else git's SHA-1 of a blob.
    """

    path: str
    size_bytes: int
    checksum: str

    @property
    def is_sha256(self) -> bool:
        return _SHA256.fullmatch(self.checksum) is not None


@dataclass(frozen=True, slots=True)
class Listing:
    """The files of a model at one commit."""

    commit: str
    files: tuple[RemoteFile, ...]

    @property
    def size_bytes(self) -> int:
        return sum(file.size_bytes for file in self.files)


@dataclass(frozen=True, slots=True)
class Hub:
    """Attributes:
    token: None uses the one that the hub's own command line saved, if any.
    endpoint: base address; None takes the library's (its variable HF_ENDPOINT sets it).
    """

    token: str | None = None
    endpoint: str | None = None

    @property
    def address(self) -> str:
        return self.endpoint or constants.ENDPOINT

    def answers(self, timeout_s: float = ANSWER_TIMEOUT_S) -> bool:
        """Whether anything answers at the hub's address in time; never raises for want of a network."""
        try:
            _within(timeout_s, lambda: get_session().head(self.address, timeout=timeout_s))
        except (OfflineModeIsEnabled, TimeoutError, httpx2.HTTPError):
            return False
        return True

    def listing(self, spec: ModelSpec) -> Listing:
        """Commit, sizes and checksums of the files a model needs.

        Raises ModelDownloadFailed (within seconds where there is no network) and ModelGated.
        """
        with self._translated(spec):
            revision, files = spec.revision, []
            for path in spec.files:
                commit, file = _within(ANSWER_TIMEOUT_S, lambda: self._head(spec, path, revision))  # noqa: B023
                revision = commit  # all further files at the same commit
                files.append(file)
            return Listing(revision, tuple(files))

    def _head(self, spec: ModelSpec, path: str, revision: str) -> tuple[str, RemoteFile]:
        url = hf_hub_url(spec.repo, path, revision=revision, endpoint=self.endpoint)
        found = get_hf_file_metadata(
            url, token=self.token, timeout=ANSWER_TIMEOUT_S, endpoint=self.endpoint
        )
        if found.commit_hash is None or found.etag is None or found.size is None:
            raise FileMetadataError("the answer lacks commit, checksum or size")
        return found.commit_hash, RemoteFile(path, found.size, found.etag)

    def fetch(
        self, spec: ModelSpec, commit: str, file: RemoteFile, target: Path, on_bytes: BytesRead
    ) -> None:
        """Bring `target` to the full size of `file`, going on after the bytes it already holds.

        A connection that breaks is taken up again. Raises ModelDownloadFailed, ModelGated.
        """
        attempts_left = _ATTEMPTS
        with self._translated(spec):
            while True:
                before_bytes = target.stat().st_size if target.exists() else 0
                try:
                    self._stream(spec, commit, file, target, on_bytes)
                except httpx2.TransportError:
                    grew = target.exists() and target.stat().st_size > before_bytes
                    attempts_left = _ATTEMPTS if grew else attempts_left - 1
                    if attempts_left == 0:
                        raise
                else:
                    return

    def _stream(
        self, spec: ModelSpec, commit: str, file: RemoteFile, target: Path, on_bytes: BytesRead
    ) -> None:
        have_bytes = target.stat().st_size if target.exists() else 0
        if have_bytes == file.size_bytes > 0:
            return
        headers = build_hf_headers(token=self.token)
        headers["Accept-Encoding"] = "identity"  # a compressed answer could not be taken up again
        if have_bytes:
            headers["Range"] = f"bytes={have_bytes}-"
        url = hf_hub_url(spec.repo, file.path, revision=commit, endpoint=self.endpoint)
        with get_session().stream("GET", url, headers=headers, timeout=_READ_TIMEOUT_S) as response:
            hf_raise_for_status(response)
            if have_bytes and response.status_code != 206:  # the range was not honoured: from the start
                on_bytes(-have_bytes)
                have_bytes = 0
            with target.open("r+b" if have_bytes else "wb") as out:
                out.seek(have_bytes)
                for block in response.iter_bytes(_BLOCK_BYTES):
                    out.write(block)
                    on_bytes(len(block))

    @contextmanager
    def _translated(self, spec: ModelSpec) -> Iterator[None]:
        try:
            yield
        except (ModelError, InterruptedError):
            raise
        except (GatedRepoError, RepositoryNotFoundError, HfHubHTTPError) as error:
            raise self._refusal(spec, error) from error
        except (OfflineModeIsEnabled, TimeoutError, httpx2.HTTPError) as error:
            raise self._no_answer(spec, error) from error
        except (EntryNotFoundError, FileMetadataError) as error:
            raise ModelDownloadFailed(
                f"{self.address} does not answer as a model hub does for {spec.repo}: {error}",
                hint="A proxy or HF_ENDPOINT may stand between; see docs/models.md.",
                model=spec.name,
            ) from error

    def _refusal(self, spec: ModelSpec, error: HfHubHTTPError) -> ModelError:
        status = error.response.status_code
        if isinstance(error, RevisionNotFoundError | EntryNotFoundError):
            return ModelDownloadFailed(
                f"{spec.repo} does not hold what {spec.name!r} needs any more (revision {spec.revision}).",
                hint="A newer ClearCast may know the new layout.",
                model=spec.name,
            )
        if isinstance(error, GatedRepoError) or status in (401, 403):
            return self._gated(spec, status)
        return ModelDownloadFailed(
            f"The hub answered {status} for {spec.repo}.",
            hint="Try again later; what has arrived is kept.",
            model=spec.name,
        )

    def _gated(self, spec: ModelSpec, status: int) -> ModelGated:
        page = f"{self.address}/{spec.repo}"
        lack = "a token is missing or wrong" if status == 401 else "the token's owner has no access"
        return ModelGated(
            f"The owner of {spec.repo} does not give it to everybody ({lack}).",
            hint=f"1. Accept the terms at {page}  2. Make a token with read access at"
            f" {self.address}/settings/tokens  3. Set it: CLEARCAST__MODELS__HUB_TOKEN=…"
            f" (or models.hub_token in the profile)  4. clearcast models pull {spec.name}",
            model=spec.name,
            page=page,
        )

    def _no_answer(self, spec: ModelSpec, error: Exception) -> ModelDownloadFailed:
        reason = "HF_HUB_OFFLINE is set" if isinstance(error, OfflineModeIsEnabled) else str(error)
        return ModelDownloadFailed(
            f"The hub at {self.address} cannot be reached ({reason or type(error).__name__}).",
            hint=f"Connect this machine, or set HTTPS_PROXY. Without a network: on another machine run"
            f" `clearcast models pull {spec.name}` and copy its folder {spec.name}/ with manifest.json"
            f" into the models folder here; or copy the bare files and run"
            f" `clearcast models pull {spec.name} --from FOLDER`.",
            model=spec.name,
        )


def _within(timeout_s: float, work: Callable[[], T]) -> T:
    """`work()` in a thread of its own, because name lookup and connecting to several addresses in turn know
    no common limit. Raises TimeoutError; the thread is then left to end by itself."""
    results: list[T] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            results.append(work())
        except BaseException as error:  # handed to the caller below
            errors.append(error)

    thread = threading.Thread(target=run, name="hub-answer", daemon=True)
    thread.start()
    thread.join(timeout_s)
    if errors:
        raise errors[0]
    if not results:
        raise TimeoutError(f"no answer within {timeout_s:g} s")
    return results[0]
