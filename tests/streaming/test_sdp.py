from __future__ import annotations

import pytest
from aiortc.sdp import SessionDescription

from clearcast.errors import SdpRefused
from streaming.peers import answer, new_peer
from streaming.sdp import OpusWishes, with_opus_wishes, without_mdns_candidates

OFFER = "\r\n".join(
    [
        "v=0",
        "o=- 1 2 IN IP4 127.0.0.1",
        "s=-",
        "t=0 0",
        "m=audio 9 UDP/TLS/RTP/SAVPF 111 0",
        "c=IN IP4 0.0.0.0",
        "a=candidate:1 1 udp 2113937151 5e3b.local 50000 typ host generation 0",
        "a=candidate:2 1 udp 2113937151 192.0.2.7 50001 typ host generation 0",
        "a=mid:0",
        "a=rtpmap:111 opus/48000/2",
        "a=rtcp-fb:111 transport-cc",
        "a=fmtp:111 minptime=10;useinbandfec=0;cbr=1",
        "a=rtpmap:0 PCMU/8000",
        "a=ptime:60",
        "m=video 9 UDP/TLS/RTP/SAVPF 96",
        "c=IN IP4 0.0.0.0",
        "a=rtpmap:96 VP8/90000",
        "",
    ]
)


def test_opus_gets_our_wishes_and_keeps_its_own_and_nothing_else_changes() -> None:
    text = with_opus_wishes(OFFER, OpusWishes(48_000, frame_ms=10, stereo=True, dtx=True))
    lines = text.split("\r\n")
    fmtp = next(line for line in lines if line.startswith("a=fmtp:111 "))
    named = dict(part.split("=") for part in fmtp.removeprefix("a=fmtp:111 ").split(";"))
    assert named == {
        "minptime": "10",
        "useinbandfec": "1",
        "cbr": "1",
        "maxaveragebitrate": "48000",
        "stereo": "1",
        "sprop-stereo": "1",
        "usedtx": "1",
    }
    assert lines.count("a=rtcp-fb:111 nack") == 1
    assert "a=rtcp-fb:111 transport-cc" in lines
    video = lines.index("m=video 9 UDP/TLS/RTP/SAVPF 96")
    assert {"a=ptime:10", "a=maxptime:10"} <= set(lines[:video])
    assert "a=ptime:60" not in lines
    assert lines[video:] == OFFER.split("\r\n")[-4:]
    assert with_opus_wishes(text, OpusWishes(48_000, frame_ms=10, stereo=True, dtx=True)) == text
    assert SessionDescription.parse(text).media[0].rtp.codecs[0].parameters["useinbandfec"] == 1


def test_only_mdns_candidates_go() -> None:
    text = without_mdns_candidates(OFFER)
    assert ".local" not in text
    assert "192.0.2.7" in text
    assert len(text.split("\r\n")) == len(OFFER.split("\r\n")) - 1


async def test_an_answer_asks_for_what_we_want_and_no_stranger_for_our_address() -> None:
    guest, ours = new_peer(), new_peer()
    guest.addTransceiver("audio", direction="sendonly")
    await guest.setLocalDescription()
    text = await answer(ours, guest.localDescription.sdp)
    assert "useinbandfec=1" in text
    assert "maxaveragebitrate=64000" in text
    assert " typ srflx" not in text
    await guest.close()
    await ours.close()


@pytest.mark.parametrize("text", ["nonsense", "", OFFER.replace("m=audio", "m=text"), OFFER])
async def test_an_offer_that_cannot_be_answered_is_refused(text: str) -> None:
    """The last one is well formed, but has no keys."""
    peer = new_peer()
    with pytest.raises(SdpRefused):
        await answer(peer, text)
    await peer.close()
