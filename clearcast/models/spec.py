"""What a model consists of and where its owner publishes it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """One set of files that an engine needs, beyond what its package carries.

    Attributes:
        name: our name for it, also its folder below the models directory, for example "whisper-small".
        repo: Hugging Face repository it is published in, "owner/name".
        revision: branch, tag or commit.
        files: paths inside the repository that are needed.
        licence: SPDX name or the owner's own words.
        size_bytes: download size as published, 0 when not known.
        gated: True when the owner asks for a token and accepted terms.
        archive_url: a ZIP with the files, for models that are not on the hub; `repo` then only names them.
    """

    name: str
    repo: str
    files: tuple[str, ...]
    licence: str
    revision: str = "main"
    size_bytes: int = 0
    gated: bool = False
    archive_url: str | None = None
