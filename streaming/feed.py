"""What is read as it comes: an async iterator that is also the context manager which ends it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from types import TracebackType
from typing import Generic, Self, TypeVar

Item_co = TypeVar("Item_co", covariant=True)


class Feed(ABC, Generic[Item_co]):
    """Leaving its context closes it."""

    @abstractmethod
    def close(self) -> None:
        """No more comes. May be called again."""

    @abstractmethod
    async def __anext__(self) -> Item_co: ...

    def __aiter__(self) -> Self:
        return self

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
