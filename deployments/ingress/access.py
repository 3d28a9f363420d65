"""Who is asking: the API key of a request, and the owner it belongs to.

What lives here: the dependencies that every route but /health asks for. What does not: the keys
(`clearcast/auth.py`). Keys travel in the Authorization header only (RFC 6750 §2.1), never in addresses,
which end up in logs.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBasic, HTTPBasicCredentials, HTTPBearer

from clearcast.errors import Unauthenticated
from deployments.ingress.state import IngressState, state_of

EVERYBODY = "local"
"""The one owner there is when `http.require_key` is off."""

_bearer = HTTPBearer(
    auto_error=False, scheme_name="ApiKey", description="A key made by `clearcast keys create`."
)
_basic = HTTPBasic(
    auto_error=False, scheme_name="ApiKeyAsPassword", description="For browsers: the key is the password."
)


def _owner(
    request: Request, credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]
) -> str:
    """The owner whose key came with the request. Raises Unauthenticated."""
    return _owner_of(state_of(request), credentials.credentials if credentials else None)


def _reader(
    request: Request,
    bearer: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)],
    basic: Annotated[HTTPBasicCredentials | None, Depends(_basic)],
) -> str:
    """As `_owner`, for pages that people open in a browser, which asks them for a password by itself."""
    key = bearer.credentials if bearer else basic.password if basic else None
    return _owner_of(state_of(request), key)


def _owner_of(state: IngressState, key: str | None) -> str:
    if not state.settings.http.require_key:
        return EVERYBODY
    if key is None:
        raise Unauthenticated(
            "This address needs an API key.", hint="Send the header: Authorization: Bearer cc_…"
        )
    owner = state.keys.owner_of(key)
    if owner is None:
        raise Unauthenticated("The API key is not known.", hint="Make one: clearcast keys create")
    return owner


Owner = Annotated[str, Depends(_owner)]
Reader = Annotated[str, Depends(_reader)]
