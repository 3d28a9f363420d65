"""The clients themselves: what is asked for in one call.

What does not live here: jobs (`jobs`), files (`files`), live rooms (`rooms`), the form of requests
and answers (`wire`) and connections (`transport`).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self, Unpack

from clearcast.client.files import AsyncFiles, Files
from clearcast.client.jobs import AsyncJobs, Jobs
from clearcast.client.rooms import AsyncRooms, Rooms
from clearcast.client.transport import AsyncTransport, Transport
from clearcast.client.types import Moment
from clearcast.client.wire import (
    Call,
    MeetingFields,
    OnWarning,
    SearchFields,
    TranscriptionFields,
    add_voice_call,
    create_key_call,
    ignore_warning,
    import_voices_call,
    key_call,
    meeting_call,
    read_items,
    read_meeting,
    read_object,
    read_transcript,
    search_call,
    transcription_call,
    voice_path,
)
from clearcast.errors import Overloaded, ServiceTimeout, ServiceUnavailable
from clearcast.speech.meeting import Meeting
from clearcast.speech.transcript import Transcript


class ClearCast:
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
        self._transport = Transport(base_url, api_key, **options)
        self._send = self._transport.send
        self.base_url = self._transport.base_url
        self.files = Files(self._transport)
        self.jobs = Jobs(self._transport)
        self.rooms = Rooms(self._transport)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._transport.close()

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

    def search(self, query: str, **narrower: Unpack[SearchFields]) -> Iterator[Moment]:
        """The moments at which something was said, in the transcripts of your jobs."""
        after: str | None = None
        while True:
            response = self._send(search_call(query, narrower, after))
            yield from map(Moment.of, read_items(response, "moments"))
            after = read_object(response).get("next")
            if after is None:
                return

    def me(self) -> dict[str, Any]:
        """Whose key this is, and what it may do."""
        return read_object(self._send(Call("GET", "/v1/auth/me")))

    def keys(self) -> list[dict[str, Any]]:
        """Your API keys, without the keys themselves."""
        return read_items(self._send(Call("GET", "/v1/keys")), "keys")

    def create_key(self, label: str = "", scopes: Sequence[str] = ("*",)) -> dict[str, Any]:
        """Make a key; `key` in the answer is shown this once."""
        return read_object(self._send(create_key_call(label, scopes)))

    def revoke_key(self, key_id: str) -> None:
        self._send(key_call(key_id))

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


class AsyncClearCast:
    """The same client for asynchronous code. Use it with `async with`, or await `close`."""

    def __init__(self, base_url: str, api_key: str | None = None, **options: float) -> None:
        self._transport = AsyncTransport(base_url, api_key, **options)
        self._send = self._transport.send
        self.base_url = self._transport.base_url
        self.files = AsyncFiles(self._transport)
        self.jobs = AsyncJobs(self._transport)
        self.rooms = AsyncRooms(self._transport)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        await self._transport.close()

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

    async def search(self, query: str, **narrower: Unpack[SearchFields]) -> AsyncIterator[Moment]:
        """As `ClearCast.search`."""
        after: str | None = None
        while True:
            response = await self._send(search_call(query, narrower, after))
            for values in read_items(response, "moments"):
                yield Moment.of(values)
            after = read_object(response).get("next")
            if after is None:
                return

    async def me(self) -> dict[str, Any]:
        """As `ClearCast.me`."""
        return read_object(await self._send(Call("GET", "/v1/auth/me")))

    async def keys(self) -> list[dict[str, Any]]:
        """As `ClearCast.keys`."""
        return read_items(await self._send(Call("GET", "/v1/keys")), "keys")

    async def create_key(self, label: str = "", scopes: Sequence[str] = ("*",)) -> dict[str, Any]:
        """As `ClearCast.create_key`."""
        return read_object(await self._send(create_key_call(label, scopes)))

    async def revoke_key(self, key_id: str) -> None:
        await self._send(key_call(key_id))

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


Client = ClearCast
AsyncClient = AsyncClearCast
