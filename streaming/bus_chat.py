"""The chat of a live room, kept on the bus.

What lives here: participants and their rights on one side, `chat` on the other.
"""

from __future__ import annotations

from clearcast.errors import OptionInvalid
from streaming.bus import Bus
from streaming.chat import ChatMessage, ChatTopic
from streaming.messages import Chat
from streaming.participant import Participant


class BusChat:
    """`RoomChat` on a bus."""

    def __init__(self, bus: Bus, room_id: str) -> None:
        self._topic = ChatTopic(bus, room_id)

    async def say(self, who: Participant, text: str) -> Chat:
        return _shown(await self._topic.post(who.id, who.entry.person, who.entry.name, text))

    async def latest(self, after: str | None) -> tuple[Chat, ...]:
        try:
            said = await self._topic.history(after=after)
        except OptionInvalid:  # no id of ours: everything is new to that client
            said = await self._topic.history()
        return tuple(map(_shown, said))

    async def remove(self, who: Participant, message_id: str) -> None:
        is_moderator = who.entry.reaches("moderate")
        await self._topic.remove(message_id, who.entry.person, is_moderator=is_moderator)

    async def erase(self) -> None:
        await self._topic.erase()


def _shown(said: ChatMessage) -> Chat:
    return Chat(id=said.id, participant=said.participant_id, name=said.name, text=said.text, at=said.at)
