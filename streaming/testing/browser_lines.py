"""A page of Chromium that speaks and hears over peer connections of this process; the delay between.

What lives here: an empty page's two connections, and one recording of what goes out and what comes in. What
does not: the browser (`browser`), the gateway's page (`deployments/live`), finding chirps (`chirps`).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from aiortc import RTCPeerConnection
from playwright.async_api import BrowserContext, Page

from streaming.opus import SAMPLE_RATE_HZ, Sound
from streaming.peers import answer
from streaming.sdp import OpusWishes
from streaming.testing.browser import recorded
from streaming.testing.chirps import chirps, delays_ms, onsets

_PERIOD_S = 0.5
# Nobody is asked for it: the browser only has to take the page for a local one, or there is no microphone.
_ADDRESS = "http://localhost/lines"
_PAGE = """<!doctype html><audio id="audio" autoplay muted></audio><script>
const lines = {};
async function offer(name, peer) {
  lines[name] = peer;
  const plain = await peer.createOffer();
  const sdp = plain.sdp.replace(/a=rtpmap:(\\d+) opus\\/48000.*\\r\\n/gi,
    (line, type) => `${line}a=rtcp-fb:${type} nack\\r\\n`);
  await peer.setLocalDescription({type: "offer", sdp});
  if (peer.iceGatheringState !== "complete") await new Promise(done => {
    peer.onicegatheringstatechange = () => peer.iceGatheringState === "complete" && done(); });
  return peer.localDescription.sdp;
}
async function offerToSpeak() {
  lines.microphone = await navigator.mediaDevices.getUserMedia({audio: {
    echoCancellation: false, noiseSuppression: false, autoGainControl: false, channelCount: 1}});
  const peer = new RTCPeerConnection();
  peer.addTrack(lines.microphone.getAudioTracks()[0], lines.microphone);
  return offer("mouth", peer);
}
async function offerToListen() {
  const peer = new RTCPeerConnection();
  peer.addTransceiver("audio", {direction: "recvonly"});
  peer.ontrack = event => { lines.heard = new MediaStream([event.track]); audio.srcObject = lines.heard; };
  return offer("ear", peer);
}
async function take([name, sdp]) {
  const peer = lines[name];
  await peer.setRemoteDescription({type: "answer", sdp});
  while (peer.connectionState !== "connected") await new Promise(done => setTimeout(done, 20));
}
// What is said on the left, what is heard on the right: one clock for both.
function besideEachOther() {
  const context = new AudioContext({sampleRate: 48000}), both = context.createChannelMerger(2);
  const end = new MediaStreamAudioDestinationNode(context, {channelCount: 2});
  context.createMediaStreamSource(lines.microphone).connect(both, 0, 0);
  context.createMediaStreamSource(lines.heard).connect(both, 0, 1);
  both.connect(end);
  return end.stream;
}
</script>"""


class BrowserLines:
    """One page. Both of its ends stand in it, so that one clock tells when a chirp left and when it came.

    The delay between them holds everything from the samples that the browser's microphone gives to those
    that it hands to be played: its encoder, the network, the room, its jitter buffer and its decoder. What
    a sound card adds on either side comes on top.
    """

    def __init__(self, page: Page) -> None:
        self.page = page

    @classmethod
    async def open(cls, browser: BrowserContext) -> BrowserLines:
        page = await browser.new_page()
        await page.route(_ADDRESS, lambda route: route.fulfill(body=_PAGE, content_type="text/html"))
        await page.goto(_ADDRESS)
        return cls(page)

    async def speak(self, peer: RTCPeerConnection, wishes: OpusWishes = OpusWishes()) -> None:
        """The microphone goes to this peer, until the page is closed."""
        text = await answer(peer, await self.page.evaluate("offerToSpeak()"), wishes)
        await self.page.evaluate("take", ["mouth", text])

    async def listen(self, peer: RTCPeerConnection, wishes: OpusWishes = OpusWishes()) -> None:
        """What this peer sends is heard, until the page is closed. Call `speak` first."""
        text = await answer(peer, await self.page.evaluate("offerToListen()"), wishes)
        await self.page.evaluate("take", ["ear", text])

    async def record(self, duration_s: float) -> Sound:
        """Shape (n, 2) at 48 kHz: what the microphone gives, and what is heard at the same time."""
        return await recorded(self.page, "besideEachOther()", duration_s)


def said() -> Sound:
    """For the microphone: chirps so far apart that the delay on a busy machine can still be told."""
    return chirps(2 * _PERIOD_S, period_s=_PERIOD_S)


def mouth_to_ear_ms(both: Sound) -> npt.NDArray[np.float64]:
    """Of every chirp that was heard, in a recording by `BrowserLines.record`."""
    said_s, heard_s = (
        [onset / SAMPLE_RATE_HZ for onset in onsets(np.ascontiguousarray(both[:, side]))] for side in (0, 1)
    )
    return np.asarray(delays_ms(said_s, heard_s, _PERIOD_S))
