"""The Python client of a ClearCast server.

    with ClearCast("http://127.0.0.1:8000", api_key="cc_…") as client:
        meeting = client.meeting("call.mp3", language="en")
        for segment in meeting.transcript.segments:
            print(segment.speaker, segment.text)

`AsyncClearCast` is the same with `async with` and `await`. Files are streamed from disk. Errors are those
of `clearcast.errors`, whatever the server answers; a busy server is asked again after the time it names.
What does not live here: the form of requests and answers (`client_wire`).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self, Unpack
from urllib.parse import urlsplit

import httpx

from clearcast.client_wire import (
    Call,
    MeetingFields,
    OnWarning,
    TranscriptionFields,
    add_voice_call,
    error_of,
    ignore_warning,
    import_voices_call,
    meeting_call,
    read_items,
    read_meeting,
    read_object,
    read_transcript,
    transcription_call,
    voice_path,
)
from clearcast.errors import Overloaded, ServiceTimeout, ServiceUnavailable
from clearcast.speech.meeting import Meeting
from clearcast.speech.transcript import Transcript

_CONNECT_TIMEOUT_S = 10.0
_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


class _Patience:
    """How long a busy server is waited for, over all attempts of one call."""

    def __init__(self, total_s: float) -> None:
        self.left_s = total_s

    def wait_s(self, busy: Overloaded) -> float:
        """Seconds to wait before the next attempt. Raises `busy` when patience ends before."""
        pause_s = max(0.1, float(busy.retry_after_s))
        if pause_s > self.left_s:
            raise busy
        self.left_s -= pause_s
        return pause_s


class _Base:
    def __init__(
        self,
        base_url: str,
        api_key: str | None = None,
        *,
        timeout_s: float = 3600.0,
        busy_wait_s: float = 120.0,
    ) -> None:
        self.base_url = base_url.rstrip("/")
        self._busy_wait_s = busy_wait_s
        self._settings: dict[str, Any] = {
            "base_url": self.base_url,
            "headers": {} if api_key is None else {"Authorization": f"Bearer {api_key}"},
            "timeout": httpx.Timeout(timeout_s, connect=_CONNECT_TIMEOUT_S),
            # A proxy of the environment stands elsewhere and cannot reach this machine's loopback.
            "trust_env": urlsplit(base_url).hostname not in _LOOPBACK,
        }

    def _translated(self, error: httpx.HTTPError | httpx.InvalidURL) -> ServiceTimeout | ServiceUnavailable:
        if isinstance(error, httpx.TimeoutException) and not isinstance(error, httpx.ConnectTimeout):
            return ServiceTimeout(f"{self.base_url} did not answer in time.")
        return ServiceUnavailable(
            f"No ClearCast server can be reached at {self.base_url} ({error or type(error).__name__}).",
            hint="Start one with `clearcast serve`, or check the address.",
        )


class ClearCast(_Base):
    """A blocking client. Use it as a context manager, or call `close`.

    Args:
        base_url: for example "http://127.0.0.1:8000".
        api_key: as `clearcast keys create` printed it; None where the server asks for none.
        timeout_s: seconds one answer may take.
        busy_wait_s: seconds in all to wait for a server that is overloaded before giving up.

    All methods raise ServiceUnavailable (nobody there), ServiceTimeout, Overloaded (busy for longer than
    `busy_wait_s`), Unauthenticated, and what the server reports.
    """

    def __init__(self, base_url: str, api_key: str | None = None, **options: float) -> None:
        super().__init__(base_url, api_key, **options)
        self._http = httpx.Client(**self._settings)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._http.close()

    def _send(self, call: Call) -> httpx.Response:
        patience = _Patience(self._busy_wait_s)
        while True:
            try:
                with ExitStack() as stack:
                    response = self._http.request(**call.arguments(stack))
            except (httpx.HTTPError, httpx.InvalidURL) as error:
                raise self._translated(error) from error
            if response.is_success:
                return response
            problem = error_of(response)
            if not isinstance(problem, Overloaded):
                raise problem
            time.sleep(patience.wait_s(problem))

    def meeting(self, file: str | Path, **options: Unpack[MeetingFields]) -> Meeting:
        """Who said what, by name."""
        return read_meeting(self._send(meeting_call(Path(file), "json", options)))

    def meeting_text(self, file: str | Path, response_format: str, **options: Unpack[MeetingFields]) -> str:
        """The meeting as the text of a file: "json", "txt", "srt", "vtt" or "rttm"."""
        return self._send(meeting_call(Path(file), response_format, options)).text

    def transcribe(
        self,
        file: str | Path,
        on_warning: OnWarning = ignore_warning,
        **options: Unpack[TranscriptionFields],
    ) -> Transcript:
        """What is said, with the times of words."""
        return read_transcript(self._send(transcription_call(Path(file), options)), on_warning)

    def voices(self) -> list[dict[str, Any]]:
        """The enrolled voices: name, number of samples and the like, without voiceprints."""
        return read_items(self._send(Call("GET", "/v1/voices")), "voices")

    def add_voice(self, name: str, files: Sequence[str | Path]) -> dict[str, Any]:
        """Enrol a voice from recordings in which this person alone speaks.

        The answer holds `voice`, `speech_s` (seconds of speech found) and `remarks` on the recordings.
        """
        return read_object(self._send(add_voice_call(name, files)))

    def rename_voice(self, name: str, new_name: str) -> dict[str, Any]:
        return read_object(self._send(Call("PATCH", voice_path(name), body={"name": new_name})))

    def erase_voice(self, name: str) -> dict[str, Any]:
        """Delete a voice with all its voiceprints; the answer is the proof."""
        return read_object(self._send(Call("DELETE", voice_path(name))))

    def export_voices(self) -> bytes:
        """All voices as a JSON voice file."""
        return self._send(Call("GET", "/v1/voices/export")).content

    def import_voices(self, content: bytes, *, replace: bool = False) -> list[dict[str, Any]]:
        """Add the voices of a voice file, or put them in the place of all; lists those there are then."""
        return read_items(self._send(import_voices_call(content, replace=replace)), "voices")

    def models(self) -> list[dict[str, Any]]:
        """The models that the server runs."""
        return read_items(self._send(Call("GET", "/v1/models")), "data")

    def is_ready(self) -> bool:
        """Whether the server answers and all of it is ready; False also when nobody is there."""
        try:
            self._send(Call("GET", "/health/ready"))
        except (Overloaded, ServiceTimeout, ServiceUnavailable):
            return False
        return True


class AsyncClearCast(_Base):
    """The same client for asynchronous code. Use it with `async with`, or await `close`."""

    def __init__(self, base_url: str, api_key: str | None = None, **options: float) -> None:
        super().__init__(base_url, api_key, **options)
        self._http = httpx.AsyncClient(**self._settings)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        await self._http.aclose()

    async def _send(self, call: Call) -> httpx.Response:
        patience = _Patience(self._busy_wait_s)
        while True:
            try:
                with ExitStack() as stack:
                    response = await self._http.request(**call.arguments(stack))
            except (httpx.HTTPError, httpx.InvalidURL) as error:
                raise self._translated(error) from error
            if response.is_success:
                return response
            problem = error_of(response)
            if not isinstance(problem, Overloaded):
                raise problem
            await asyncio.sleep(patience.wait_s(problem))

    async def meeting(self, file: str | Path, **options: Unpack[MeetingFields]) -> Meeting:
        """As `ClearCast.meeting`."""
        return read_meeting(await self._send(meeting_call(Path(file), "json", options)))

    async def meeting_text(
        self, file: str | Path, response_format: str, **options: Unpack[MeetingFields]
    ) -> str:
        """As `ClearCast.meeting_text`."""
        return (await self._send(meeting_call(Path(file), response_format, options))).text

    async def transcribe(
        self,
        file: str | Path,
        on_warning: OnWarning = ignore_warning,
        **options: Unpack[TranscriptionFields],
    ) -> Transcript:
        """As `ClearCast.transcribe`."""
        return read_transcript(await self._send(transcription_call(Path(file), options)), on_warning)

    async def voices(self) -> list[dict[str, Any]]:
        """As `ClearCast.voices`."""
        return read_items(await self._send(Call("GET", "/v1/voices")), "voices")

    async def add_voice(self, name: str, files: Sequence[str | Path]) -> dict[str, Any]:
        """As `ClearCast.add_voice`."""
        return read_object(await self._send(add_voice_call(name, files)))

    async def rename_voice(self, name: str, new_name: str) -> dict[str, Any]:
        return read_object(await self._send(Call("PATCH", voice_path(name), body={"name": new_name})))

    async def erase_voice(self, name: str) -> dict[str, Any]:
        """As `ClearCast.erase_voice`."""
        return read_object(await self._send(Call("DELETE", voice_path(name))))

    async def export_voices(self) -> bytes:
        """As `ClearCast.export_voices`."""
        return (await self._send(Call("GET", "/v1/voices/export"))).content

    async def import_voices(self, content: bytes, *, replace: bool = False) -> list[dict[str, Any]]:
        """As `ClearCast.import_voices`."""
        return read_items(await self._send(import_voices_call(content, replace=replace)), "voices")

    async def models(self) -> list[dict[str, Any]]:
        """As `ClearCast.models`."""
        return read_items(await self._send(Call("GET", "/v1/models")), "data")

    async def is_ready(self) -> bool:
        """As `ClearCast.is_ready`."""
        try:
            await self._send(Call("GET", "/health/ready"))
        except (Overloaded, ServiceTimeout, ServiceUnavailable):
            return False
        return True
