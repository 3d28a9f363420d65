"""`/rooms` and `/live`: pages to try live rooms and live text by hand, static files without anything from
elsewhere."""

from __future__ import annotations

from pathlib import Path

from fastapi import APIRouter
from fastapi.responses import FileResponse

from clearcast.errors import NotFound

router = APIRouter(include_in_schema=False)

_FOLDER = Path(__file__).parent
_PAGE = "rooms.html"
_PARTS = {
    "rooms.css": "text/css",
    "rooms.js": "text/javascript",
    "rooms_connection.js": "text/javascript",
    "rooms_sound.js": "text/javascript",
}
_LIVE_PARTS = {
    "live.css": "text/css",
    "live.js": "text/javascript",
    "live_sound.js": "text/javascript",
}
# ws: and wss: because a room may live on another node, whose address this one does not know.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; connect-src 'self' ws: wss:;"
    " media-src 'self' blob: mediastream:; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
)


@router.get("/rooms")
async def read_page() -> FileResponse:
    """Needs no key: it holds nothing, and asks for one."""
    return _file(_PAGE, "text/html")


@router.get("/rooms/{name}")
async def read_part(name: str) -> FileResponse:
    """The page's script and style. Raises NotFound."""
    if name not in _PARTS:
        raise NotFound("The page has no such part.")
    return _file(name, _PARTS[name])


@router.get("/live")
async def read_live_page() -> FileResponse:
    """As the page of rooms."""
    return _file("live.html", "text/html")


@router.get("/live/{name}")
async def read_live_part(name: str) -> FileResponse:
    """Its script and style. Raises NotFound."""
    if name not in _LIVE_PARTS:
        raise NotFound("The page has no such part.")
    return _file(name, _LIVE_PARTS[name])


def _file(name: str, media_type: str) -> FileResponse:
    headers = {
        "Content-Security-Policy": _POLICY,
        "Cache-Control": "no-cache",  # its parts must be of one version
        "X-Content-Type-Options": "nosniff",
    }
    return FileResponse(_FOLDER / name, media_type=media_type, headers=headers)
