"""A bad network: packets of a connection that never arrive, and others that take a while.

What lives here: a shim where RTP and RTCP leave. What does not: ICE, whose checks pass unharmed.
"""

from __future__ import annotations

import asyncio
import contextlib
import random

from aiortc import RTCPeerConnection


class BadNetwork:
    """Attributes:
    sent, lost: packets so far, of RTP and RTCP.
    """

    def __init__(self, share: float, seed: int, delay_s: float = 0.005) -> None:
        """`share` of packets is lost by chance; the others come `delay_s` late."""
        self.sent = self.lost = 0
        self._share, self._delay_s = share, delay_s
        self._chance = random.Random(seed)  # noqa: S311  # to be repeated, not to be secret
        self._under_way: set[asyncio.Task[None]] = set()

    def stands_behind(self, peer: RTCPeerConnection) -> None:
        """What this peer sends goes through it from now on. Call it when the peer is connected."""
        transport = peer.getTransceivers()[0].sender.transport
        send = transport._send_rtp

        async def later(data: bytes) -> None:
            await asyncio.sleep(self._delay_s)
            with contextlib.suppress(ConnectionError):  # closed meanwhile
                await send(data)

        async def badly(data: bytes) -> None:
            self.sent += 1
            if self._chance.random() < self._share:
                self.lost += 1
                return
            task = asyncio.ensure_future(later(data))
            self._under_way.add(task)
            task.add_done_callback(self._under_way.discard)

        transport._send_rtp = badly  # type: ignore[method-assign]
