"""The page `/live` and its parts, which bring nothing from elsewhere."""

from __future__ import annotations

import re

import httpx

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
