"""Live transcription for clients that were made for others: OpenAI's Realtime, WhisperLiveKit.

What lives here: their routes. What does not: what they say (`streaming/live_text/realtime.py`,
`whisper_livekit.py`).
"""

from __future__ import annotations

import asyncio
import functools
import shutil

from fastapi import APIRouter, WebSocket

from clearcast.errors import ClearCastError, OptionInvalid
from clearcast.ids import new_id
from deployments.live.live_text import SoundSocket, introduce
from deployments.live.sockets import bearer_of
from deployments.live.state import live_state_of
from streaming.live_text.realtime import RealtimeTalk
from streaming.live_text.whisper_livekit import WhisperLiveKitTalk, read_config
from streaming.wire import close_code

router = APIRouter()

_REALTIME = "realtime"
_BROWSER_KEY = "openai-insecure-api-key."  # browsers can set no header


@router.websocket("/v1/realtime")
async def realtime_socket(socket: WebSocket) -> None:
    state = live_state_of(socket)
    offered: list[str] = socket.scope.get("subprotocols", [])
    await socket.accept(_REALTIME if _REALTIME in offered else None)
    if socket.query_params.get("intent") != "transcription":
        error = OptionInvalid(
            "Only transcription is spoken here.", hint="Connect with intent=transcription."
        )
        await _refuse(socket, error)
        return
    keys = [one.removeprefix(_BROWSER_KEY) for one in offered if one.startswith(_BROWSER_KEY)]
    credential = bearer_of(socket) or next(iter(keys), None)
    ask = functools.partial(introduce, state.ingress)
    await RealtimeTalk(SoundSocket(socket), state.sittings, ask, credential).run()


@router.websocket("/asr")
async def asr_socket(socket: WebSocket) -> None:
    state = live_state_of(socket)
    await socket.accept()
    try:
        config = read_config({**socket.query_params, "credential": bearer_of(socket)})
    except OptionInvalid as error:
        await _refuse(socket, error)
        return
    folder = state.streams.folder / new_id("live")
    await asyncio.to_thread(folder.mkdir)
    ask = functools.partial(introduce, state.ingress)
    talk = WhisperLiveKitTalk(
        SoundSocket(socket), state.sittings, ask, state.ingress.settings.audio, config
    )
    try:
        await talk.run(folder)
    finally:
        await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)


async def _refuse(socket: WebSocket, error: ClearCastError) -> None:
    await socket.send_json({"type": "error", "error": {"code": error.code, "message": str(error)}})
    await socket.close(close_code(error))
