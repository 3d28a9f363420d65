"""The command line and the Python client against a real server with engines in its process."""

from __future__ import annotations

import json
import socket
import threading
import wave
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import uvicorn

from clearcast.accounts.stored_keys import StoredKeys
from clearcast.client import ClearCast
from clearcast.errors import AudioUnrecognised, Unauthenticated
from clearcast.local import local_services
from clearcast.sample import sample_conversation
from clearcast.settings import Settings, load_settings
from clearcast.speech.json_file import read_json
from clearcast.speech.meeting import Meeting
from clearcast.speech.transcript import Transcript
from clearcast.storage.voices import read_voices
from clearcast.testing.people import People
from deployments.ingress.app import create_app


@dataclass(frozen=True)
class Server:
    url: str
    key: str


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with the local profile's engines and a key."""
    profile = load_settings("local")
    settings: Settings = profile.model_copy(update={"data_dir": tmp_path_factory.mktemp("server")})
    key = People(settings).create("tester")
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        app = create_app(local_services(settings), settings)
        uvicorn_server = uvicorn.Server(uvicorn.Config(app, log_level="error"))
        thread = threading.Thread(target=uvicorn_server.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            yield Server(f"http://127.0.0.1:{listening.getsockname()[1]}", key)
        finally:
            uvicorn_server.should_exit = True
            thread.join()


@pytest.fixture
def client(server: Server) -> Iterator[ClearCast]:
    with ClearCast(server.url, api_key=server.key) as client:
        yield client


@pytest.fixture(scope="module")
def short(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight seconds of a real conversation."""
    path = tmp_path_factory.mktemp("audio") / "call.wav"
    with wave.open(str(sample_conversation().audio), "rb") as source, wave.open(str(path), "wb") as target:
        target.setparams(source.getparams())
        source.setpos(12 * source.getframerate())
        target.writeframes(source.readframes(8 * source.getframerate()))
    return path


def test_a_meeting_by_the_server_is_the_one_made_here(run, server: Server, short: Path) -> None:
    here = run("meeting", short, "--no-text", "-f", "json")
    reach = ("--server", server.url, "--api-key", server.key)
    there = run("meeting", short, "--no-text", "-f", "json", *reach)
    assert there.exit_code == 0, there.output
    assert json.loads(there.stdout) == json.loads(here.stdout)
    assert "waiting for the server" in there.stderr


def test_a_transcript_by_the_server_has_text_times_and_makers(
    run, server: Server, short: Path, tmp_path: Path
) -> None:
    key_file = tmp_path / "key"
    key_file.write_text(server.key + "\n")
    arguments = ("-l", "en", "-f", "json", "--server", server.url, "--key-file", key_file)
    there = read_json(run("transcribe", short, *arguments).stdout)
    here = read_json(run("transcribe", short, "-l", "en", "-f", "json").stdout)
    assert isinstance(there, Transcript)
    assert isinstance(here, Transcript)
    assert there.text == here.text
    assert there.provenance == here.provenance
    assert [len(segment.words) for segment in there.segments] == [
        len(segment.words) for segment in here.segments
    ]


def test_a_folder_is_diarized_by_the_server(run, server: Server, short: Path, tmp_path: Path) -> None:
    (short.parent / "bad.wav").write_text("no sound")
    run_it = ("diarize", short.parent, "-o", tmp_path / "out", "-f", "rttm", "--server", server.url)
    result = run(*run_it, "--api-key", server.key)
    assert result.exit_code == 1
    assert "audio_unrecognised" in result.output
    assert (tmp_path / "out" / "call.rttm").read_text().startswith("SPEAKER call 1 ")


def test_the_stored_key_is_sent_to_its_server(run, server: Server) -> None:
    StoredKeys(load_settings().config_path).put(server.url, server.key)
    assert run("models", "list", "--server", server.url).exit_code == 0


def test_without_a_key_the_server_refuses(run, server: Server, short: Path) -> None:
    result = run("meeting", short, "--server", server.url)
    assert result.exit_code == 5
    assert Unauthenticated.code in result.output


def test_voices_live_a_whole_life_on_the_server(
    run, server: Server, shared_audio: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("CLEARCAST_API_KEY", server.key)
    monkeypatch.setenv("CLEARCAST_SERVER", server.url)
    clip = shared_audio / "enrol" / "ls1688.opus"
    assert "Enrolled سارا / K" in run("voices", "add", "سارا / K", clip).output
    assert "سارا / K" in run("voices", "list").stdout
    exported = run("voices", "export").stdout
    assert run("voices", "rename", "سارا / K", "Sara").exit_code == 0
    assert run("voices", "erase", "Sara").exit_code == 0
    assert run("voices", "erase", "Sara").exit_code == 3
    assert "1 voice " in run("voices", "import", "-", stdin=exported.encode()).output
    assert "1 voice " in run("voices", "import", "-", "--replace", stdin=exported.encode()).output
    assert [voice.name for voice in read_voices(run("voices", "export").stdout)] == ["سارا / K"]


def test_the_servers_models_are_listed(run, server: Server) -> None:
    result = run("models", "list", "--server", server.url, "--api-key", server.key)
    assert {"pocketsphinx"} <= {model["engine"] for model in json.loads(result.stdout)}


def test_the_client_gets_meetings_texts_and_errors(client: ClearCast, short: Path, tmp_path: Path) -> None:
    assert client.is_ready()
    meeting = client.meeting(short, output_transcriptions=False, num_speakers=2)
    assert isinstance(meeting, Meeting)
    assert meeting.transcript is None
    assert client.meeting_text(short, "rttm", output_transcriptions=False).startswith("SPEAKER ")
    (tmp_path / "bad.wav").write_text("no sound")
    with pytest.raises(AudioUnrecognised) as caught:
        client.meeting(tmp_path / "bad.wav")
    assert caught.value.fields["request_id"]
