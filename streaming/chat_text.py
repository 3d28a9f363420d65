"""What people write, made fit to be shown beside what others write.

What lives here: cleaning of chat texts and of names. What does not: their meaning; clients show them as
text, never as HTML. Persian needs its zero-width non-joiner, emoji their joiner: both stay.
"""

from __future__ import annotations

import re
import unicodedata

from clearcast.errors import OptionInvalid

MAX_TEXT_CHARACTERS = 2000
MAX_NAME_CHARACTERS = 80

_LINE_ENDS = re.compile("\r\n|[\r\n\v\f\x85\u2028\u2029]")
# What goes: the other control characters; surrogates, which are no text; embeddings, overrides and isolates
# of direction, which can turn what stands around them (UTR 36 §2.5; marks such as U+200F cannot, and stay);
# deprecated format characters, annotations, the byte order mark; what is no character at all.
_UNWANTED = re.compile(
    "[\x00-\x08\x0e-\x1f\x7f-\x9f\ud800-\udfff\u202a-\u202e\u2066-\u206f\ufff9-\ufffb\ufeff\ufdd0-\ufdef"
    + "".join(f"{chr(plane | 0xFFFE)}{chr(plane | 0xFFFF)}" for plane in range(0, 0x110000, 0x10000))
    + "]"
)


def clean_text(text: str) -> str:
    """A chat text in NFC, lines ended by "\\n". Raises OptionInvalid unless 1–2000 characters are left."""
    cleaned = _clean(text, MAX_TEXT_CHARACTERS, "\n")
    if cleaned is None:
        raise OptionInvalid(f"A text has 1 to {MAX_TEXT_CHARACTERS} characters that can be seen.")
    return cleaned


def clean_name(name: str) -> str:
    """A name on one line. Raises OptionInvalid unless 1–80 characters are left."""
    cleaned = _clean(name, MAX_NAME_CHARACTERS, " ")
    if cleaned is None:
        raise OptionInvalid(f"A name has 1 to {MAX_NAME_CHARACTERS} characters that can be seen.")
    return cleaned


def _clean(text: str, limit: int, line_end: str) -> str | None:
    if len(text) > 4 * limit:  # nothing that is taken away makes up for that
        return None
    text = _UNWANTED.sub("", _LINE_ENDS.sub(line_end, text).replace("\t", " "))
    text = unicodedata.normalize("NFC", text).strip()
    return text if len(text) <= limit and any(map(_is_seen, text)) else None


def _is_seen(character: str) -> bool:
    return unicodedata.category(character)[0] not in "CZ" or unicodedata.category(character) == "Co"
