"""Files that are there whole or not at all.

What lives here: writing beside the target and renaming at the end. What does not: what is written.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def whole_or_absent(target: Path) -> Iterator[Path]:
    """A path to write to, in the target's folder. It becomes `target` at the end, or goes at an error."""
    temporary = target.with_name(f".{uuid.uuid4().hex}.part")
    try:
        yield temporary
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)
