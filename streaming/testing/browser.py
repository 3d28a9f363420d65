"""A real Chromium, without a window: what its connections count and what its pages hear.

What lives here: starting it with a sound for its microphone, recording sound in a page, statistics. What
does not: what is done on a page.
"""

from __future__ import annotations

import base64
import io
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import av
import numpy as np
from playwright.async_api import BrowserContext, Page, async_playwright

from clearcast.testing.media import write_wav
from streaming.opus import SAMPLE_RATE_HZ, Sound

_FLAGS = (
    "--no-sandbox",  # tests run as root in containers
    "--disable-gpu",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-background-timer-throttling",  # only one of several pages is in front
    "--disable-renderer-backgrounding",
    "--disable-backgrounding-occluded-windows",
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",  # the microphone is allowed without asking
    "--autoplay-policy=no-user-gesture-required",
)
# Connections are kept where we find them; the page does not notice.
_KEEP_PEERS = """
window.peers = [];
window.RTCPeerConnection = class extends RTCPeerConnection {
  constructor(...all) { super(...all); window.peers.push(this); }
};"""
_STATISTICS = """async kind => {
  const found = [];
  for (const peer of window.peers)
    if (peer.connectionState === "connected")
      (await peer.getStats()).forEach(one => { if (one.type === kind) found.push(one); });
  return found.at(-1) ?? null;
}"""
# Samples as they are, by the browser's own thread: it does not matter when the page gets its turn.
_RECORD = """async ([expression, seconds]) => {
  const recorder = new MediaRecorder(eval(expression), {mimeType: "audio/webm;codecs=pcm"}), parts = [];
  recorder.ondataavailable = event => parts.push(event.data);
  const stopped = new Promise(resolve => { recorder.onstop = resolve; });
  recorder.start();
  await new Promise(resolve => setTimeout(resolve, 1000 * seconds));
  recorder.stop();
  await stopped;
  const bytes = new Uint8Array(await new Blob(parts).arrayBuffer());
  const pieces = [];
  for (let at = 0; at < bytes.length; at += 32768)
    pieces.push(String.fromCharCode(...bytes.subarray(at, at + 32768)));
  return btoa(pieces.join(""));
}"""


@asynccontextmanager
async def chromium(microphone: Sound, folder: Path) -> AsyncIterator[BrowserContext]:
    """A browser, for as long as the block; every page of it has this sound, over and over, as microphone.

    `microphone` has shape (n, channels) at 48 kHz; `folder` takes its files. Raises FileNotFoundError where
    there is no Chromium.
    """
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    if program is None:
        raise FileNotFoundError("chromium")
    wav = write_wav(
        folder / "microphone.wav", np.round(microphone * 32767).astype(np.int16), SAMPLE_RATE_HZ
    )
    flags = [*_FLAGS, f"--use-file-for-fake-audio-capture={wav}"]
    async with async_playwright() as play:
        browser = await play.chromium.launch(executable_path=program, args=flags)
        try:
            context = await browser.new_context()
            await context.add_init_script(_KEEP_PEERS)
            yield context
        finally:
            await browser.close()


async def statistics(page: Page, kind: str) -> dict[str, Any]:
    """Of this type (W3C webrtc-stats), of the page's latest connection that stands; empty without one."""
    return await page.evaluate(_STATISTICS, kind) or {}


async def recorded(page: Page, stream: str, duration_s: float) -> Sound:
    """What a MediaStream plays from now on: shape (n, channels) at 48 kHz; `stream` is an expression."""
    text = await page.evaluate(_RECORD, [stream, duration_s])
    with av.open(io.BytesIO(base64.b64decode(text)), "r") as container:
        blocks = [frame.to_ndarray() for frame in container.decode(audio=0)]
        channels = container.streams.audio[0].channels
    return np.concatenate([block.reshape(-1, channels) for block in blocks]).astype(np.float32)
