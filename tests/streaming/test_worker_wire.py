"""Messages survive the socket, wherever it cuts them."""

from __future__ import annotations

import json

import numpy as np
import pytest

from clearcast.errors import ModelMissing
from streaming.worker_wire import Inbox, Kind, Message, error_body, sound_body


@pytest.mark.parametrize("piece_bytes", [1, 12, 13, 14, 1000, 1 << 20])
def test_messages_come_out_as_they_went_in_wherever_they_are_cut(piece_bytes: int) -> None:
    samples = np.random.default_rng(0).normal(0, 0.1, (960, 2)).astype(np.float32)
    messages = [
        Message(Kind.OPEN, 1, 2),
        Message(Kind.FRAME, 1, 1, sound_body(samples)),
        Message(Kind.CLOSE, 4_000_000_000),
    ]
    sent = b"".join(message.packed() for message in messages)
    inbox, came = Inbox(), []
    for at in range(0, len(sent), piece_bytes):
        came += inbox.push(sent[at : at + piece_bytes])
    assert came == messages
    np.testing.assert_array_equal(came[1].sound(2), samples)


def test_a_kind_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="99"):
        list(Inbox().push(bytes([99]) + bytes(12)))


def test_only_our_own_errors_tell_their_text() -> None:
    told = json.loads(error_body(ModelMissing("Not there.", hint="Get it.")))
    assert told == {"code": "model_missing", "message": "Not there.", "hint": "Get it."}
    assert "secret" not in error_body(ValueError("a secret")).decode()
