"""`clearcast live`: what is said now, line by line."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
from rich.text import Text
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from clearcast.cli import gateway, options
from clearcast.cli.gateway import Gateway, gateway_of, read_message
from clearcast.cli.live_screen import LiveScreen
from clearcast.cli.live_sound import PIECE_BYTES, SAMPLE_RATE_HZ, file_sound, microphone, pumped
from clearcast.cli.options import ServerOptions
from clearcast.cli.session import Session, pass_session
from clearcast.errors import ServiceUnavailable

_COLOURS = ("cyan", "magenta", "yellow", "green", "blue", "bright_red", "bright_cyan", "bright_magenta")
_REGISTER_S = 6.0
_TRIES, _WAIT_S = 10, 1.0  # within the 30 s that a gateway waits for us
_KEPT_BYTES = 60 * 2 * SAMPLE_RATE_HZ  # of what was sent, for a gateway that has not got it


@click.command(short_help="What is said now, line by line, by name.")
@click.option("--file", type=options.file, metavar="FILE", help="A recording instead of the microphone.")
@click.option("--fast", is_flag=True, help="The recording as fast as it goes.")
@click.option("--register", multiple=True, metavar="NAME", help="Ask NAME to speak first.")
@click.option("--voices", type=click.Choice(["none", "account"]), default="none", help="Known ones. (none)")
@click.option("--device", metavar="NAME|NUMBER", help="The microphone; without it the system's.")
@click.option("--json", "as_json", is_flag=True, help="The gateway's messages, one on each line.")
@options.language
@gateway.option
@options.server
@pass_session
def live(
    session: Session,
    file: Path | None,
    fast: bool,
    register: tuple[str, ...],
    voices: str,
    device: str | None,
    as_json: bool,
    language: str | None,
    gateway: str | None,
    server: ServerOptions,
) -> None:
    """Transcribe the microphone, or a recording as if it were spoken now. Ctrl-C ends it, last line told.

    \b
    clearcast live
    clearcast live --register Sara --register Reza
    clearcast live --file talk.wav --json
    """
    sound = microphone(device) if file is None else file_sound(session, file, is_paced=not fast)
    hello = {"voices": voices, "options": {"language": language}}
    to = gateway_of(session, server, gateway)
    talk = _Talk(to, hello, register, _Screen(session, as_json=as_json, refresh_per_second=8))
    asyncio.run(pumped(sound, talk.pieces, talk.run))


class _Screen(LiveScreen):
    """Lines as they come; what is being said stands below them until it is one."""

    def _show(self, message: dict[str, Any]) -> None:
        if message["type"] == "transcription":
            self._put_below(Text())
            self._session.results.print(_line(message))
        elif message["type"] == "partial":
            text, stable = message["text"], message["stable"]
            self._put_below(Text.assemble(text[:stable], (text[stable:], "dim")))
        elif message["type"] == "lag":
            late = f"The recogniser is {message['lag_s']:.0f} s behind."
            self._session.note(late if message["is_behind"] else "The recogniser has caught up.", "yellow")

    def say(self, text: str) -> None:
        self._session.note(text, "yellow")


def _line(message: dict[str, Any]) -> Text:
    number, start_s = message.get("speaker_id"), int(message["start_s"])
    line = Text(f"{start_s // 60:02d}:{start_s % 60:02d}  ", style="dim")
    if number is not None:
        name = message.get("name") or f"Speaker {number + 1}"
        line.append(f"{name}: ", style=f"bold {_COLOURS[number % len(_COLOURS)]}")
    line.append(message["text"], style="none")
    return line


class _Talk:
    """One transcription over one connection, or several where they break.

    Attributes:
        pieces: the sound, and None at its end.
    """

    def __init__(
        self, to: Gateway, hello: dict[str, Any], register: Sequence[str], screen: _Screen
    ) -> None:
        self.pieces: asyncio.Queue[bytes | None] = asyncio.Queue(1)
        self._to, self._hello, self._register, self._screen = to, hello, register, screen
        self._resume: str | None = None
        self._after = 0  # the last line that was shown
        self._registered = 0
        self._sent = bytearray()  # the end of what was sent
        self._sent_from = 0  # the sample that begins with
        self._has_ended = False
        self._is_over = False

    async def run(self) -> None:
        """Until the sound ends. Raises ServiceUnavailable, and what the gateway refuses with."""
        tries = 0
        with self._screen:
            while not self._is_over:
                try:
                    async with self._to.connected("/v1/live") as socket:
                        await self._connection(socket)
                except (ConnectionClosed, ServiceUnavailable) as error:
                    tries += 1
                    if self._resume is None or tries > _TRIES:
                        if isinstance(error, ServiceUnavailable):
                            raise
                        raise ServiceUnavailable("The connection to the gateway broke off.") from error
                    self._screen.say("The connection broke; trying again …")
                    await asyncio.sleep(_WAIT_S)

    async def _connection(self, socket: ClientConnection) -> None:
        hello = {"type": "hello", "credential": self._to.api_key, "sample_rate_hz": SAMPLE_RATE_HZ}
        await _tell(socket, **hello, **self._hello, resume=self._resume, after=self._after)
        told = await self._until(socket, "model_loaded")
        if told["resume"] == self._resume:
            await self._send_again(socket, told["received_samples"])
        else:  # the first connection, or a gateway that has forgotten us
            self._resume = told["resume"]
            self._after = self._registered = self._sent_from = 0
            self._sent.clear()
        for number, name in enumerate(self._register):
            if number >= self._registered:
                await self._register_voice(socket, number, name)
                self._registered += 1
        await _tell(socket, type="start_transcription")
        sending = asyncio.create_task(self._send(socket))
        try:
            await self._until(socket, "closed")
            self._is_over = True
        finally:
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)

    async def _register_voice(self, socket: ClientConnection, number: int, name: str) -> None:
        """Ask until it is good enough."""
        while not self._has_ended:
            await _tell(socket, type="start_speaker_registration", speaker_id=number, name=name)
            await self._until(socket, "speaker_registration_started")
            self._screen.say(f"{name}, please speak for {_REGISTER_S:.0f} seconds …")
            left_bytes = round(_REGISTER_S * SAMPLE_RATE_HZ) * 2
            while left_bytes > 0 and (piece := await self._next()) is not None:
                await self._send_piece(socket, piece)
                left_bytes -= len(piece)
            await _tell(socket, type="complete_speaker_registration", speaker_id=number)
            answer = await self._until(
                socket, "speaker_registration_completed", "speaker_registration_failed"
            )
            if answer["type"] == "speaker_registration_completed":
                self._screen.say(f"{name} is known now.")
                return
            self._screen.say(f"{answer['message']} Once more.")

    async def _next(self) -> bytes | None:
        if self._has_ended:
            return None
        piece = await self.pieces.get()
        self._has_ended = piece is None
        return piece

    async def _send(self, socket: ClientConnection) -> None:
        while (piece := await self._next()) is not None:
            await self._send_piece(socket, piece)
        await _tell(socket, type="close")

    async def _send_piece(self, socket: ClientConnection, piece: bytes) -> None:
        self._sent += piece
        too_many = len(self._sent) - _KEPT_BYTES
        if too_many > 0:
            del self._sent[:too_many]
            self._sent_from += too_many // 2
        await socket.send(piece)

    async def _send_again(self, socket: ClientConnection, received_samples: int) -> None:
        """What the gateway has not got of what was sent."""
        missing = bytes(self._sent[max(0, 2 * (received_samples - self._sent_from)) :])
        for at in range(0, len(missing), PIECE_BYTES):
            await socket.send(missing[at : at + PIECE_BYTES])

    async def _until(self, socket: ClientConnection, *kinds: str) -> dict[str, Any]:
        """Show what comes up to a message of one of these kinds, and give that. Raises what is refused."""
        while True:
            message = read_message(await socket.recv())
            if message["type"] == "transcription":
                self._after = message["id"]
            self._screen.show(message)
            if message["type"] in kinds:
                return message


async def _tell(socket: ClientConnection, **message: Any) -> None:
    await socket.send(json.dumps(message))
