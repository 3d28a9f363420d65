"""Waiting for a database or a blob store that is away: work is paused, never lost."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

from sqlalchemy.exc import SQLAlchemyError

from clearcast.errors import ServiceUnavailable
from clearcast.storage.database import is_away

logger = logging.getLogger(__name__)

T = TypeVar("T")

FIRST_WAIT_S, LONGEST_WAIT_S = 0.2, 5.0


async def patiently(call: Callable[[], Awaitable[T]]) -> T:
    """What `call` gives, tried again for as long as storage is away, ours or DBOS's."""
    wait_s = FIRST_WAIT_S
    while True:
        try:
            return await call()
        except (ServiceUnavailable, SQLAlchemyError) as error:
            if isinstance(error, SQLAlchemyError) and not is_away(error):
                raise
            reason = error.message if isinstance(error, ServiceUnavailable) else type(error).__name__
            logger.warning("storage is away, waiting", extra={"reason": reason})
        await asyncio.sleep(wait_s)
        wait_s = min(2 * wait_s, LONGEST_WAIT_S)
