"""What has to be changed in session descriptions (RFC 8866), as text.

What lives here: pure functions on SDP. What does not: peer connections (`peers`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_OPUS = re.compile(r"a=rtpmap:(\d+) opus/48000", re.IGNORECASE)
_MDNS_CANDIDATE = re.compile(r"a=candidate:\S+ \d+ \S+ \d+ \S+\.local ", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class OpusWishes:
    """What we ask the other side to send (RFC 7587 §6.1). Attributes:
    max_average_bitrate_bps: of the Opus stream.
    frame_ms: 10 or 20.
    stereo: two channels, as for music.
    dtx: packets may pause while nobody speaks.
    """

    max_average_bitrate_bps: int = 64_000
    frame_ms: int = 20
    stereo: bool = False
    dtx: bool = False

    def parameters(self) -> dict[str, str]:
        """As they stand in the line `a=fmtp`."""
        named = {
            "minptime": "10",
            "useinbandfec": "1",
            "maxaveragebitrate": str(self.max_average_bitrate_bps),
        }
        if self.stereo:
            named |= {"stereo": "1", "sprop-stereo": "1"}
        if self.dtx:
            named["usedtx"] = "1"
        return named


def with_opus_wishes(sdp: str, wishes: OpusWishes) -> str:
    """Every Opus line with these parameters, the frame length, and NACK (RFC 4585 §6.2.1).

    Parameters that are there already keep their place, those of the same name get our value.
    """
    return "".join(_tuned_media(section, wishes) for section in re.split(r"(?m)^(?=m=)", sdp))


def _tuned_media(section: str, wishes: OpusWishes) -> str:
    types = _OPUS.findall(section)
    if not types:
        return section
    lines = []
    for line in section.splitlines():
        if any(line.startswith((f"a=fmtp:{number} ", f"a=rtcp-fb:{number} nack")) for number in types):
            continue
        if line.startswith(("a=ptime:", "a=maxptime:")):
            continue
        lines.append(line)
        match = _OPUS.match(line)
        if match:
            named = _parameters(section, match[1]) | wishes.parameters()
            text = ";".join(f"{name}={value}" if value else name for name, value in named.items())
            lines += [f"a=rtcp-fb:{match[1]} nack", f"a=fmtp:{match[1]} {text}"]
    # Attributes of the whole section stand anywhere in it.
    lines.append(f"a=ptime:{wishes.frame_ms}")
    if wishes.frame_ms < 20:
        lines.append(f"a=maxptime:{wishes.frame_ms}")
    return "".join(f"{line}\r\n" for line in lines)


def _parameters(section: str, payload_type: str) -> dict[str, str]:
    match = re.search(rf"(?m)^a=fmtp:{payload_type} (.*?)\r?$", section)
    parts = match[1].split(";") if match else []
    return {
        name.strip(): value for part in parts if part.strip() for name, _, value in [part.partition("=")]
    }


def audio_directions(sdp: str) -> list[str]:
    """Of every audio section: `sendrecv`, `sendonly`, `recvonly` or `inactive` (RFC 8866 §6.7)."""
    found = []
    for section in re.split(r"(?m)^(?=m=)", sdp):
        if section.startswith("m=audio "):
            match = re.search(r"(?m)^a=(sendrecv|sendonly|recvonly|inactive)\r?$", section)
            found.append(match[1] if match else "sendrecv")
    return found


def without_mdns_candidates(sdp: str) -> str:
    """Without candidates whose address is a `.local` name: to look those up stalls for a second.

    Browsers reach us all the same: our answer has our address, and theirs is learned when they call.
    """
    return "".join(f"{line}\r\n" for line in sdp.splitlines() if not _MDNS_CANDIDATE.match(line))
