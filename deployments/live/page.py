"""`/rooms`: a page to try live rooms by hand, one static file without anything from elsewhere."""

from __future__ import annotations

import base64
import hashlib
import re
from functools import cache
from pathlib import Path

from fastapi import APIRouter
from fastapi.responses import HTMLResponse

router = APIRouter(include_in_schema=False)

PAGE = Path(__file__).with_name("rooms.html")


@router.get("/rooms")
async def read_page() -> HTMLResponse:
    """Needs no key: it holds nothing, and asks for one."""
    text, policy = _page()
    return HTMLResponse(text, headers={"Content-Security-Policy": policy})


@cache
def _page() -> tuple[str, str]:
    """The page and its policy, which lets its own script and style run and no others."""
    text = PAGE.read_text(encoding="utf-8")
    script, style = (_hashes(text, tag) for tag in ("script", "style"))
    # ws: and wss: because a room may live on another node, whose address this one does not know.
    policy = (
        f"default-src 'none'; script-src {script}; style-src {style};"
        " connect-src 'self' http: https: ws: wss:; media-src 'self' blob: mediastream:;"
        " frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
    )
    return text, policy


def _hashes(text: str, tag: str) -> str:
    """The sources of a policy for all inline elements of this kind (CSP Level 3 §2.3.1)."""
    found = re.findall(rf"<{tag}>(.*?)</{tag}>", text, re.DOTALL)
    digests = (base64.b64encode(hashlib.sha256(body.encode()).digest()).decode() for body in found)
    return " ".join(f"'sha256-{digest}'" for digest in digests)
