"""ClearCast, the library: sound in, meaning out.

What lives here: audio input and output, the speech data types and their files, the engines that wrap
each model, storage, settings, errors. What does not: Ray, FastAPI, and the flows that combine services
(see `pipelines`). Everything here can be imported and used alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from clearcast.client import AsyncClearCast, AsyncClient, ClearCast, Client

__all__ = ["AsyncClearCast", "AsyncClient", "ClearCast", "Client", "__version__"]

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """The client, loaded when it is first asked for."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from clearcast import client

    return getattr(client, name)
