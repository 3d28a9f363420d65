"""What the first bytes of a file tell before any decoder sees it.

What lives here: recognising playlists, pictures, text and the common media containers, so that a refusal
can say what the file is. What does not: the safety itself. FFmpeg is held to a list of formats and to one
open file whatever is found here (see `source` and `child`).
"""

from __future__ import annotations

import codecs
import re
from typing import BinaryIO

HEAD_BYTES = 4096

# FFmpeg looks behind an ID3v2 tag when it guesses a format, hence so do we.
_ID3_HEADER_BYTES = 10
_MOST_ID3_TAGS = 8

_PLAYLIST_STARTS = (b"#extm3u", b"ffconcat", b"[playlist]", b"[reference]", b"rtsptext", b"smiltext")
_PLAYLIST_TAGS = (b"<mpd", b"<asx", b"<smil", b"<playlist", b"<smoothstreamingmedia")
_PLAYLIST_LINES = re.compile(
    rb"v=0\s*\n"  # SDP, RFC 8866 §5.1
    rb"|(?:\s*#[^\n]*\n)*\s*(?:file|ffconcat)\s+['\"]?[^\s]"  # FFmpeg's concat script
    rb"|(?:\s*#[^\n]*\n)*\s*[a-z][a-z0-9+.-]*://",  # a bare list of addresses
    re.IGNORECASE,
)

_PICTURES = {
    b"\x89PNG\r\n\x1a\n": "PNG",
    b"\xff\xd8\xff": "JPEG",
    b"GIF8": "GIF",
    b"BM": "BMP",
    b"II*\x00": "TIFF",
    b"MM\x00*": "TIFF",
}

MP4 = "MP4, M4A or MOV"
_CONTAINERS = {
    b"RIFF": "WAV or AVI",
    b"RF64": "WAV",
    b"riff": "W64",
    b"fLaC": "FLAC",
    b"OggS": "Ogg",
    b"\x1a\x45\xdf\xa3": "Matroska or WebM",
    b"FORM": "AIFF",
    b"caff": "CAF",
    b".snd": "AU",
    b"#!AMR": "AMR",
    b"FLV\x01": "FLV",
    b"MAC ": "Monkey's Audio",
    b"wvpk": "WavPack",
    b"\x30\x26\xb2\x75": "WMA or WMV",
}


def read_head(file: BinaryIO) -> tuple[bytes, int]:
    """(first bytes behind any ID3v2 tags, how many bytes those tags take). Leaves the file at its start."""
    skipped = 0
    head = b""
    for _ in range(_MOST_ID3_TAGS):
        file.seek(skipped)
        head = file.read(HEAD_BYTES)
        tag_bytes = _id3_bytes(head)
        if tag_bytes == 0:
            break
        skipped += tag_bytes
    file.seek(0)
    return head, skipped


def is_playlist(head: bytes) -> bool:
    """True for a list of other files or addresses: M3U and HLS, concat, SDP, DASH, PLS, XSPF, ASX, SMIL."""
    start = head.removeprefix(codecs.BOM_UTF8).lstrip().lower()
    if start.startswith(_PLAYLIST_STARTS):
        return True
    if start.startswith(b"<"):
        return any(tag in start for tag in _PLAYLIST_TAGS)
    return _PLAYLIST_LINES.match(start) is not None


def picture_name(head: bytes) -> str | None:
    """ "PNG", "JPEG", … when the file is a picture."""
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WebP"
    if head[4:8] == b"ftyp" and head[8:12] in (b"avif", b"heic", b"mif1"):
        return "HEIF"
    return next((name for magic, name in _PICTURES.items() if head.startswith(magic)), None)


def is_text(head: bytes) -> bool:
    """True when the bytes are UTF-8 text without control characters."""
    try:
        text = codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        return False
    return all(letter.isprintable() or letter.isspace() for letter in text)


def container_name(head: bytes, id3_bytes: int = 0) -> str | None:
    """The container whose signature the file bears, whether or not the rest of it is there."""
    if head[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"free"):
        return MP4
    if id3_bytes or (len(head) > 1 and head[0] == 0xFF and head[1] & 0xE0 == 0xE0):
        return "MP3 or AAC"
    return next((name for magic, name in _CONTAINERS.items() if head.startswith(magic)), None)


def _id3_bytes(head: bytes) -> int:
    """Length of the ID3v2 tag at the start with its header, 0 when there is none (ID3 v2.4 §3.1)."""
    if len(head) < _ID3_HEADER_BYTES or head[:3] != b"ID3":
        return 0
    size = 0
    for byte in head[6:10]:
        size = size << 7 | byte & 0x7F
    return _ID3_HEADER_BYTES + size
