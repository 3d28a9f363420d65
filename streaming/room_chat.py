"""The seam between a live room and its chat.

What lives here: what a room asks of it. What does not: where messages are kept (`chat`).
"""

from __future__ import annotations

from typing import Protocol

from streaming.messages import Chat
from streaming.participant import Participant


class RoomChat(Protocol):
    """The chat of one room."""

    async def say(self, who: Participant, text: str) -> Chat:
        """Keep what somebody says. Raises OptionInvalid, RateLimited, ServiceUnavailable."""

    async def latest(self, after: str | None) -> tuple[Chat, ...]:
        """The latest messages, oldest first; only those after this one where it is still known."""

    async def remove(self, who: Participant, message_id: str) -> None:
        """Forget one's own message, or any for moderators. Raises NotFound, Forbidden."""

    async def erase(self) -> None:
        """Forget all of it: the room has ended."""
