"""A file that is read while it is still written.

What lives here: waiting for what is not there yet. What does not: who writes (`growing`).
"""

from __future__ import annotations

import io
import os
from typing import Any

_NEWS_BYTES = 1 << 12


class GrowingFile(io.RawIOBase):
    """Its bytes from the first to the last; `read` waits for more while there may be more.

    To demuxers it has no end and no way back, although what was read once can be read again.
    """

    def __init__(self, file: int, news: int) -> None:
        """`file` is the descriptor of a regular file; in the pipe `news` a byte comes whenever the file has
        grown, and its end when it is whole."""
        self._file, self._news = file, news
        self._position = 0
        self._is_whole = False

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return False

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Only from the start, to look at the beginning again."""
        if whence != os.SEEK_SET:
            raise io.UnsupportedOperation("its end is not known")
        self._position = offset
        return offset

    def readinto(self, buffer: Any) -> int:
        while True:
            was_whole = self._is_whole
            count = os.preadv(self._file, [buffer], self._position)
            if count or was_whole:
                self._position += count
                return count
            self._is_whole = not os.read(self._news, _NEWS_BYTES)
