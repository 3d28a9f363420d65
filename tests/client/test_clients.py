"""The Python client against a real HTTP server that answers as it is told."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from clearcast import errors
from clearcast.client import AsyncClearCast, ClearCast
from clearcast.errors import (
    AudioEmpty,
    ClearCastError,
    InputError,
    Overloaded,
    ServiceTimeout,
    ServiceUnavailable,
    Unauthenticated,
)
from clearcast.speech.json_file import write_json
from clearcast.speech.meeting import Meeting, SpeakerIdentity
from clearcast.speech.provenance import Provenance
from clearcast.speech.transcript import Segment, Transcript, Word
from clearcast.speech.turns import Diarization, Turn

MEETING = Meeting(
    Diarization((Turn(0.0, 1.5, "سارا"),), 2.0, Provenance("diarize", "vbx", "lda")),
    (SpeakerIdentity("SPEAKER_00", 1.5, "identified", "سارا", 0.83, "Omid", 0.41),),
    Transcript(
        (Segment(0.0, 1.5, "سلام", (Word(0.0, 1.0, "سلام"),), speaker="سارا"),),
        "fa",
        2.0,
        (Provenance("transcribe", "faster_whisper", "small"),),
    ),
    ("The file is cut off.",),
)


class Server:
    """Answers requests with `answers` in turn (the last one again and again) and keeps what was sent."""

    def __init__(self) -> None:
        self.answers: list[tuple[int, dict[str, str], bytes]] = []
        self.requests: list[tuple[str, str, dict[str, str], bytes]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_: object) -> None:
                pass

            def _answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                if "chunked" in self.headers.get("Transfer-Encoding", ""):
                    raise AssertionError("uploads announce their length")
                outer.requests.append((self.command, self.path, dict(self.headers), body))
                status, headers, content = (
                    outer.answers.pop(0) if len(outer.answers) > 1 else outer.answers[0]
                )
                self.send_response(status)
                for name, value in {**headers, "Content-Length": str(len(content))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_POST = do_PATCH = do_DELETE = _answer  # noqa: N815 - http.server's names

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def answer(self, status: int, content: Any, **headers: str) -> None:
        raw = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.answers.append((status, {name.replace("_", "-"): text for name, text in headers.items()}, raw))

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.close()


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    path = tmp_path / "call.wav"
    path.write_bytes(b"RIFF" + bytes(100_000))
    return path


def problem(kind: type[ClearCastError], **fields: object) -> dict[str, object]:
    return {
        "type": f"/docs/errors#{kind.code}",
        "title": kind.title,
        "status": kind.http_status,
        "detail": "It went wrong.",
        "code": kind.code,
        "hint": "Do this.",
        "retryable": kind.retryable,
        "request_id": "req_1",
        **fields,
    }


def every_error() -> list[type[ClearCastError]]:
    return [
        value
        for value in vars(errors).values()
        if isinstance(value, type) and issubclass(value, ClearCastError)
    ]


def test_a_meeting_comes_back_as_it_was_written(server: Server, recording: Path) -> None:
    server.answer(200, write_json(MEETING).encode())
    with ClearCast(server.url, api_key="cc_key") as client:
        meeting = client.meeting(recording, num_speakers=2, language="fa", output_transcriptions=False)
    assert meeting == MEETING
    method, path, headers, body = server.requests[0]
    assert (method, path) == ("POST", "/v1/meetings")
    assert headers["Authorization"] == "Bearer cc_key"
    assert recording.read_bytes() in body
    for name, value in (("num_speakers", b"2"), ("language", b"fa"), ("output_transcriptions", b"false")):
        assert f'name="{name}"\r\n\r\n'.encode() + value + b"\r\n" in body
    assert b'name="min_speakers"' not in body


def test_a_transcript_keeps_words_in_their_segments_and_tells_warnings(
    server: Server, recording: Path
) -> None:
    server.answer(
        200,
        {
            "text": "one two three",
            "language": "english",
            "language_code": "en",
            "language_confidence": 0.9,
            "duration": 4.0,
            "segments": [
                {
                    "id": 0,
                    "start": 0.0,
                    "end": 1.0,
                    "text": " one",
                    "confidence": 0.5,
                    "no_speech_prob": 0.1,
                },
                {"id": 1, "start": 1.0, "end": 3.0, "text": " two three"},
            ],
            "words": [
                {"word": "one", "start": 0.1, "end": 0.9, "confidence": 0.8},
                {"word": "two", "start": 1.0, "end": 1.5},
                {"word": "three", "start": 1.5, "end": 2.9},
            ],
            "provenance": [{"service": "transcribe", "engine": "e", "model": "m", "quality": "rough"}],
            "warnings": ["The file is cut off."],
        },
    )
    warned: list[str] = []
    with ClearCast(server.url) as client:
        transcript = client.transcribe(recording, warned.append, hotwords=("Zagros", "Damavand"))
    assert [segment.text for segment in transcript.segments] == ["one", "two three"]
    assert [word.text for word in transcript.segments[1].words] == ["two", "three"]
    assert transcript.provenance == (Provenance("transcribe", "e", "m", "rough"),)
    assert (transcript.language, transcript.language_confidence) == ("en", 0.9)
    assert warned == ["The file is cut off."]
    assert b"Zagros,Damavand" in server.requests[0][3]
    assert b'name="timestamp_granularities[]"' in server.requests[0][3]


@pytest.mark.parametrize("kind", every_error(), ids=lambda kind: kind.__name__)
def test_every_problem_document_becomes_its_error_again(server: Server, kind: type[ClearCastError]) -> None:
    server.answer(kind.http_status, problem(kind, place="segment 3"), Retry_After="7")
    with ClearCast(server.url, busy_wait_s=0) as client, pytest.raises(kind) as caught:
        client.voices()
    assert type(caught.value) is kind
    assert (caught.value.message, caught.value.hint) == ("It went wrong.", "Do this.")
    assert caught.value.fields["place"] == "segment 3"
    assert caught.value.fields["request_id"] == "req_1"


def test_a_busy_server_is_asked_again_and_the_file_is_sent_whole_again(
    server: Server, recording: Path
) -> None:
    server.answer(503, problem(Overloaded, retry_after_s=0), Retry_After="0")
    server.answer(429, problem(Overloaded, retry_after_s=0), Retry_After="0")
    server.answer(200, write_json(MEETING).encode())
    with ClearCast(server.url) as client:
        assert client.meeting(recording) == MEETING
    assert len(server.requests) == 3
    assert all(recording.read_bytes() in body for _, _, _, body in server.requests)


def test_patience_with_a_busy_server_ends(server: Server) -> None:
    server.answer(503, problem(Overloaded, retry_after_s=30), Retry_After="30")
    with ClearCast(server.url, busy_wait_s=20) as client, pytest.raises(Overloaded) as caught:
        client.voices()
    assert caught.value.retry_after_s == 30
    assert len(server.requests) == 1


def test_a_busy_answer_without_a_body_counts_by_its_status_and_header(server: Server) -> None:
    server.answer(429, b"", Retry_After="11")
    with ClearCast(server.url, busy_wait_s=0) as client, pytest.raises(Overloaded) as caught:
        client.voices()
    assert caught.value.retry_after_s == 11


@pytest.mark.parametrize(
    ("status", "kind"),
    [(401, Unauthenticated), (415, InputError), (502, ServiceUnavailable), (504, ServiceTimeout)],
)
def test_an_answer_that_is_no_problem_document_is_read_by_its_status(
    server: Server, status: int, kind: type[ClearCastError]
) -> None:
    server.answer(status, b"<html>a proxy speaks</html>")
    with ClearCast(server.url) as client, pytest.raises(kind):
        client.voices()


def test_a_server_that_is_not_clearcast_is_told_apart(server: Server) -> None:
    server.answer(200, b"<html>welcome</html>")
    with ClearCast(server.url) as client, pytest.raises(errors.FileFormatInvalid):
        client.voices()


def test_nobody_there_is_an_error_with_the_address(recording: Path) -> None:
    with ClearCast("http://127.0.0.1:9") as client:
        assert not client.is_ready()
        with pytest.raises(ServiceUnavailable, match=r"127\.0\.0\.1:9") as caught:
            client.meeting(recording)
    assert caught.value.hint is not None


def test_a_file_that_is_not_there_is_an_input_error(server: Server, tmp_path: Path) -> None:
    server.answer(200, {})
    with ClearCast(server.url) as client, pytest.raises(InputError, match=r"gone\.wav"):
        client.meeting(tmp_path / "gone.wav")


def test_names_of_voices_travel_percent_encoded(server: Server) -> None:
    server.answer(200, {"name": "b"})
    with ClearCast(server.url) as client:
        client.rename_voice("سارا / K", "b")
        client.erase_voice("a?b")
    assert server.requests[0][1] == "/v1/voices/%D8%B3%D8%A7%D8%B1%D8%A7%20%2F%20K"
    assert server.requests[1][:2] == ("DELETE", "/v1/voices/a%3Fb")


def test_readiness_is_no_error(server: Server) -> None:
    server.answer(503, {"status": "not_ready", "missing": {"diarizer": "UPDATING"}})
    with ClearCast(server.url) as client:
        assert not client.is_ready()
        server.answers.clear()
        server.answer(200, {"status": "ready", "missing": {}})
        assert client.is_ready()


async def test_the_asynchronous_client_does_the_same(server: Server, recording: Path) -> None:
    server.answer(503, problem(Overloaded, retry_after_s=0), Retry_After="0")
    server.answer(200, write_json(MEETING).encode())
    server.answer(422, problem(AudioEmpty))
    async with AsyncClearCast(server.url, api_key="cc_key") as client:
        assert await client.meeting(recording, max_speakers=3) == MEETING
        with pytest.raises(AudioEmpty):
            await client.meeting(recording)
    assert b"RIFF" + bytes(100_000) in server.requests[1][3]


async def test_every_method_of_the_client_has_an_asynchronous_twin() -> None:
    public = {name for name in vars(ClearCast) if not name.startswith("_")}
    assert {name for name in vars(AsyncClearCast) if not name.startswith("_")} == public
