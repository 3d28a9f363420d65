"""`/v1/live`: live transcription over a WebSocket.

What lives here: its route, whose sitting it is, and the parts that all sittings share. What does not: the
protocol (`streaming/live_text/talk.py`), the models, which are those of the platform.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Sequence

from fastapi import APIRouter, WebSocket
from starlette.websockets import WebSocketState

from clearcast.accounts.principal import Principal
from clearcast.accounts.scopes import covers
from clearcast.audio.recording import Clip
from clearcast.engines.engine import EngineContext
from clearcast.engines.transcribe.contract import TranscriptionEngine
from clearcast.engines.voice_activity.contract import VoiceActivityEngine
from clearcast.engines.voice_activity.silero import SileroEngine, SileroOptions
from clearcast.errors import Forbidden, MessageMalformed, Unauthenticated
from clearcast.local import engine_from
from clearcast.settings import DeploymentSettings, Settings
from clearcast.storage.voices import Voice, VoiceSample
from deployments.ingress.access import known_principal
from deployments.ingress.state import IngressState
from deployments.live.sockets import SocketWire, bearer_of
from deployments.live.state import live_state_of
from pipelines.enrol import run_enrolment
from streaming.live_text.desk import RecognitionDesk
from streaming.live_text.sitting import LiveParts, Person
from streaming.live_text.speakers import KnownVoice
from streaming.live_text.talk import LiveTalk
from streaming.wire import WireClosed

router = APIRouter()

_SCOPE = "live:write"


class SoundSocket:
    """`SoundWire` over an accepted WebSocket."""

    def __init__(self, socket: WebSocket) -> None:
        self._socket = socket
        self._text = SocketWire(socket)

    async def receive(self) -> str | bytes:
        """The next message, text or sound. Raises WireClosed."""
        if self._socket.client_state is not WebSocketState.CONNECTED:
            raise WireClosed
        message = await self._socket.receive()
        if message["type"] == "websocket.disconnect":
            raise WireClosed
        content = message.get("bytes")
        if content is None:
            content = message.get("text")
        if not isinstance(content, str | bytes):
            raise MessageMalformed("Messages are text or bytes.")
        return content

    async def send(self, text: str) -> None:
        await self._text.send(text)

    async def close(self, code: int) -> None:
        await self._text.close(code)


@router.websocket("/v1/live")
async def live_socket(socket: WebSocket) -> None:
    state = live_state_of(socket)
    await socket.accept()
    ask = functools.partial(introduce, state.ingress)
    await LiveTalk(SoundSocket(socket), state.sittings, ask, bearer_of(socket)).run()


async def live_parts(state: IngressState, listener: SileroEngine) -> LiveParts:
    """What the sittings of one process share; `listener` is loaded. Raises EngineUnknown."""
    services, settings = state.services, state.settings
    recogniser = engine_from(TranscriptionEngine, settings)

    async def make_sample(clips: Sequence[Clip]) -> VoiceSample:
        return (await run_enrolment(services, clips)).sample

    return LiveParts(
        desk=RecognitionDesk(
            services.transcriber,
            at_once(settings.serve.transcriber, recogniser),
            is_sooner_with_less=recogniser.is_sooner_with_less,
            stops_soon=recogniser.stops_soon,
        ),
        embedder=services.embedder,
        finder=services.speech_finder,
        new_scorer=listener.new_scorer,
        make_sample=make_sample,
        enrolled=functools.partial(enrolled_voices, state),
        recogniser=recogniser.provenance,
        languages=None if recogniser.languages is None else tuple(sorted(recogniser.languages)),
    )


def at_once(replicas: DeploymentSettings, recogniser: TranscriptionEngine) -> int:
    """As many as there may be replicas; where one does several, what those do that there always are."""
    return max(replicas.max_replicas, max(1, replicas.min_replicas) * recogniser.live_at_once)


async def listener_of(settings: Settings) -> SileroEngine:
    """What hears speech in sound that comes, in this process: a stream's network has a memory. With the
    profile's options where that has the same engine. Raises ModelMissing."""
    engine = engine_from(VoiceActivityEngine, settings)
    if not isinstance(engine, SileroEngine):
        engine = SileroEngine(SileroOptions(), EngineContext(settings.models_path))
    await asyncio.to_thread(engine.load)
    return engine


async def introduce(state: IngressState, credential: str | None, with_voices: bool) -> Person:
    """See `streaming.live_text.talk.Introduce`. Raises Unauthenticated, Forbidden, RateLimited."""
    principal = await _principal(state, credential)
    if not covers(principal.scopes, (_SCOPE,)):
        raise Forbidden("This key may not do that.", hint=f"It needs the scope {_SCOPE}.", scope=_SCOPE)
    if principal.kind != "none":
        limit = state.settings.accounts.requests_per_minute
        await state.accounts.limits.hit("user", principal.user_id, limit)
    known = await enrolled_voices(state, principal.user_id) if with_voices else ()

    def save(name: str, sample: VoiceSample) -> None:
        state.voices.put_sample(principal.user_id, name, sample)

    return Person(principal.user_id, known, save)


async def enrolled_voices(state: IngressState, user_id: str) -> tuple[KnownVoice, ...]:
    """Those of this account that the embedder of now made."""
    voices = await asyncio.to_thread(state.voices.list, user_id)
    made_by, _ = await state.services.embedder.describe()
    return tuple(voice for one in voices if (voice := _known(one, made_by.model)) is not None)


async def _principal(state: IngressState, credential: str | None) -> Principal:
    principal = await known_principal(state, credential)
    if principal is not None:
        return principal
    if not credential:
        raise Unauthenticated("A credential is needed.", hint="Send a key or an access token in hello.")
    raise Unauthenticated("The key or token is not known, or has ended.")


def _known(voice: Voice, model: str) -> KnownVoice | None:
    voiceprint = voice.direction(model)
    return None if voiceprint is None else KnownVoice(voice.name, voiceprint)
