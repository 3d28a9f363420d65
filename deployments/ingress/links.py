"""Signed links: addresses from which anybody who has them may download one file for a while.

What lives here: making and checking the signature. What does not: sending the file (`sending.py`).

A link names the file, its owner, its end and a format, signed by HMAC-SHA256 with a key of this server
(`clearcast/secret_file.py`). Nothing about it is kept: it ends at its time, with its file, or with the
server's secret.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import hmac
import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from clearcast.errors import NotFound, OptionInvalid
from clearcast.secret_file import server_secret
from clearcast.storage.tables import now
from deployments.ingress.access import Owner
from deployments.ingress.downloads import download_answers
from deployments.ingress.forms import json_body, parse_json
from deployments.ingress.problem_docs import problems
from deployments.ingress.sending import FORMATS, UntilSent, send_file
from deployments.ingress.state import IngressState, State
from deployments.ingress.tus_parts import intake_of
from deployments.ingress.uploads import read_body

router = APIRouter(prefix="/v1", tags=["Files"])

MOST_S = 7 * 86400
_MAX_BODY_BYTES = 4096
_MAX_TOKEN_CHARACTERS = 1000
_PURPOSE = "links"


class LinkRequest(BaseModel):
    """`POST /v1/files/{file_id}/links`."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"example": {"expires_s": 3600, "format": "mp3"}}
    )

    expires_s: int | None = Field(
        default=None,
        ge=1,
        le=MOST_S,
        description="Seconds the link works; storage.link_expiry_s by default.",
    )
    format: str | None = Field(
        default=None, max_length=20, description="Format of the download; as stored when not given."
    )


class Link(BaseModel):
    model_config = ConfigDict(
        json_schema_extra={
            "example": {"url": "/v1/links/eyJmIjoi….c2lnbmF0dXJl", "expires_at": "2026-01-31T10:00:00Z"}
        }
    )

    url: str = Field(description="Path on this server; it needs no key.")
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Ticket:
    """What a link says."""

    file_id: str
    owner_id: str
    expires_s: int
    format_name: str | None


@router.post(
    "/files/{file_id}/links",
    status_code=201,
    operation_id="createLink",
    summary="Make a download link",
    responses=problems(NotFound),
    openapi_extra=json_body(LinkRequest.model_json_schema()),
)
async def create_link(file_id: str, request: Request, owner: Owner, state: State) -> Link:
    """Who has the address can download the file without a key until it expires or the file is deleted."""
    body = await read_body(request, _MAX_BODY_BYTES)
    wanted = parse_json(LinkRequest, body or b"{}")
    if wanted.format is not None and wanted.format.lower() not in FORMATS:
        raise OptionInvalid(
            f"There is no format {wanted.format!r}.", hint=f"Formats: {', '.join(FORMATS)}.", field="format"
        )
    record = await asyncio.to_thread(intake_of(state).find, owner, file_id)
    lasting_s = wanted.expires_s or state.settings.storage.link_expiry_s
    expires_s = int((now() + timedelta(seconds=lasting_s)).timestamp())
    token = await asyncio.to_thread(_signed, state, Ticket(record.id, owner, expires_s, wanted.format))
    return Link(url=f"{router.prefix}/links/{token}", expires_at=datetime.fromtimestamp(expires_s, UTC))


@router.get(
    "/links/{token}",
    operation_id="followLink",
    summary="Download by a link",
    response_class=Response,
    responses=download_answers(),
)
async def follow_link(token: str, request: Request, state: State, until_sent: UntilSent) -> Response:
    """Needs no key. A link that is wrong, has expired or whose file is gone is `not_found`."""
    ticket = await asyncio.to_thread(_read, state, token)
    owner = await asyncio.to_thread(state.accounts.users.get, ticket.owner_id)
    if owner.is_disabled:
        raise _no_such_link()  # as little as they may do themselves, others may do in their name
    record = await asyncio.to_thread(intake_of(state).find, ticket.owner_id, ticket.file_id)
    return await send_file(request, state, record, ticket.format_name, until_sent)


def _signed(state: IngressState, ticket: Ticket) -> str:
    facts = {"f": ticket.file_id, "o": ticket.owner_id, "e": ticket.expires_s, "t": ticket.format_name}
    body = json.dumps(facts, separators=(",", ":")).encode()
    return f"{_text(body)}.{_text(_signature(state, body))}"


def _read(state: IngressState, token: str) -> Ticket:
    """Raises NotFound."""
    try:
        if len(token) > _MAX_TOKEN_CHARACTERS:
            raise ValueError(token)
        body, signature = (_bytes(part) for part in token.split("."))
        if not hmac.compare_digest(signature, _signature(state, body)):
            raise ValueError(token)
    except (ValueError, binascii.Error) as error:
        raise _no_such_link() from error
    facts = json.loads(body)  # written by this server: its signature says so
    if facts["e"] <= now().timestamp():
        raise _no_such_link()
    return Ticket(facts["f"], facts["o"], facts["e"], facts["t"])


def _signature(state: IngressState, body: bytes) -> bytes:
    return hmac.new(server_secret(state.settings.data_path, _PURPOSE), body, hashlib.sha256).digest()


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _bytes(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), b"-_", validate=True)


def _no_such_link() -> NotFound:
    return NotFound("There is no such link, or it has expired.")
