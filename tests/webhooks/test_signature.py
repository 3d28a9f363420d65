"""Signatures as Standard Webhooks has them."""

from __future__ import annotations

import pytest

from clearcast.errors import Unauthenticated
from clearcast.webhooks.signature import SECRET_PREFIX, check, owner_secret, signed_headers

# The example of the specification's own libraries.
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
EVENT = "msg_p5jXN8AQM9LWM0D4loKWxJek"
BODY = b'{"test": 2432232314}'
AT_S = 1614265330


def test_the_example_of_the_specification_comes_out() -> None:
    assert signed_headers(SECRET, EVENT, BODY, AT_S) == {
        "webhook-id": EVENT,
        "webhook-timestamp": str(AT_S),
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


def test_each_owner_has_a_secret_of_their_own_that_stays() -> None:
    anna, omid = (owner_secret(b"k" * 32, owner) for owner in ("user_anna", "user_omid"))
    assert anna == owner_secret(b"k" * 32, "user_anna") != omid
    assert anna.startswith(SECRET_PREFIX)
    assert owner_secret(b"l" * 32, "user_anna") != anna


def test_what_was_signed_passes() -> None:
    headers = signed_headers(SECRET, EVENT, BODY, AT_S)
    check(SECRET, headers, BODY, now_s=AT_S + 299)
    rotated = {**headers, "webhook-signature": f"v1,AAAA v1a,x {headers['webhook-signature']}"}
    check(SECRET, rotated, BODY, now_s=AT_S)


@pytest.mark.parametrize(
    ("changes", "body", "late_s"),
    [
        ({}, b"{}", 0),
        ({"webhook-id": "msg_other"}, BODY, 0),
        ({"webhook-timestamp": str(AT_S + 1)}, BODY, 0),
        ({"webhook-timestamp": "x"}, BODY, 0),
        ({"webhook-signature": ""}, BODY, 0),
        ({"webhook-signature": "v1,é"}, BODY, 0),
        ({}, BODY, 301),
        ({}, BODY, -301),
    ],
)
def test_anything_else_does_not(changes: dict[str, str], body: bytes, late_s: int) -> None:
    headers = {**signed_headers(SECRET, EVENT, BODY, AT_S), **changes}
    with pytest.raises(Unauthenticated):
        check(SECRET, headers, body, now_s=AT_S + late_s)
