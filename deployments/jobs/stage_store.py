"""What finished stages gave, kept as blobs: small JSON documents, whole or not there."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from pydantic import TypeAdapter

from clearcast.errors import NotFound
from clearcast.storage.blobs import BlobStore


class StageStore:
    """The stages of one task, below the prefix `folder`. `types`: what they give, by name before "/"."""

    def __init__(self, blobs: BlobStore, folder: str, types: Mapping[str, Any]) -> None:
        self._blobs = blobs
        self._folder = f"{folder}/stages"
        self._types = types
        self.finished: dict[str, Any] = {}
        """What every stage that ran or was found in this process gave."""

    async def find(self, name: str) -> bool:
        """Whether the stage was finished before; then it is in `finished`."""
        if name not in self.finished:
            try:
                document = await asyncio.to_thread(self._blobs.get_bytes, self._key(name))
            except NotFound:
                return False
            self.finished[name] = self._adapter(name).validate_json(document)
        return True

    async def put(self, name: str, value: Any) -> None:
        document = self._adapter(name).dump_json(value)
        await asyncio.to_thread(self._blobs.put_bytes, self._key(name), document)
        self.finished[name] = value

    async def clear(self) -> None:
        """Forget everything: the results are kept elsewhere."""
        await asyncio.to_thread(self._clear)

    def _clear(self) -> None:
        for key in list(self._blobs.keys(self._folder + "/")):
            self._blobs.delete(key)

    def _key(self, name: str) -> str:
        return f"{self._folder}/{name}.json"

    def _adapter(self, name: str) -> TypeAdapter[Any]:
        return TypeAdapter(self._types[name.partition("/")[0]])
