"""`clearcast keywords`: which keywords are said now."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import click
from rich.text import Text
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from clearcast.cli import gateway, options
from clearcast.cli.gateway import Gateway, gateway_of, read_message
from clearcast.cli.live_screen import LiveScreen
from clearcast.cli.live_sound import SAMPLE_RATE_HZ, file_sound, microphone, pumped
from clearcast.cli.options import ServerOptions
from clearcast.cli.session import Session, pass_session
from clearcast.errors import ServiceUnavailable

_PIECE_S = 0.02  # a word waits for no more than that


@click.command(short_help="Which keywords are said now, each as it ends.")
@click.option("--file", type=options.file, metavar="FILE", help="A recording instead of the microphone.")
@click.option("--fast", is_flag=True, help="The recording as fast as it goes.")
@click.option("--device", metavar="NAME|NUMBER", help="The microphone; without it the system's.")
@click.option("--model", "-m", metavar="NAME", help="Of the gateway's; without it the one of its profile.")
@click.option("--min-silence", type=float, metavar="S", help="A pause that ends a word, seconds. (0.2)")
@click.option("--silence-db", type=float, metavar="DB", help="What is quieter is silence, such as -40.")
@click.option("--window", type=float, metavar="S", help="Longer stretches are cut. (1)")
@click.option("--min-probability", type=float, metavar="P", help="Less likely words are unknown.")
@click.option("--unknown", "keep_unknown", is_flag=True, help="Tell other words too, as unknown.")
@click.option("--json", "as_json", is_flag=True, help="The gateway's messages, one on each line.")
@gateway.option
@options.server
@pass_session
def keywords(
    session: Session,
    file: Path | None,
    fast: bool,
    device: str | None,
    model: str | None,
    min_silence: float | None,
    silence_db: float | None,
    window: float | None,
    min_probability: float | None,
    keep_unknown: bool,
    as_json: bool,
    gateway: str | None,
    server: ServerOptions,
) -> None:
    """Spot keywords in the microphone, or in a recording as if it were spoken now. Ctrl-C ends it.

    For recordings as they lie there are `clearcast classify` and its tables.

    \b
    clearcast keywords
    clearcast keywords --min-silence 0.5 --silence-db -40
    clearcast keywords --file digits.wav --json
    """
    chosen = {
        "min_silence_s": min_silence,
        "silence_db": silence_db,
        "window_s": window,
        "min_probability": min_probability,
    }
    wanted = {name: value for name, value in chosen.items() if value is not None}
    hello = {"model": model, "options": {**wanted, "keep_unknown": keep_unknown}}
    sound = (
        microphone(device, _PIECE_S)
        if file is None
        else file_sound(session, file, is_paced=not fast, piece_s=_PIECE_S)
    )
    spotting = _Spotting(
        gateway_of(session, server, gateway),
        hello,
        _Screen(session, as_json=as_json, refresh_per_second=20),
    )
    asyncio.run(pumped(sound, spotting.pieces, spotting.run))


class _Screen(LiveScreen):
    """Words when they are certain; the one that may go on stands below them."""

    def _show(self, message: dict[str, Any]) -> None:
        if message["type"] == "word":
            is_certain = message["is_final"]
            self._put_below(Text() if is_certain else Text(message["label"], style="dim"))
            if is_certain and not message["is_taken_back"]:
                self._session.results.print(_line(message))


def _line(message: dict[str, Any]) -> Text:
    times = f"{message['start_s']:8.2f} {message['end_s']:8.2f}  "
    return Text.assemble(
        (times, "dim"), (message["label"], "bold"), (f"  {message['probability']:.2f}", "dim")
    )


class _Spotting:
    """One connection. Nothing is kept at the gateway when it breaks, so that is an error.

    Attributes:
        pieces: the sound, and None at its end.
    """

    def __init__(self, to: Gateway, hello: dict[str, Any], screen: _Screen) -> None:
        self.pieces: asyncio.Queue[bytes | None] = asyncio.Queue(1)
        self._to, self._hello, self._screen = to, hello, screen

    async def run(self) -> None:
        """Until the sound ends. Raises ServiceUnavailable, and what the gateway refuses with."""
        try:
            with self._screen:
                async with self._to.connected("/v1/keywords") as socket:
                    await self._connection(socket)
        except ConnectionClosed as error:
            raise ServiceUnavailable("The connection to the gateway broke off.") from error

    async def _connection(self, socket: ClientConnection) -> None:
        hello = {"type": "hello", "credential": self._to.api_key, "sample_rate_hz": SAMPLE_RATE_HZ}
        await socket.send(json.dumps({**hello, **self._hello}))
        self._screen.show(read_message(await socket.recv()))
        sending = asyncio.create_task(self._send(socket))
        try:
            while (message := read_message(await socket.recv()))["type"] != "closed":
                self._screen.show(message)
            self._screen.show(message)
        finally:
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)

    async def _send(self, socket: ClientConnection) -> None:
        while (piece := await self.pieces.get()) is not None:
            await socket.send(piece)
        await socket.send(json.dumps({"type": "close"}))
