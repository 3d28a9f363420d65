"""Which files of a folder are taken for recordings: by their names alone, nothing is opened."""

from __future__ import annotations

from pathlib import PurePath

# Files of other kinds in a folder are passed over; named one by one, any file is tried.
MEDIA_SUFFIXES = frozenset(
    {
        *(".wav", ".mp3", ".m4a", ".aac", ".flac", ".ogg", ".oga", ".opus", ".wma", ".aiff", ".aif"),
        *(".amr", ".ac3", ".mka", ".caf", ".au", ".mp2", ".weba", ".m4b"),
        *(".mp4", ".mov", ".mkv", ".webm", ".avi", ".m4v", ".mpg", ".mpeg", ".ts", ".flv", ".wmv", ".3gp"),
    }
)


def is_hidden(path: PurePath) -> bool:
    """Whether the file, or a folder on the way to it, has a name that begins with a dot."""
    return any(part.startswith(".") for part in path.parts)
