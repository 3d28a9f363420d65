"""Where a page of hits ended, as the opaque text that leads to the next one."""

from __future__ import annotations

import base64
import binascii
import json
import math
from dataclasses import dataclass
from datetime import datetime

from clearcast.errors import OptionInvalid

MAX_CURSOR_CHARACTERS = 200
_MAX_LINE = 2**63


@dataclass(frozen=True, slots=True)
class Cursor:
    """The last line of a page: what it was sorted by, and its number in the index."""

    order: str
    value: float | str
    line: int

    @property
    def score(self) -> float:
        return float(self.value)

    @property
    def moment(self) -> datetime:
        return datetime.fromisoformat(str(self.value))

    def text(self) -> str:
        content = json.dumps([self.order, self.value, self.line], separators=(",", ":")).encode()
        return base64.urlsafe_b64encode(content).decode().rstrip("=")

    @classmethod
    def read(cls, text: str, order: str) -> Cursor:
        """The cursor that `text` is. Raises OptionInvalid for anything but one of ours of this order."""
        try:
            if len(text) > MAX_CURSOR_CHARACTERS:
                raise ValueError
            content = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
            found_order, value, line = json.loads(content)
            cursor = cls(found_order, value, line)
            if found_order != order or type(line) is not int or not 0 <= line < _MAX_LINE:
                raise ValueError
            if order == "date":
                if cursor.moment.tzinfo is None:
                    raise ValueError
            elif not math.isfinite(cursor.score):
                raise ValueError
        except (ValueError, TypeError, OverflowError, RecursionError, binascii.Error) as error:
            raise OptionInvalid(
                "This is no cursor of such a search.", hint="Take `next` of the page before.", field="after"
            ) from error
        return cursor
