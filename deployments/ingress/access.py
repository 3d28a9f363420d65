"""Who is asking, and whether they may: the dependencies that every route but a few asks for.

What lives here: reading the credential of a request, the one check of scopes that no route can forget, and
the limits on how often somebody may ask. What does not: what a credential is worth (`clearcast/accounts`).

Keys and tokens travel in the Authorization header only (RFC 6750 §2.1), never in addresses, which end up in
logs. Pages, which people open in a browser, also take the key as a password, or the cookie of a log-in by
code; a cookie opens nothing else, so there is nothing for a foreign page to forge.
"""

from __future__ import annotations

import asyncio
import ipaddress
from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBasic, HTTPBasicCredentials, HTTPBearer

from clearcast.accounts.principal import LOCAL_PRINCIPAL, Principal
from clearcast.accounts.scopes import covers, needed_scope
from clearcast.errors import Forbidden, Unauthenticated
from deployments.ingress.state import IngressState, state_of

PAGE_COOKIE = "clearcast_page"
_PAGE_METHODS = frozenset({"GET", "HEAD"})

_bearer = HTTPBearer(
    auto_error=False,
    scheme_name="ApiKey",
    description="A key made by `clearcast keys create` or `POST /v1/keys`, or an access token.",
)
_basic = HTTPBasic(
    auto_error=False, scheme_name="ApiKeyAsPassword", description="For browsers: the key is the password."
)

Bearer = Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]
Basic = Annotated[HTTPBasicCredentials | None, Depends(_basic)]


async def _caller(request: Request, credentials: Bearer) -> Principal:
    """Who sent the request. Raises Unauthenticated, Forbidden, RateLimited."""
    state = state_of(request)
    principal = await _principal_of(state, credentials.credentials if credentials else None)
    return await _admitted(request, state, principal)


async def _page_caller(request: Request, bearer: Bearer, basic: Basic) -> Principal:
    """As `_caller`, for pages that people open in a browser, which asks them for a password by itself."""
    state = state_of(request)
    credential = bearer.credentials if bearer else basic.password if basic else None
    cookie = request.cookies.get(PAGE_COOKIE)
    if credential is None and cookie is not None and request.method in _PAGE_METHODS:
        principal = await _principal_of(state, cookie, is_cookie=True)
    else:
        principal = await _principal_of(state, credential)
    return await _admitted(request, state, principal)


async def known_principal(
    state: IngressState, credential: str | None, *, is_cookie: bool = False
) -> Principal | None:
    """Whose credential this is; None for none, an unknown one, and a page's cookie outside of a cookie."""
    if not state.settings.http.require_key:
        return LOCAL_PRINCIPAL
    if not credential:
        return None
    credentials = state.accounts.credentials
    principal = credentials.remembered(credential)
    if principal is None:
        principal = await asyncio.to_thread(credentials.look_up, credential)
    if principal is None or is_cookie != (principal.kind == "page"):
        return None
    return principal


async def _principal_of(
    state: IngressState, credential: str | None, *, is_cookie: bool = False
) -> Principal:
    principal = await known_principal(state, credential, is_cookie=is_cookie)
    if principal is not None:
        return principal
    if not credential:
        raise Unauthenticated(
            "This address needs an API key.", hint="Send the header: Authorization: Bearer cc_…"
        )
    raise Unauthenticated(
        "The key or token is not known, or has ended.", hint="Make a key: clearcast keys create"
    )


async def _admitted(request: Request, state: IngressState, principal: Principal) -> Principal:
    scope = needed_scope(request.method, request.scope["route"].path)
    if scope is None:
        raise Forbidden("This address is closed to everybody.")
    if not covers(principal.scopes, (scope,)):
        raise Forbidden("This key may not do that.", hint=f"It needs the scope {scope}.", scope=scope)
    if principal.kind != "none":
        settings = state.settings.accounts
        await state.accounts.limits.hit("user", principal.user_id, settings.requests_per_minute)
        if principal.key_id is not None:
            await state.accounts.limits.hit("key", principal.key_id, settings.key_requests_per_minute)
    return principal


Caller = Annotated[Principal, Depends(_caller)]
PageCaller = Annotated[Principal, Depends(_page_caller)]


def _owner(caller: Caller) -> str:
    return caller.user_id


def _reader(caller: PageCaller) -> str:
    return caller.user_id


def _whole(caller: Caller) -> Principal:
    """Raises Forbidden for a key that may do less than its owner."""
    if not caller.is_whole:
        raise Forbidden("This key may not do that.", hint="It needs the scope *.", scope="*")
    return caller


def _admin(caller: Caller) -> Principal:
    """Raises Forbidden."""
    if not caller.is_admin:
        raise Forbidden("Only an admin may do that.")
    return caller


Owner = Annotated[str, Depends(_owner)]
Reader = Annotated[str, Depends(_reader)]
Whole = Annotated[Principal, Depends(_whole)]
Admin = Annotated[Principal, Depends(_admin)]


async def _few_tries(request: Request) -> None:
    """For doors without a credential: few tries from one network address. Raises RateLimited."""
    state = state_of(request)
    host = request.client.host if request.client else ""
    await state.accounts.limits.hit("address", _network(host), state.settings.accounts.logins_per_minute)


FewTries = Depends(_few_tries)


def _network(host: str) -> str:
    """The address, or of an IPv6 address its /64, which is what one customer has (RFC 6177 §2)."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return "unknown"
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return str(address.ipv4_mapped)
        return str(ipaddress.ip_network((address, 64), strict=False))
    return str(address)
