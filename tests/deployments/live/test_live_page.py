"""The page `/live` and its parts, which bring nothing from elsewhere."""

from __future__ import annotations

import re
from pathlib import Path

import httpx
import numpy as np
import pytest
import soundfile
from playwright.async_api import expect

from clearcast.audio.sinc import resample
from clearcast.sample import sample_conversation
from streaming.opus import SAMPLE_RATE_HZ
from streaming.testing.browser import chromium
from tests.deployments.live.stage import Stage


async def test_the_page_and_all_its_parts_are_there(stage: Stage) -> None:
    async with httpx.AsyncClient(base_url=stage.url, timeout=30) as http:
        page = await http.get("/live")
        assert page.status_code == 200
        assert "default-src 'none'" in page.headers["content-security-policy"]
        parts = re.findall(r'(?:src|href)="(/[^"]+)"', page.text)
        script = await http.get("/live/live.js")
        parts += re.findall(r'"(/live/[^"]+)"', script.text)
        assert set(parts) == {"/live/live.css", "/live/live.js", "/live/live_sound.js"}
        for part in parts:
            assert (await http.get(part)).status_code == 200, part
        assert "http:" not in page.text + script.text
        assert "innerHTML" not in script.text
        assert (await http.get("/live/actor.py")).status_code == 404


@pytest.mark.timeout(240)
async def test_what_a_microphone_hears_becomes_bubbles(stage: Stage, tmp_path: Path) -> None:
    """A real Chromium with a real voice: Start, a line with its speaker, Escape."""
    samples, rate_hz = soundfile.read(sample_conversation().audio, dtype="float32")
    spoken = np.concatenate((samples[8 * rate_hz : 12 * rate_hz], np.zeros(2 * rate_hz, np.float32)))
    voice = resample(spoken[:, np.newaxis], rate_hz, SAMPLE_RATE_HZ)[:, 0]
    async with chromium(voice, tmp_path) as context:
        page = await context.new_page()
        await page.goto(f"{stage.url}/live")
        await page.click("#start")
        await expect(page.locator("#error")).not_to_be_empty()  # there is no key yet
        await page.fill("#credential", stage.people.create("anna"))
        await page.fill("#language", "en")
        await page.click("#start")
        await expect(page.locator("#status")).to_have_attribute("data-state", "on", timeout=60_000)
        line = page.locator("#lines li").first
        await expect(line).to_contain_text("Speaker 1", timeout=120_000)
        await page.keyboard.press("Escape")
        await expect(page.locator("#status")).to_have_attribute("data-state", "out", timeout=60_000)


@pytest.mark.timeout(240)
async def test_keywords_in_the_microphone_become_bubbles(
    stage: Stage, tmp_path: Path, shared_audio: Path
) -> None:
    samples, rate_hz = soundfile.read(shared_audio / "kws" / "string_0.flac", dtype="float32")
    voice = resample(samples[:, np.newaxis], rate_hz, SAMPLE_RATE_HZ)[:, 0]
    async with chromium(voice, tmp_path) as context:
        page = await context.new_page()
        await page.goto(f"{stage.url}/live")
        await page.fill("#credential", stage.people.create("anna"))
        await page.check("#keywords")
        await page.click("#start")
        line = page.locator("#lines li").first
        await expect(line).to_contain_text(re.compile(r"s, \d+ %(\d|10)$"), timeout=120_000)
        await page.keyboard.press("Escape")
        await expect(page.locator("#status")).to_have_attribute("data-state", "out", timeout=60_000)
