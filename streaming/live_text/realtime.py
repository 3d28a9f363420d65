"""One connection of an OpenAI Realtime client that wants a transcription.

What lives here: what each event of the client brings about. What does not: the events themselves
(`realtime_events`), WebSockets (`deployments/live`).

With `turn_detection` null the client says by `input_audio_buffer.commit` what belongs together; each commit
is then one item. Otherwise each line is one.
"""

from __future__ import annotations

import asyncio
import json
import logging
import secrets
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from clearcast.errors import ClearCastError, OptionInvalid
from streaming.live_text import messages as say
from streaming.live_text.options import Options
from streaming.live_text.realtime_events import Event, Items, RealtimeSession, read_session, read_sound
from streaming.live_text.sitting import Person, Sitting
from streaming.live_text.sittings import Sittings
from streaming.live_text.talk import Introduce, SoundWire, send_all
from streaming.messages import ErrorMessage, Message, read_object
from streaming.outbox import Outbox
from streaming.wire import TalkLimit, WireClosed, close_code, error_message

logger = logging.getLogger(__name__)


class _Told(Message):
    """An event of ours among the messages of the outbox."""

    event: dict[str, Any]


class RealtimeTalk:
    """A client from the beginning to the end of its connection."""

    def __init__(
        self, wire: SoundWire, sittings: Sittings, introduce: Introduce, credential: str | None
    ) -> None:
        self._wire, self._sittings, self._introduce = wire, sittings, introduce
        self._credential = credential
        self._outbox = Outbox()
        self._limit = TalkLimit()
        self._id = secrets.token_hex(8)
        self._items = Items(self._id)
        self._session = RealtimeSession()
        self._sitting: Sitting | None = None
        self._held: list[say.Transcription] = []  # since the last commit, where the client commits

    async def run(self) -> None:
        """Until the client goes. Whatever goes wrong is told to it, not raised."""
        writing = asyncio.create_task(send_all(self._outbox, self._wire, self._encode))
        code = 1000
        try:
            person = await self._introduce(self._credential, False)
            self._tell("session.created", session=self._view())
            await self._read(person)
        except WireClosed:
            pass
        except ClearCastError as error:
            self._outbox.put(error_message(error))
            code = close_code(error)
        except Exception:
            logger.exception("a realtime transcription failed")
            code = 1011
        finally:
            if self._sitting is not None:
                await self._sittings.end(self._sitting)
            self._outbox.close(code)
            await writing

    async def _read(self, person: Person) -> None:
        while True:
            received = await self._wire.receive()
            if isinstance(received, bytes):
                raise OptionInvalid("Sound comes as base64 in input_audio_buffer.append.")
            event = read_object(received)
            try:
                await self._act(person, event)
            except OptionInvalid as error:
                told = {"type": "invalid_request_error", "code": error.code, "message": str(error)}
                event_id = event.get("event_id")
                self._tell(
                    "error", error=told | {"event_id": event_id if isinstance(event_id, str) else None}
                )

    async def _act(self, person: Person, event: Event) -> None:
        kind = event.get("type")
        if kind == "input_audio_buffer.append":
            await self._append(person, event)
            return
        self._limit.take()
        match kind:
            case "session.update" | "transcription_session.update":
                await self._update(event.get("session"))
                self._tell(f"{str(kind).removesuffix('.update')}.updated", session=self._view())
            case "input_audio_buffer.commit":
                await self._commit()
            case "input_audio_buffer.clear":
                await self._clear()
            case _:
                raise OptionInvalid("There is no such event for transcriptions.", option="type")

    async def _append(self, person: Person, event: Event) -> None:
        if self._sitting is None:
            session = self._session
            hello = say.Hello(
                type="hello",
                sample_rate_hz=session.sample_rate_hz,
                options=Options(**asdict(session.options)),
            )
            self._sitting = self._sittings.enter(person, hello, self._outbox)
            await self._sitting.start()
        await self._sitting.push(read_sound(event.get("audio")))

    async def _update(self, wanted: object) -> None:
        """Holds for the sound from here on."""
        session = read_session(wanted)
        session.options  # noqa: B018 - raises where they are wrong
        sitting, self._sitting = self._sitting, None
        self._session = session
        if sitting is not None:
            await sitting.stop()
            await self._sittings.end(sitting)

    async def _commit(self) -> None:
        if self._sitting is not None:
            await self._sitting.flush()
        self._tell("commit")  # in order with the lines, which wait to be written

    async def _clear(self) -> None:
        if self._sitting is not None:
            await self._sitting.flush()
        self._tell("clear")

    def _view(self) -> Event:
        return self._session.as_event() | {
            "id": f"sess_{self._id}",
            "object": "realtime.transcription_session",
        }

    def _tell(self, kind: str, **fields: Any) -> None:
        self._outbox.put(_Told(event={"type": kind, **fields}))

    def _encode(self, item: Message) -> Iterator[str]:
        for event in self._events(item):
            named = {"event_id": f"event_{secrets.token_hex(8)}", **event}
            yield json.dumps(named, ensure_ascii=False)

    def _events(self, item: Message) -> Iterator[Event]:
        match item:
            case _Told():
                yield from self._own_events(item.event)
            case say.PartialText():
                yield from self._items.of_partial(item)
            case say.Transcription() if self._session.turns is None:
                self._held.append(item)
            case say.Transcription():
                yield from self._items.of_line(item)
            case ErrorMessage():
                yield from self._items.of_failure(item)

    def _own_events(self, event: Event) -> Iterator[Event]:
        if event["type"] not in ("commit", "clear"):
            yield event
            return
        held, self._held = self._held, []
        if event["type"] == "clear":
            yield {"type": "input_audio_buffer.cleared"}
        elif self._session.turns is None:
            text = " ".join(line.text for line in held)
            start_s = held[0].start_s if held else 0.0
            yield from self._items.of_text(text, start_s, held[-1].end_s if held else 0.0)
