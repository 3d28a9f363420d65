"""Who is asking: a person, what this credential lets them do, and a short memory of the last answers.

What lives here: `Principal` and its cache. What does not: reading credentials (`credentials.py`).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from clearcast.accounts.scopes import EVERYTHING, covers

TTL_S = 5.0
"""So long a revocation may take to reach other processes; in the same process it counts at once."""
_MAX_ENTRIES = 10_000

LOCAL = "local"
"""Id and name of the one person there is when no credentials are asked for."""


@dataclass(frozen=True, slots=True)
class Principal:
    """Attributes:
    scopes: what this credential allows of what its owner may.
    kind: an API key, an access token, a browser's cookie, or nothing because nothing is asked for.
    key_id: of the key, where it is one.
    family_id: of the log-in, where it is a token or a cookie.
    expires_at: when the credential ends, where it does.
    """

    user_id: str
    is_admin: bool
    scopes: frozenset[str]
    kind: Literal["key", "token", "page", "none"]
    key_id: str | None = None
    family_id: str | None = None
    expires_at: datetime | None = None

    @property
    def is_whole(self) -> bool:
        """Whether the credential can do everything its owner can."""
        return covers(self.scopes, (EVERYTHING,))

    def is_expired(self) -> bool:
        return self.expires_at is not None and self.expires_at <= datetime.now(UTC)


LOCAL_PRINCIPAL = Principal(LOCAL, is_admin=False, scopes=frozenset({EVERYTHING}), kind="none")


class PrincipalCache:
    """Principals by the digest of their credential, for `TTL_S`. Safe for threads.

    What is unknown is not remembered: a key that has just been made works at once.
    """

    def __init__(self, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._clock_s = clock_s
        self._lock = threading.Lock()
        self._entries: dict[bytes, tuple[float, Principal]] = {}
        self._generation = 0

    @property
    def generation(self) -> int:
        """Grows with every `forget`: what was looked up before one must not be put in after it."""
        return self._generation

    def get(self, digest: bytes) -> Principal | None:
        entry = self._entries.get(digest)
        return entry[1] if entry is not None and entry[0] > self._clock_s() else None

    def put(self, digest: bytes, principal: Principal, generation: int) -> None:
        with self._lock:
            if generation != self._generation:
                return
            if len(self._entries) >= _MAX_ENTRIES:
                self._entries.clear()
            self._entries[digest] = (self._clock_s() + TTL_S, principal)

    def forget(self, user_id: str) -> None:
        """Have everything of this person looked up afresh."""
        with self._lock:
            self._generation += 1
            kept = {key: entry for key, entry in self._entries.items() if entry[1].user_id != user_id}
            self._entries = kept
