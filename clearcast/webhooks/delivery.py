"""One try at telling one URL something.

What lives here: the request, bound to the address that was checked, and what its answer means. What does
not: when to try again, which the durable job queue decides (`deployments/jobs`).
"""

from __future__ import annotations

import asyncio
import json
import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import httpx

from clearcast import __version__
from clearcast.errors import ServiceUnavailable
from clearcast.settings import JobSettings
from clearcast.webhooks.guard import AddressRefused, Resolve, Target, authority, find_target
from clearcast.webhooks.signature import signed_headers

TIMEOUT_S = 15.0  # for one try with all its redirects; the specification's advice is 15–30 s
CONNECT_S = 5.0
MAX_REDIRECTS = 3
MAX_RETRY_AFTER_S = 3600
USER_AGENT = f"ClearCast/{__version__} (webhooks)"

# Those that keep the method and the body (RFC 9110 §15.4.8-9); the others would turn a message into a GET.
_REDIRECTS = frozenset({307, 308})
_GONE = 410  # Standard Webhooks: the receiver wants no more of them


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a try.

    Attributes:
        result: "delivered", "retry" (may work later) or "refused" (will never).
        answer: for the records: the HTTP status, or the code of what went wrong. Never text from outside.
        retry_after_s: how long the receiver asked to wait, if it did.
    """

    result: Literal["delivered", "retry", "refused"]
    answer: str
    retry_after_s: int | None = None


async def deliver(
    url: str,
    event_id: str,
    payload: Mapping[str, Any],
    secret: str,
    settings: JobSettings,
    *,
    resolve: Resolve | None = None,
    tls: ssl.SSLContext | None = None,
    now: Callable[[], float] = time.time,
    timeout_s: float = TIMEOUT_S,
) -> Outcome:
    """Send `payload` to `url` once, signed; never raises for what the network or the receiver does.

    `event_id` is the same in every try, so that receivers can tell a repetition.
    """
    body = json.dumps(payload, ensure_ascii=False, separators=(",", ":")).encode()
    headers = {
        **signed_headers(secret, event_id, body, now()),
        "content-type": "application/json",
        "user-agent": USER_AGENT,
    }
    try:
        async with asyncio.timeout(timeout_s):
            return await _follow(url, headers, body, settings.webhook_private_networks, resolve, tls)
    except AddressRefused:
        return Outcome("refused", "address_refused")
    except ServiceUnavailable:
        return Outcome("retry", "host_unknown")
    except (TimeoutError, httpx.TimeoutException):
        return Outcome("retry", "timeout")
    except httpx.ConnectError as error:
        return Outcome("retry", "tls_failed" if _is_tls(error) else "unreachable")
    except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError):
        return Outcome("retry", "connection_failed")


async def _follow(
    url: str,
    headers: Mapping[str, str],
    body: bytes,
    private: bool,
    resolve: Resolve | None,
    tls: ssl.SSLContext | None,
) -> Outcome:
    """Send, and send again where a redirect leads; every address on the way is looked up and checked."""
    # trust_env: a proxy of the environment would look the name up by itself, past the guard.
    async with httpx.AsyncClient(
        verify=tls or _trusted(),
        trust_env=False,
        follow_redirects=False,
        timeout=httpx.Timeout(TIMEOUT_S, connect=CONNECT_S),
        limits=httpx.Limits(max_keepalive_connections=0),
    ) as client:
        for _ in range(MAX_REDIRECTS + 1):
            target = await find_target(url, private=private, resolve=resolve)
            status, answer = await _send(client, target, headers, body)
            if status not in _REDIRECTS or "location" not in answer:
                return _outcome(status, answer)
            following = target.url.join(answer["location"])
            if target.url.scheme == "https" and following.scheme != "https":
                return Outcome("refused", "redirect_insecure")
            url = str(following)
    return Outcome("refused", "redirects_too_many")


async def _send(
    client: httpx.AsyncClient, target: Target, headers: Mapping[str, str], body: bytes
) -> tuple[int, httpx.Headers]:
    """Status and headers of the answer; its body is not read. Tries the host's addresses in their order."""
    host = target.url.netloc.decode("ascii")
    for place, address in enumerate(target.addresses):
        pinned = f"{target.url.scheme}://{authority(target, address)}{target.url.raw_path.decode('ascii')}"
        request = client.build_request(
            "POST",
            pinned,
            content=body,
            headers={**headers, "host": host, "accept-encoding": "identity"},
            extensions={"sni_hostname": target.host.rstrip(".")},  # the certificate is checked for the name
        )
        try:
            answer = await client.send(request, stream=True)
        except (httpx.ConnectError, httpx.ConnectTimeout):
            if place + 1 == len(target.addresses):
                raise
            continue
        await answer.aclose()
        return answer.status_code, answer.headers
    raise ServiceUnavailable("The webhook's host has no address.")


def _outcome(status: int, headers: httpx.Headers) -> Outcome:
    if 200 <= status < 300:
        return Outcome("delivered", str(status))
    if 300 <= status < 400 or status == _GONE:
        return Outcome("refused", str(status))
    # Everything else may be a mistake that somebody mends: the specification has all of them tried again.
    return Outcome("retry", str(status), _retry_after_s(headers.get("retry-after", "")))


def _retry_after_s(text: str) -> int | None:
    """Seconds only; a date (RFC 9110 §10.2.3) is left to the schedule."""
    if not text.isascii() or not text.isdigit() or len(text) > 9:
        return None
    return min(int(text), MAX_RETRY_AFTER_S)


def _is_tls(error: BaseException) -> bool:
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLError):
            return True
        cause = cause.__cause__ or cause.__context__
    return False


@lru_cache(maxsize=1)
def _trusted() -> ssl.SSLContext:
    """The usual certificate authorities; reading them takes tens of milliseconds."""
    return httpx.create_ssl_context(trust_env=False)
