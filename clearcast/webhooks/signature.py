"""Signatures of webhooks, as Standard Webhooks 1.0.0 has them: HMAC-SHA256 over id, time and body.

What lives here: each owner's secret, signing, and checking (for those who receive). What does not: sending.
Source: https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import time
from collections.abc import Mapping

from clearcast.errors import Unauthenticated

SECRET_PREFIX = "whsec_"  # noqa: S105 - the public prefix, not a secret
PURPOSE = "webhooks"
"""For `server_secret(data_path, PURPOSE)`, of which the owners' secrets are made."""

TOLERANCE_S = 300  # the specification's advice against replayed messages

ID = "webhook-id"
TIMESTAMP = "webhook-timestamp"
SIGNATURE = "webhook-signature"


def owner_secret(server_key: bytes, owner: str) -> str:
    """The secret that `owner`'s webhooks are signed with; the same as long as the server's key is."""
    key = hmac.new(server_key, owner.encode(), hashlib.sha256).digest()
    return SECRET_PREFIX + base64.b64encode(key).decode()


def signed_headers(secret: str, event_id: str, body: bytes, at_s: float) -> dict[str, str]:
    """The three headers that go with `body`. `event_id` is the same in every try, without full stops."""
    timestamp = str(int(at_s))
    return {
        ID: event_id,
        TIMESTAMP: timestamp,
        SIGNATURE: "v1," + _signature(secret, event_id, timestamp, body),
    }


def check(secret: str, headers: Mapping[str, str], body: bytes, now_s: float | None = None) -> None:
    """That `body` came from whoever has `secret`, lately. `headers` have names in lower case.

    Raises Unauthenticated.
    """
    event_id, timestamp = headers.get(ID, ""), headers.get(TIMESTAMP, "")
    # A sender who changes secrets signs with both: any one signature is enough.
    given = [
        part.removeprefix("v1,") for part in headers.get(SIGNATURE, "").split() if part.startswith("v1,")
    ]
    expected = _signature(secret, event_id, timestamp, body)
    if not any(hmac.compare_digest(expected.encode(), one.encode()) for one in given):
        raise Unauthenticated("The webhook's signature is wrong.")
    if not timestamp.isascii() or not timestamp.isdigit():
        raise Unauthenticated("The webhook's time is wrong.")
    if abs((time.time() if now_s is None else now_s) - int(timestamp)) > TOLERANCE_S:
        raise Unauthenticated("The webhook is too old, or a clock is wrong.")


def _signature(secret: str, event_id: str, timestamp: str, body: bytes) -> str:
    try:
        key = base64.b64decode(secret.removeprefix(SECRET_PREFIX), validate=True)
    except binascii.Error as error:
        raise Unauthenticated("The webhook's secret is not one.") from error
    content = b".".join((event_id.encode(), timestamp.encode(), body))
    return base64.b64encode(hmac.new(key, content, hashlib.sha256).digest()).decode()
