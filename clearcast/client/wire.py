"""What the Python client sends and how it reads the answers; shared by its blocking and its async form.

What lives here: requests as data, answers as our types, problem documents as our errors. What does not:
connections (`client`).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Literal, TypedDict
from urllib.parse import quote

import httpx

from clearcast.client.types import JobProblem
from clearcast.errors import (
    ClearCastError,
    FileFormatInvalid,
    Forbidden,
    InputError,
    NotFound,
    Overloaded,
    ServiceError,
    ServiceTimeout,
    ServiceUnavailable,
    Unauthenticated,
)
from clearcast.speech.json_file import read_json
from clearcast.speech.meeting import Meeting
from clearcast.speech.provenance import Provenance
from clearcast.speech.transcript import Segment, Transcript, Word

_DOCUMENT_FIELDS = frozenset(
    {"type", "title", "status", "detail", "code", "hint", "retryable", "request_id", "error"}
)


OnWarning = Callable[[str], None]
"""Told what the reader of a result should know, for example that the file was cut off."""


def ignore_warning(_text: str) -> None:
    """The listener of those who do not listen."""


@dataclass(frozen=True, slots=True)
class Call:
    """One request. `files` are read from disk while they are sent, afresh for each attempt."""

    method: str
    path: str
    fields: Mapping[str, str | Sequence[str]] = field(default_factory=dict)
    files: Sequence[tuple[str, Path]] = ()
    params: Mapping[str, str] = field(default_factory=dict)
    body: Any = None
    content: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    timeout_s: float | None = None  # the client's when not given

    def arguments(self, stack: ExitStack) -> dict[str, Any]:
        """Keyword arguments for httpx; opened files are closed with `stack`. Raises InputError."""
        opened = [(name, (path.name, stack.enter_context(_opened(path)))) for name, path in self.files]
        arguments = {
            "method": self.method,
            "url": self.path,
            "params": dict(self.params) or None,
            "data": dict(self.fields) or None,
            "files": opened or None,
            "json": self.body,
            "content": self.content,
            "headers": dict(self.headers) or None,
        }
        return arguments if self.timeout_s is None else {**arguments, "timeout": self.timeout_s}


def _opened(path: Path) -> BinaryIO:
    try:
        return path.open("rb")
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}.") from error


class MeetingFields(TypedDict, total=False):
    """Options of a meeting: how many speakers (exactly, or bounds), the language (None detects it), whether
    text is wanted besides turns and names, and words to expect in it."""

    num_speakers: int | None
    min_speakers: int | None
    max_speakers: int | None
    language: str | None
    output_transcriptions: bool
    hotwords: Sequence[str]


class TranscriptionFields(TypedDict, total=False):
    """Options of a transcription: the language (None detects it), text said before, words to expect, the
    sampling temperature in [0, 1], English text instead (`translate`), and the model's name, which OpenAI's
    API asks for."""

    language: str | None
    prompt: str | None
    hotwords: Sequence[str]
    temperature: float | None
    translate: bool
    model: str


class SearchFields(TypedDict, total=False):
    """What narrows a search: a speaker's name, ISO 8601 times of the recording, and the order."""

    speaker: str
    since: str
    until: str
    order: Literal["relevance", "date"]


def meeting_call(file: Path, response_format: str, options: MeetingFields) -> Call:
    fields = {name: _text(value) for name, value in options.items() if value not in (None, ())}
    return Call("POST", "/v1/meetings", {**fields, "response_format": response_format}, [("file", file)])


def transcription_call(file: Path, options: TranscriptionFields) -> Call:
    """A request for `verbose_json` with the times of segments and words."""
    translate = options.get("translate", False)
    given = {"prompt": options.get("prompt"), "temperature": options.get("temperature")}
    fields: dict[str, str | Sequence[str]] = {
        "model": options.get("model", "whisper-1"),
        "response_format": "verbose_json",
    }
    if not translate:  # the translation endpoint finds the language by itself
        given["language"] = options.get("language")
        fields["timestamp_granularities[]"] = ["segment", "word"]
    fields.update({name: _text(value) for name, value in given.items() if value is not None})
    if hotwords := options.get("hotwords"):
        fields["hotwords"] = _text(hotwords)
    path = "/v1/audio/translations" if translate else "/v1/audio/transcriptions"
    return Call("POST", path, fields, [("file", file)])


def add_voice_call(name: str, files: Sequence[str | Path]) -> Call:
    return Call("POST", "/v1/voices", {"name": name}, [("file", Path(file)) for file in files])


def import_voices_call(content: bytes, *, replace: bool) -> Call:
    params = {"mode": "replace" if replace else "merge"}
    return Call("POST", "/v1/voices/import", params=params, content=content)


def search_call(query: str, narrower: SearchFields, after: str | None) -> Call:
    params = {"q": query, **narrower} | ({} if after is None else {"after": after})
    return Call("GET", "/v1/search", params={name: str(value) for name, value in params.items()})


def create_key_call(label: str, scopes: Sequence[str]) -> Call:
    return Call("POST", "/v1/keys", body={"label": label, "scopes": list(scopes)})


def key_call(key_id: str) -> Call:
    return Call("DELETE", f"/v1/keys/{quote(key_id, safe='')}")


def voice_path(name: str) -> str:
    return f"/v1/voices/{quote(name, safe='')}"


def _text(value: object) -> str:
    if isinstance(value, list | tuple):
        return ",".join(map(str, value))
    return str(value).lower() if isinstance(value, bool) else str(value)


def read_meeting(response: httpx.Response) -> Meeting:
    result = read_json(response.content)
    if not isinstance(result, Meeting):
        raise FileFormatInvalid("The server did not answer with a meeting.")
    return result


def read_transcript(response: httpx.Response, on_warning: OnWarning) -> Transcript:
    """A transcript from OpenAI's `verbose_json`, with the fields that ClearCast adds to it."""
    return transcript_of(read_object(response), on_warning)


def transcript_of(values: Mapping[str, Any], on_warning: OnWarning) -> Transcript:
    """As `read_transcript`, of the JSON object. Raises FileFormatInvalid."""
    for warning in values.get("warnings") or ():
        on_warning(str(warning))
    try:
        words = [
            Word(word["start"], word["end"], word["word"], word.get("confidence"))
            for word in values.get("words") or ()
        ]
        return Transcript(
            segments=tuple(_segments(values.get("segments") or (), words)),
            language=values.get("language_code"),
            language_confidence=values.get("language_confidence"),
            duration_s=values["duration"],
            provenance=tuple(Provenance(**made_by) for made_by in values["provenance"]),
        )
    except (KeyError, TypeError) as error:
        raise FileFormatInvalid("The server did not answer with a transcript.") from error


def _segments(items: Sequence[Mapping[str, Any]], words: list[Word]) -> Iterator[Segment]:
    """Segments with their words: each word goes to the segment in which its middle lies."""
    for item in items:
        start_s, end_s = item["start"], item["end"]
        own = tuple(word for word in words if start_s <= (word.start_s + word.end_s) / 2 < end_s)
        yield Segment(
            start_s,
            end_s,
            item["text"].strip(),
            own,
            confidence=item.get("confidence"),
            no_speech_probability=item.get("no_speech_prob"),
        )


def read_object(response: httpx.Response) -> dict[str, Any]:
    values = _json(response)
    if not isinstance(values, dict):
        raise FileFormatInvalid("The server did not answer with a JSON object.")
    return values


def read_items(response: httpx.Response, key: str) -> list[dict[str, Any]]:
    """The list of a page such as `{"voices": [...]}` or OpenAI's `{"data": [...]}`."""
    values = read_object(response)
    items = values.get(key, values.get("data"))
    if not isinstance(items, list):
        raise FileFormatInvalid(f"The server's answer holds no list {key!r}.")
    return items


def _json(response: httpx.Response) -> Any:
    try:
        return response.json()
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise FileFormatInvalid("The server did not answer in JSON: is it a ClearCast?") from error


def error_of_task(problem: JobProblem) -> ClearCastError:
    """The error that ended a file of a job."""
    kind = _classes().get(problem.code, ClearCastError)
    return kind(problem.detail, hint=problem.hint)


def error_of(response: httpx.Response) -> ClearCastError:
    """The error that an answer stands for: by its code, and where there is none by its status."""
    try:
        document = response.json()
    except (json.JSONDecodeError, UnicodeDecodeError):
        document = {}
    if not isinstance(document, dict):
        document = {}
    waiting = {"retry_after_s": response.headers.get("Retry-After")}
    document = {name: value for name, value in waiting.items() if value is not None} | document
    return error_of_document(document, response.status_code)


def error_of_document(document: Mapping[str, Any], status: int) -> ClearCastError:
    """The error of a problem document, or of a WebSocket's message `error`, which has the same fields."""
    kind = _classes().get(str(document.get("code"))) or _class_of_status(status)
    message = str(document.get("detail") or f"The server answered {status}.")
    hint = document.get("hint")
    fields = {name: value for name, value in document.items() if name not in _DOCUMENT_FIELDS}
    if document.get("request_id"):
        fields["request_id"] = document["request_id"]
    if issubclass(kind, Overloaded):
        announced = fields.pop("retry_after_s", None)
        return kind(message, retry_after_s=_seconds(announced), hint=hint, **fields)
    return kind(message, hint=hint, **fields)


def _seconds(text: object) -> int:
    try:
        return max(0, int(str(text)))
    except ValueError:  # a date (RFC 9110 §10.2.3 allows one) or nothing
        return 5


def _class_of_status(status: int) -> type[ClearCastError]:
    known: dict[int, type[ClearCastError]] = {
        401: Unauthenticated,
        403: Forbidden,
        404: NotFound,
        408: ServiceTimeout,
        429: Overloaded,
        502: ServiceUnavailable,
        503: ServiceUnavailable,
        504: ServiceTimeout,
    }
    return known.get(status, InputError if status < 500 else ServiceError)


def _classes() -> dict[str, type[ClearCastError]]:
    """Every error class by its code."""
    found: dict[str, type[ClearCastError]] = {}
    waiting: list[type[ClearCastError]] = [ClearCastError]
    while waiting:
        kind = waiting.pop()
        found.setdefault(kind.code, kind)
        waiting.extend(kind.__subclasses__())
    return found
