"""`/v1/keywords`: the words of a keyword model in sound as it comes, over a WebSocket.

What lives here: its route, and which models there are. What does not: the protocol
(`streaming/live_keywords/talk.py`).

Unlike recognisers, keyword networks run in this process: they are a few hundred kilobytes and a few
milliseconds a word, where a call through Serve would take most of the 100 ms that a word may.
"""

from __future__ import annotations

import functools

from fastapi import APIRouter, WebSocket

from clearcast.engines.classify.contract import KeywordEngine
from clearcast.engines.classify.residual_cnn import SHIPPED
from clearcast.engines.engine import EngineContext, make_engine
from clearcast.local import engine_from
from clearcast.settings import Settings
from deployments.live.live_text import SoundSocket, introduce
from deployments.live.sockets import bearer_of
from deployments.live.state import live_state_of
from streaming.live_keywords.desk import KeywordDesk
from streaming.live_keywords.talk import KeywordTalk

router = APIRouter()


@router.websocket("/v1/keywords")
async def keyword_socket(socket: WebSocket) -> None:
    state = live_state_of(socket)
    await socket.accept()
    ask = functools.partial(introduce, state.ingress)
    await KeywordTalk(SoundSocket(socket), state.keywords, ask, bearer_of(socket)).run()


def keyword_desk(settings: Settings) -> KeywordDesk:
    """The profile's model for those who name none, and those that come with ClearCast, by name. A client
    names no folders. Nothing is loaded yet. Raises EngineUnknown."""
    context = EngineContext(settings.models_path)
    shipped = {
        name: make_engine(KeywordEngine, "residual_cnn", {"model": name}, context) for name in SHIPPED
    }
    return KeywordDesk(engine_from(KeywordEngine, settings), shipped, settings.live.max_keyword_streams)
