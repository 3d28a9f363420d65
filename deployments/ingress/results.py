"""What answers in text forms carry beside the text: their media types, and who made them."""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import quote

from clearcast.speech.provenance import Provenance

SUBTITLE_TYPES = {"srt": "application/x-subrip", "vtt": "text/vtt"}

PROVENANCE_HEADER = "X-ClearCast-Provenance"
WARNING_HEADER = "X-ClearCast-Warning"

# RFC 9110 §5.5 has only ASCII in header values; the rest is percent-encoded.
_KEPT = "".join(map(chr, range(0x20, 0x7F))).replace("%", "")


def provenance_headers(provenance: Iterable[Provenance], warnings: Iterable[str]) -> dict[str, str]:
    """Headers that name the engines of a result and its warnings, for forms that have no place for them."""
    headers = {
        PROVENANCE_HEADER: "; ".join(quote(str(part), safe=_KEPT) for part in provenance),
        WARNING_HEADER: " ".join(quote(text, safe=_KEPT) for text in warnings),
    }
    return {name: value for name, value in headers.items() if value}
