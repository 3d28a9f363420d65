"""Names for things kept: a prefix that tells the kind, then 26 letters and digits that sort by time.

The body is a ULID in lower case: 48 bits of milliseconds and 80 random bits in Crockford's base 32, so that
newer things sort later and nobody can guess one.
"""

from __future__ import annotations

import secrets
import time

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_BODY_LETTERS = 26


def new_id(prefix: str) -> str:
    """A new name such as "job_01k9…" for the prefix "job"."""
    number = (time.time_ns() // 1_000_000) << 80 | secrets.randbits(80)
    letters = []
    for _ in range(_BODY_LETTERS):
        number, digit = divmod(number, 32)
        letters.append(_ALPHABET[digit])
    return f"{prefix}_{''.join(reversed(letters))}"
