"""Passwords: argon2id hashes, made and checked with bounded memory.

What lives here: hashing. What does not: whose password it is and what a wrong one leads to (`users.py`).
"""

from __future__ import annotations

import threading
import unicodedata

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from clearcast.errors import OptionInvalid

MIN_CHARACTERS = 10
MAX_CHARACTERS = 1024  # more would only be work for the server
AT_A_TIME = 2  # each check takes 19 MiB and a core: a flood of log-ins must not take them all

# 19 MiB, two passes, one lane: OWASP Password Storage Cheat Sheet, "Argon2id".
_OWASP = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)


class Passwords:
    """Hashes passwords and compares them with hashes; each call takes some 20 ms of one core."""

    def __init__(self, hasher: PasswordHasher = _OWASP) -> None:
        self._hasher = hasher
        self._places = threading.BoundedSemaphore(AT_A_TIME)
        self._nobodys = hasher.hash("the password of nobody")

    def hash(self, password: str) -> str:
        """Raises OptionInvalid for one that is too short or too long."""
        if not MIN_CHARACTERS <= len(password) <= MAX_CHARACTERS:
            raise OptionInvalid(
                f"A password has {MIN_CHARACTERS} to {MAX_CHARACTERS} characters.", field="password"
            )
        with self._places:
            return self._hasher.hash(_plain(password))

    def matches(self, password_hash: str | None, password: str) -> bool:
        """Whether this is the password; without a hash the same work is done, and the answer is no."""
        with self._places:
            try:
                same = self._hasher.verify(
                    password_hash or self._nobodys, _plain(password[:MAX_CHARACTERS])
                )
            except (VerificationError, InvalidHashError):
                return False
        return same and password_hash is not None and len(password) <= MAX_CHARACTERS

    def is_outdated(self, password_hash: str) -> bool:
        """Whether it was made with other parameters than today's."""
        return self._hasher.check_needs_rehash(password_hash)


def _plain(password: str) -> bytes:
    # The same letters typed on different keyboards are the same password (RFC 8265 §4.2.1).
    return unicodedata.normalize("NFC", password).encode("utf-8", "surrogatepass")
