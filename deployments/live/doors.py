"""The door of live rooms: credentials in, who may be what out; and which node a room lives on.

What lives here: `streaming`'s Protocols over accounts and records. What does not: the rule of who may come
in (`clearcast/accounts/room_access.py`), what happens inside (`streaming`).
"""

from __future__ import annotations

import asyncio
from dataclasses import replace

from clearcast.accounts.principal import LOCAL_PRINCIPAL
from clearcast.accounts.room_access import Entry, Visitor
from clearcast.accounts.room_tokens import TOKEN_PREFIX
from clearcast.errors import RoomElsewhere, Unauthenticated
from clearcast.storage.room_nodes import RoomNodes
from clearcast.storage.rooms import RoomChange, RoomRecord, RoomRecords
from deployments.ingress.state import IngressState
from streaming.entry import Pass, Visit


class Doors:
    """`streaming.entry.Doorkeeper` and `Register` of one node.

    Attributes:
        node_id: this node's name in the records.
        url: where clients reach it.
    """

    def __init__(self, state: IngressState, node_id: str) -> None:
        self.node_id = node_id
        self.url = state.settings.live.url
        self.rooms = RoomRecords(state.database)
        self.nodes = RoomNodes(state.database)
        self._state = state

    async def admit(self, visit: Visit) -> tuple[RoomRecord, Pass]:
        """As `Doorkeeper.admit`. Claims the room for this node."""
        visitor = await self.visitor(visit.credential, visit.name)
        entry = await self._entry(visit, visitor)
        person = visitor.user_id or visitor.token_id
        assert person is not None
        return entry.room, Pass(person, visitor.name, entry.role, entry.visitor)

    async def visitor(self, credential: str | None, chosen_name: str | None = None) -> Visitor:
        """Whose credential this is. Bearers of room tokens may choose their name.

        Raises Unauthenticated, Forbidden, RateLimited.
        """
        accounts = self._state.accounts
        if credential is not None and credential.startswith(TOKEN_PREFIX):
            token = await asyncio.to_thread(accounts.room_tokens.look_up, credential)
            if token is None:
                raise _unknown()
            visitor = Visitor.by_token(token)
            return replace(visitor, name=(chosen_name or "").strip() or visitor.name or "Guest")
        if not self._state.settings.http.require_key:
            principal = LOCAL_PRINCIPAL
        else:
            if not credential:
                raise Unauthenticated(
                    "A credential is needed.", hint="Send a key, an access token or a room token."
                )
            known = accounts.credentials.remembered(credential)
            known = known or await asyncio.to_thread(accounts.credentials.look_up, credential)
            if known is None or known.kind == "page":
                raise _unknown()
            principal = known
            limit = self._state.settings.accounts.requests_per_minute
            await accounts.limits.hit("user", principal.user_id, limit)
        person = await asyncio.to_thread(accounts.users.get, principal.user_id)
        return Visitor.of(principal, person.name)

    async def _entry(self, visit: Visit, visitor: Visitor) -> Entry:
        """Raises NotFound, RoomEnded, RoomPasswordWrong, RoomLocked, RoomElsewhere, RateLimited."""

        def enter() -> Entry:
            return self._state.accounts.rooms.enter(
                visit.room_id, visitor, visit.password, is_returning=visit.is_returning
            )

        if visit.password is not None:  # few tries: passwords are short
            limit = self._state.settings.accounts.logins_per_minute
            who = visitor.user_id or visitor.token_id or ""
            await self._state.accounts.limits.hit("room-password", f"{visit.room_id}:{who}", limit)
        entry = await asyncio.to_thread(enter)
        holder = await asyncio.to_thread(self.nodes.claim, visit.room_id, self.node_id)
        if holder is not None:
            raise RoomElsewhere("The room lives on another node.", url=holder.url)
        return entry

    async def set_locked(self, room: RoomRecord, is_locked: bool) -> None:
        await asyncio.to_thread(self.rooms.change, room.owner_id, room.id, RoomChange(is_locked=is_locked))

    async def end(self, room: RoomRecord) -> None:
        await asyncio.to_thread(self.rooms.end, room.owner_id, room.id)

    async def release(self, room_id: str) -> None:
        await asyncio.to_thread(self.nodes.release, room_id, self.node_id)


def _unknown() -> Unauthenticated:
    return Unauthenticated("The key or token is not known, or has ended.")
