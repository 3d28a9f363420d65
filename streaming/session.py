"""One connection to a room: messages in, what they bring about, messages out.

What lives here: the protocol of `docs/rooms.md` for one client, over any `Wire`. What does not: the room's
own doings (`live_room`), WebSockets (`deployments/live`).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from clearcast.errors import ClearCastError, MessageMalformed, OptionInvalid, RoomElsewhere
from streaming import messages as say
from streaming.conversation import Conversation
from streaming.entry import Doorkeeper, Visit
from streaming.hall import Hall
from streaming.live_room import LiveRoom
from streaming.outbox import Outbox
from streaming.participant import Participant
from streaming.wire import (
    SEND_WITHIN_S,
    TalkLimit,
    Wire,
    WireClosed,
    close_code,
    error_message,
    ref_of,
    unexpected,
)

logger = logging.getLogger(__name__)

JOIN_WITHIN_S = 5.0

Answer = Awaitable[say.Message | None]


class Session:
    """Somebody at the door, then in the room, until the connection or his stay ends."""

    def __init__(
        self, wire: Wire, hall: Hall, doorkeeper: Doorkeeper, room_id: str, credential: str | None = None
    ) -> None:
        """`credential` stands for one in the `join` message."""
        self._wire = wire
        self._hall = hall
        self._doorkeeper = doorkeeper
        self._room_id = room_id
        self._credential = credential
        self._talk = TalkLimit()

    async def run(self) -> None:
        """Until it is over. Whatever goes wrong is told to the client, not raised."""
        ref: str | None = None
        try:
            first = await self._first()
            ref = first.ref
            room, who, outbox = await self._join(first)
        except WireClosed:
            return
        except ClearCastError as error:
            await self._refuse(error, ref)
            return
        except Exception:
            logger.exception("somebody could not join")
            await self._refuse(unexpected(), ref)
            return
        await RoomConversation(self._wire, room, who, outbox, self._talk).run()

    async def _first(self) -> say.Join:
        """Raises OptionInvalid, MessageMalformed, WireClosed."""
        try:
            async with asyncio.timeout(JOIN_WITHIN_S):
                message = say.read_message(await self._wire.receive())
        except TimeoutError:
            raise MessageMalformed("Nobody joined in time.", hint="Send join first.") from None
        if not isinstance(message, say.Join):
            raise OptionInvalid("The first message is join.", ref=message.ref)
        return message

    async def _join(self, first: say.Join) -> tuple[LiveRoom, Participant, Outbox]:
        visit = Visit(
            room_id=self._room_id,
            credential=first.credential or self._credential,
            password=first.password,
            name=first.name,
            is_returning=self._hall.returning(self._room_id, first.resume) is not None,
        )
        record, entry = await self._doorkeeper.admit(visit)
        await self._hall.admission.turn()
        room = self._hall.open(record)
        chat = await room.chat.latest(first.after)
        room = self._hall.open(record)  # it may have closed meanwhile
        outbox = Outbox()
        who = self._hall.enter(room, entry, outbox, first.resume)
        outbox.put(room.welcome(who, chat, first.ref))
        return room, who, outbox

    async def _refuse(self, error: ClearCastError, ref: str | None) -> None:
        message: say.Message = error_message(error, ref or ref_of(error))
        if isinstance(error, RoomElsewhere):
            message = say.Moved(ref=ref, url=socket_url(error.url, self._room_id))
        try:
            async with asyncio.timeout(SEND_WITHIN_S):
                await self._wire.send(say.write_message(message))
        except (WireClosed, TimeoutError):
            return
        await self._wire.close(close_code(error))


class RoomConversation(Conversation):
    """The messages of `docs/rooms.md`."""

    def __init__(
        self, wire: Wire, room: LiveRoom, who: Participant, outbox: Outbox, talk: TalkLimit
    ) -> None:
        super().__init__(wire, room, who, outbox, talk)
        self._actions: dict[type[say.Message], Callable[[Any], Answer]] = {
            say.Publish: self._publish,
            say.Listen: self._listen,
            say.StopPublishing: self._stop_publishing,
            say.StopListening: self._stop_listening,
            say.SetDenoise: self._denoise,
            say.SetMute: self._mute,
            say.SayChat: self._chat,
            say.RemoveChat: self._remove_chat,
            say.Remove: self._remove,
            say.SetLock: self._lock,
            say.SetRecord: self._record,
            say.SetCaptions: self._captions,
            say.End: self._end,
            say.Leave: self._leave,
            say.Ping: self._ping,
        }

    def encode(self, message: say.Message) -> list[str]:
        return [say.write_message(message)]

    async def handle(self, text: str) -> None:
        message = say.read_message(text)
        try:
            await self._act(message)
        except ClearCastError as error:
            self.outbox.put(error_message(error, message.ref))

    async def _act(self, message: say.ClientMessage) -> None:
        action = self._actions.get(type(message))
        if action is None:
            raise OptionInvalid("You have joined already.")
        answer = await action(message)
        if answer is not None:
            self.outbox.put(answer)

    async def _publish(self, message: say.Publish) -> say.Message:
        return say.Publishing(ref=message.ref, sdp=await self.room.publish(self.who, message.sdp))

    async def _listen(self, message: say.Listen) -> say.Message:
        return say.Listening(ref=message.ref, sdp=await self.room.listen(self.who, message.sdp))

    async def _stop_publishing(self, message: say.StopPublishing) -> say.Message:
        await self.room.stop_publishing(self.who)
        return say.Stopped(ref=message.ref)

    async def _stop_listening(self, message: say.StopListening) -> say.Message:
        self.room.stop_listening(self.who)
        return say.Stopped(ref=message.ref)

    async def _denoise(self, message: say.SetDenoise) -> None:
        self.room.denoise(self.who, message.participant, message.is_on, message.ref)

    async def _mute(self, message: say.SetMute) -> None:
        self.room.mute(self.who, message.participant, message.is_on, message.ref)

    async def _chat(self, message: say.SayChat) -> None:
        await self.room.say(self.who, message.text, message.ref)

    async def _remove_chat(self, message: say.RemoveChat) -> None:
        await self.room.remove_chat(self.who, message.id, message.ref)

    async def _remove(self, message: say.Remove) -> None:
        await self.room.remove(self.who, message.participant)

    async def _lock(self, message: say.SetLock) -> None:
        await self.room.lock(self.who, message.is_on, message.ref)

    async def _record(self, message: say.SetRecord) -> None:
        await self.room.record_show(self.who, message.is_on, message.ref)

    async def _captions(self, message: say.SetCaptions) -> None:
        await self.room.caption(self.who, message.is_on, message.options, message.ref)

    async def _end(self, message: say.End) -> None:
        await self.room.end(self.who)

    async def _leave(self, message: say.Leave) -> None:
        await self.room.leave(self.who)
        self.outbox.close(1000)

    async def _ping(self, message: say.Ping) -> say.Message:
        return say.Pong(ref=message.ref)


def socket_url(base_url: str, room_id: str) -> str:
    """Where the room's WebSocket is, at a gateway."""
    return f"ws{base_url.removeprefix('http')}/v1/rooms/{room_id}/ws"
