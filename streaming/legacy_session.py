"""One connection of the older platform's clients: one broadcaster, his friends listen.

What lives here: `legacy_messages` told in terms of a room. What does not: finding the room and knowing the
visitor (`deployments/live/legacy.py`), the room itself (`live_room`).
"""

from __future__ import annotations

from streaming import messages as say
from streaming.conversation import Conversation
from streaming.legacy_messages import (
    Answer,
    ChatMessage,
    LegacyPing,
    StartStream,
    StopStream,
    Subscribe,
    ToggleDenoise,
    legacy_message,
    read_legacy_message,
)
from streaming.live_room import LiveRoom
from streaming.outbox import Outbox
from streaming.participant import Participant
from streaming.wire import TalkLimit, Wire


class LegacyConversation(Conversation):
    def __init__(self, wire: Wire, room: LiveRoom, who: Participant, outbox: Outbox) -> None:
        super().__init__(wire, room, who, outbox, TalkLimit())
        self._names = {other.id: other.entry.name for other in room.people.values()}
        self._streaming = {other.id for other in room.people.values() if other.is_publishing}

    def hello(self) -> list[str]:
        """What a client is told first."""
        return [
            legacy_message(
                "authenticated",
                username=self.who.entry.name,
                broadcaster=self.room.record.owner_name,
                is_streaming=bool(self._streaming),
            )
        ]

    async def handle(self, text: str) -> None:
        message = read_legacy_message(text)
        if isinstance(message, StartStream):
            self.who.need("moderate")  # one broadcaster: whose address it is
            sdp = await self.room.publish(self.who, message.sdp)
            self.outbox.put(say.Publishing(sdp=sdp))
        elif isinstance(message, Subscribe):
            self.outbox.put(say.Listening(sdp=await self.room.offer_listening(self.who)))
        elif isinstance(message, Answer):
            await self.room.answer_listening(self.who, message.sdp)
        elif isinstance(message, ToggleDenoise):
            is_on = not self.who.is_denoised if message.enabled is None else message.enabled
            self.room.denoise(self.who, None, is_on)
        elif isinstance(message, ChatMessage):
            await self.room.say(self.who, message.message)
        elif isinstance(message, StopStream):
            await self.room.stop_publishing(self.who)
        elif isinstance(message, LegacyPing):
            self.outbox.put(say.Pong())

    def encode(self, message: say.Message) -> list[str]:
        match message:
            case say.Joined():
                return self.hello()
            case say.Publishing(sdp=sdp):
                return [legacy_message("answer", sdp=sdp)]
            case say.Listening(sdp=sdp):
                return [legacy_message("offer", sdp=sdp)]
            case say.ParticipantChanged():
                return self._changed(message)
            case say.Left(id=participant_id):
                return self._left(participant_id)
            case say.Chat(name=name, text=text, at=at):
                when = at.isoformat()
                return [legacy_message("chat_message", username=name, message=text, timestamp=when)]
            case say.ErrorMessage(code=code, detail=detail):
                return [legacy_message("error", code=code, message=detail)]
            case say.Moved(url=url):
                return [legacy_message("moved", url=url)]
            case say.Pong():
                return [legacy_message("pong")]
            case _:
                return []

    def _changed(self, other: say.ParticipantChanged) -> list[str]:
        """Somebody came, began or stopped to speak, or is denoised or not."""
        told = []
        if other.id not in self._names:
            self._names[other.id] = other.name
            told.append(legacy_message("user_online", username=other.name))
        if other.is_publishing and other.id not in self._streaming:
            self._streaming.add(other.id)
            told.append(legacy_message("user_streaming", username=other.name))
        elif not other.is_publishing and other.id in self._streaming:
            self._streaming.discard(other.id)
            told.append(legacy_message("stream_ended", username=other.name))
        if other.is_publishing:
            enabled = other.is_denoised
            told.append(legacy_message("denoise_toggled", username=other.name, enabled=enabled))
        return told

    def _left(self, participant_id: str) -> list[str]:
        name = self._names.pop(participant_id, "")
        told = []
        if participant_id in self._streaming:
            self._streaming.discard(participant_id)
            told.append(legacy_message("stream_ended", username=name))
        return [*told, legacy_message("user_offline", username=name)]
