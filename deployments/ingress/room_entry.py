"""The door of a live room: a credential and perhaps a password become an entry, or a coded error.

What lives here: what the live gateway asks for every join, WHIP and WHEP. What does not: the rule itself
(`clearcast/accounts/room_access.py`), and where in a message a credential stands (`deployments/live`).
"""

from __future__ import annotations

import asyncio

from clearcast.accounts.room_access import Entry, Visitor
from clearcast.accounts.room_tokens import TOKEN_PREFIX
from clearcast.errors import Unauthenticated
from deployments.ingress.access import known_principal
from deployments.ingress.state import IngressState

PASSWORDS_PER_MINUTE = 10
"""So many passwords one person may try, of all rooms together: at this pace nobody guesses one."""


async def visitor_of(state: IngressState, credential: str | None) -> Visitor:
    """Who bears this key, access token or room token.

    Raises Unauthenticated, Forbidden for a key without a scope for rooms, RateLimited.
    """
    if credential is not None and credential.startswith(TOKEN_PREFIX):
        token = await asyncio.to_thread(state.accounts.room_tokens.look_up, credential)
        if token is None:
            raise _unknown()
        await state.accounts.limits.hit("token", token.id, state.settings.accounts.key_requests_per_minute)
        return Visitor.by_token(token)
    principal = await known_principal(state, credential)
    if principal is None:
        raise _unknown()
    await state.accounts.limits.hit("user", principal.user_id, state.settings.accounts.requests_per_minute)
    person = await asyncio.to_thread(state.accounts.users.get, principal.user_id)
    return Visitor.of(principal, person.name)


async def enter_room(
    state: IngressState,
    room_id: str,
    visitor: Visitor,
    password: str | None = None,
    *,
    is_returning: bool = False,
) -> Entry:
    """Let the visitor in. Wrong passwords are counted.

    Raises NotFound, RoomEnded, RoomPasswordWrong, RoomLocked, RateLimited, Overloaded.
    """
    enter = state.accounts.rooms.enter
    if password is None:
        return await asyncio.to_thread(enter, room_id, visitor, is_returning=is_returning)
    who = visitor.user_id or visitor.token_id or ""
    await state.accounts.limits.hit("room_password", who, PASSWORDS_PER_MINUTE)
    return await state.passwords.run(lambda: enter(room_id, visitor, password, is_returning=is_returning))


def _unknown() -> Unauthenticated:
    return Unauthenticated(
        "The credential is not known, or has ended.",
        hint="Send a key (cc_…), an access token or a room token (rt_…).",
    )
