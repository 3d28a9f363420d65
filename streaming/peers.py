"""Peer connections as the live rooms want them.

What lives here: ICE servers and consent, and answering an offer. What does not: where offers come from, and
how media is kept within a range of ports (`udp_ports`).
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

import aioice.ice
from aiortc import (
    InvalidAccessError,
    RTCConfiguration,
    RTCIceServer,
    RTCPeerConnection,
    RTCSessionDescription,
)

from clearcast.errors import LiveError, SdpRefused
from streaming.sdp import OpusWishes, audio_directions, with_opus_wishes, without_mdns_candidates
from streaming.udp_ports import UdpPorts

# A peer that is gone is noticed when so many checks (RFC 7675) failed in a row. Each takes the interval, ±
# 20 %, and the half second that an answer may take: 5.84 s at most. Fewer checks further apart would notice
# as soon, but end connections that merely lose packets: at 5 % loss each way, four in a row fail once in
# three hours.
CONSENT_FAILURES = 4
CONSENT_INTERVAL_S = 0.8


def notice_vanished_peers() -> None:
    """Have aioice notice within 6 s, not 30, in this whole process. Raises LiveError if it cannot."""
    module = vars(aioice.ice)
    for name, value in {
        "CONSENT_FAILURES": CONSENT_FAILURES,
        "CONSENT_INTERVAL": CONSENT_INTERVAL_S,
    }.items():
        if not isinstance(module.get(name), int | float):
            raise LiveError(f"This version of aioice has no {name}.")
        setattr(aioice.ice, name, value)


def new_peer(ice_servers: Sequence[RTCIceServer] = ()) -> RTCPeerConnection:
    """A connection with these STUN and TURN servers and no others: aiortc's default asks a stranger's."""
    notice_vanished_peers()
    return RTCPeerConnection(RTCConfiguration(iceServers=list(ice_servers)))


async def answer(
    peer: RTCPeerConnection,
    offer_sdp: str,
    wishes: OpusWishes = OpusWishes(),
    ports: UdpPorts | None = None,
) -> str:
    """Our answer to an offer; tracks must have been added before. Pictures are turned down.

    `ports` are those its media may use; None for any. When this raises, close the peer, and its ports are
    free again. Raises SdpRefused; Overloaded when all ports are taken.
    """
    directions = audio_directions(offer_sdp)
    if len(directions) != 1:
        raise SdpRefused("The offer must have one section of sound.", sections=len(directions))
    if directions[0] == "inactive":
        raise SdpRefused("The sound in the offer is inactive.")
    try:
        description = RTCSessionDescription(without_mdns_candidates(offer_sdp), "offer")
        await peer.setRemoteDescription(description)
        for transceiver in peer.getTransceivers():
            if transceiver.kind != "audio":  # else aiortc decodes pictures that nobody takes
                transceiver.direction = "inactive"
        with contextlib.nullcontext() if ports is None else ports.in_use():
            await peer.setLocalDescription()
    except (ValueError, LookupError, AssertionError, InvalidAccessError) as error:
        raise SdpRefused("The offer is no session description that can be answered.") from error
    if ports is not None:
        ports.check(peer.localDescription.sdp)
    return with_opus_wishes(peer.localDescription.sdp, wishes)


async def offer(
    peer: RTCPeerConnection, wishes: OpusWishes = OpusWishes(), ports: UdpPorts | None = None
) -> str:
    """Our offer; tracks must have been added before. `ports` as in `answer`. Raises Overloaded."""
    with contextlib.nullcontext() if ports is None else ports.in_use():
        await peer.setLocalDescription()
    if ports is not None:
        ports.check(peer.localDescription.sdp)
    return with_opus_wishes(peer.localDescription.sdp, wishes)


async def take_answer(peer: RTCPeerConnection, answer_sdp: str) -> None:
    """The other side's answer to our offer. Raises SdpRefused."""
    try:
        await peer.setRemoteDescription(
            RTCSessionDescription(without_mdns_candidates(answer_sdp), "answer")
        )
    except (ValueError, LookupError, AssertionError, InvalidAccessError) as error:
        raise SdpRefused("The answer is no session description that fits our offer.") from error
