"""One presence connection: what one's friends do, and that one is online.

What lives here: the protocol of `/v1/presence` for one client. What does not: counting who is there
(`streaming/presence.py`), who is whose friend (`clearcast/accounts/friends.py`).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging

from clearcast.accounts.room_access import Visitor
from clearcast.errors import ClearCastError, Forbidden, MessageMalformed, OptionInvalid
from clearcast.ids import new_id
from deployments.live.state import LiveState
from streaming.messages import Message, Pong, write_message
from streaming.presence import PersonState, PresenceWatch
from streaming.presence_messages import FriendChanged, Friends, FriendView, Hello, read_presence_message
from streaming.session import JOIN_WITHIN_S
from streaming.wire import SEND_WITHIN_S, TalkLimit, Wire, WireClosed, close_code, error_message

logger = logging.getLogger(__name__)

FRIENDS_EVERY_S = 2.0  # so soon a new friendship, or the end of one, is noticed
SILENT_S = 45.0  # without a message so long, somebody is offline


class PresenceSession:
    def __init__(self, wire: Wire, state: LiveState, credential: str | None) -> None:
        self._wire = wire
        self._state = state
        self._credential = credential
        self._connection_id = new_id("presence")
        self._talk = TalkLimit()

    async def run(self) -> None:
        """Until the client goes, is silent or loses his right; errors are told to him, not raised."""
        try:
            visitor, user_id = await self._hello()
            await self._stay(visitor, user_id)
        except WireClosed:
            return
        except ClearCastError as error:
            with contextlib.suppress(WireClosed):
                await self._send(error_message(error))
            await self._wire.close(close_code(error))
        except Exception:
            logger.exception("a presence connection failed")
            await self._wire.close(1011)

    async def _hello(self) -> tuple[Visitor, str]:
        try:
            async with asyncio.timeout(JOIN_WITHIN_S):
                message = read_presence_message(await self._wire.receive())
        except TimeoutError:
            raise MessageMalformed("Nobody said hello in time.") from None
        if not isinstance(message, Hello):
            raise OptionInvalid("The first message is hello.")
        self._credential = message.credential or self._credential
        visitor = await self._state.doors.visitor(self._credential)
        if visitor.user_id is None:
            raise Forbidden("Presence is for people with an account.")
        return visitor, visitor.user_id

    async def _stay(self, visitor: Visitor, user_id: str) -> None:
        presence = self._state.presence
        await presence.tell(user_id, self._connection_id, "online")
        reading = asyncio.create_task(self._read(user_id))
        telling = asyncio.create_task(self._tell_friends(visitor, user_id))
        try:
            done, _ = await asyncio.wait({reading, telling}, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in (reading, telling):
                task.cancel()
            await asyncio.gather(reading, telling, return_exceptions=True)
            await presence.leave(user_id, self._connection_id)

    async def _read(self, user_id: str) -> None:
        while True:
            try:
                async with asyncio.timeout(SILENT_S):
                    text = await self._wire.receive()
            except TimeoutError:
                raise WireClosed from None
            self._talk.take()
            message = read_presence_message(text)
            await self._state.presence.tell(user_id, self._connection_id, "online")
            await self._send(Pong(ref=message.ref))

    async def _tell_friends(self, visitor: Visitor, user_id: str) -> None:
        """All friends, then changes; all again when friendships changed."""
        names: dict[str, str] | None = None
        while True:
            current = await self._friends(user_id)
            if current == names:
                continue
            names = current

            async def may_see(_: str, room_id: str) -> bool:
                return await self._may_see(visitor, room_id)

            with await self._state.presence.watch(names.keys(), may_see) as watch:
                await self._tell_all(watch, names)
                telling = asyncio.create_task(self._tell_changes(watch, names))
                try:
                    while not telling.done() and await self._friends(user_id) == names:
                        await self._assert_known()
                        await asyncio.wait({telling}, timeout=FRIENDS_EVERY_S)
                    if telling.done():
                        telling.result()
                        return
                finally:
                    telling.cancel()
                    await asyncio.gather(telling, return_exceptions=True)

    async def _tell_all(self, watch: PresenceWatch, names: dict[str, str]) -> None:
        """The first state of everybody, as one list."""
        views = {friend_id: FriendView(id=friend_id, name=name) for friend_id, name in names.items()}
        for _ in range(len(names)):
            person = await anext(watch)
            views[person.user_id] = _view(person, names)
        await self._send(Friends(friends=tuple(views.values())))

    async def _tell_changes(self, watch: PresenceWatch, names: dict[str, str]) -> None:
        async for person in watch:
            await self._send(FriendChanged(**_view(person, names).model_dump()))

    async def _assert_known(self) -> None:
        """Raises Unauthenticated once the credential has ended."""
        await self._state.doors.visitor(self._credential)

    async def _friends(self, user_id: str) -> dict[str, str]:
        circle = await asyncio.to_thread(self._state.ingress.accounts.friends.circle, user_id)
        return {friend.id: friend.name for friend in circle.friends}

    async def _may_see(self, visitor: Visitor, room_id: str) -> bool:
        try:
            await asyncio.to_thread(self._state.ingress.accounts.rooms.look, room_id, visitor)
        except ClearCastError:
            return False
        return True

    async def _send(self, message: Message) -> None:
        try:
            async with asyncio.timeout(SEND_WITHIN_S):
                await self._wire.send(write_message(message))
        except TimeoutError:
            raise WireClosed from None


def _view(person: PersonState, names: dict[str, str]) -> FriendView:
    return FriendView(
        id=person.user_id, name=names[person.user_id], state=person.state, room=person.room_id
    )
