"""The chat of a room.

What lives here: saying, reading, following and removing, over the bus. What does not: who may come in and
who moderates (`bus_chat` asks for that), and the room's WebSocket.

    topic "chat:<room>":  {"kind": "chat", participant, person, name, text, at}
                          {"kind": "removed", "of": id}, a tombstone: that text is gone
"""

from __future__ import annotations

import math
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from clearcast.errors import Forbidden, NotFound, RateLimited
from streaming.bus import TOPIC_MESSAGES, Bus, Posted, Subscription
from streaming.chat_text import clean_text
from streaming.feed import Feed

HISTORY_MESSAGES = 100
RATE_MESSAGES = 5
RATE_WINDOW_S = 5.0


@dataclass(frozen=True, slots=True)
class ChatMessage:
    """Attributes:
    id: grows within a room; what a client gives as `after` when it comes back.
    person_id: whose it is; the same when they come back as another participant.
    name: of the participant when it was said.
    text: cleaned, 1–2000 characters, to be shown as text.
    at: when it was said, UTC.
    """

    id: str
    participant_id: str
    person_id: str
    name: str
    text: str
    at: datetime


@dataclass(frozen=True, slots=True)
class ChatRemoved:
    """`of` is the message that is gone; `id` this notice's own, for `after`."""

    id: str
    of: str


ChatEvent = ChatMessage | ChatRemoved


class ChatTopic:
    """One room's chat on the bus, as one node serves it.

    Everything raises ServiceUnavailable while the bus cannot be reached, and OptionInvalid for what is no
    id.
    """

    def __init__(self, bus: Bus, room_id: str, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._bus = bus
        self._topic = f"chat:{room_id}"
        self._rate = _Rate(clock_s)

    async def post(self, participant_id: str, person_id: str, name: str, text: str) -> ChatMessage:
        """Say something. Raises OptionInvalid, RateLimited (more than 5 in 5 s by one person)."""
        cleaned = clean_text(text)
        self._rate.count(person_id)
        at = datetime.now(UTC)
        who = {"participant": participant_id, "person": person_id, "name": name}
        said = {"kind": "chat", **who, "text": cleaned, "at": at.isoformat()}
        message_id = await self._bus.publish(self._topic, said)
        return ChatMessage(message_id, participant_id, person_id, name, cleaned, at)

    async def history(self, last: int = HISTORY_MESSAGES, after: str | None = None) -> list[ChatMessage]:
        """The latest messages, or the latest after an id, oldest first; without those that were removed."""
        events = [_event(posted) for posted in await self._bus.history(self._topic, TOPIC_MESSAGES, after)]
        removed = {event.of for event in events if isinstance(event, ChatRemoved)}
        said = [event for event in events if isinstance(event, ChatMessage) and event.id not in removed]
        return said[-last:] if last > 0 else []

    async def remove(self, message_id: str, person_id: str, *, is_moderator: bool = False) -> None:
        """Take back what one has said oneself, or anything as a moderator. Raises NotFound, Forbidden.

        The tombstone comes first: a crash in between leaves the text hidden, and removing it again works.
        """
        posted = await self._bus.find(self._topic, message_id)
        event = None if posted is None else _event(posted)
        if not isinstance(event, ChatMessage):
            raise NotFound("There is no such message.")
        if event.person_id != person_id and not is_moderator:
            raise Forbidden("This message is somebody else's.")
        await self._bus.publish(self._topic, {"kind": "removed", "of": message_id})
        await self._bus.remove(self._topic, message_id)

    async def follow(self, after: str | None = None) -> ChatFeed:
        """What is said and removed from now on; with an id, first what came after it.

        A room without messages is followed from `streaming.bus.START`, so that nothing gets lost between
        `history` and here.
        """
        return ChatFeed(await self._bus.subscribe(self._topic, after))

    async def erase(self) -> None:
        """Forget all that was said."""
        await self._bus.erase(self._topic)


class ChatFeed(Feed[ChatEvent]):
    """An async iterator over what happens in a chat, and a context manager that ends it.

    Iterating raises SubscriberBehind when messages were missed: read the history, and follow anew.
    """

    def __init__(self, subscription: Subscription) -> None:
        self._subscription = subscription

    def close(self) -> None:
        self._subscription.close()

    async def __anext__(self) -> ChatEvent:
        return _event(await anext(self._subscription))


class _Rate:
    """How often each person has spoken lately; those who are quiet are forgotten."""

    def __init__(self, clock_s: Callable[[], float]) -> None:
        self._clock_s = clock_s
        self._spoken: OrderedDict[str, deque[float]] = OrderedDict()

    def count(self, person_id: str) -> None:
        now_s = self._clock_s()
        while self._spoken and next(iter(self._spoken.values()))[-1] <= now_s - RATE_WINDOW_S:
            self._spoken.popitem(last=False)
        times = self._spoken.setdefault(person_id, deque(maxlen=RATE_MESSAGES))
        if len(times) == RATE_MESSAGES and times[0] > now_s - RATE_WINDOW_S:
            left_s = times[0] + RATE_WINDOW_S - now_s
            raise RateLimited("Too many messages at once.", retry_after_s=max(1, math.ceil(left_s)))
        times.append(now_s)
        self._spoken.move_to_end(person_id)


def _event(posted: Posted) -> ChatEvent:
    message = posted.message
    if message["kind"] == "removed":
        return ChatRemoved(posted.id, message["of"])
    return ChatMessage(
        posted.id,
        message["participant"],
        message["person"],
        message["name"],
        message["text"],
        datetime.fromisoformat(message["at"]),
    )
