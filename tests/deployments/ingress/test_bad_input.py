"""Odd and hostile files over HTTP, with the real engines of the local profile: a documented code or a
correct empty result, and the service goes on serving."""

from __future__ import annotations

import wave
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI

from clearcast.audio.recording import write_header
from clearcast.local import local_services
from clearcast.sample import sample_conversation
from clearcast.settings import AudioSettings, HttpSettings, load_settings
from clearcast.testing import media
from deployments.ingress.app import create_app
from tests.deployments.ingress.loopback import connect

Write = Callable[[Path], Path]

LONGEST_S = 60.0


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> FastAPI:
    settings = load_settings("local").model_copy(
        update={
            "data_dir": tmp_path_factory.mktemp("data"),
            "audio": AudioSettings(max_duration_s=LONGEST_S, decode_timeout_s=20),
            "http": HttpSettings(require_key=False),
        }
    )
    return create_app(local_services(settings), settings)


@pytest.fixture
async def client(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    async with connect(app) as client:
        yield client


def playlist(path: Path) -> Path:
    return media.write_hls_playlist(path, ["file:///etc/passwd", "http://127.0.0.1:9/a.ts"])


def tagged_playlist(path: Path) -> Path:
    return media.write_tagged_hls_playlist(path, ["file:///etc/passwd"])


def script(path: Path) -> Path:
    return media.write_concat_script(path, [Path("/etc/passwd")])


def header_only(path: Path) -> Path:
    path.write_bytes(media.write_tone_wav(path).read_bytes()[:44])
    return path


def mute_video(path: Path) -> Path:
    return media.write_video(path.with_suffix(".mp4"), None)


def too_long(path: Path) -> Path:
    return media.write_silence_bomb(path.with_suffix(".flac"), LONGEST_S + 1)


def lying_flac(path: Path) -> Path:
    return media.write_lying_flac(path.with_suffix(".flac"))


def excerpt(path: Path, start_s: float, end_s: float) -> bytes:
    """A part of a WAV, as a WAV."""
    with wave.open(str(path)) as source:
        source.setpos(round(start_s * source.getframerate()))
        data = source.readframes(round((end_s - start_s) * source.getframerate()))
    return write_header(len(data)) + data


def _named(value: object) -> str:
    return getattr(value, "__name__", "")


REFUSED: list[tuple[Write, int, str]] = [
    (media.write_empty, 422, "audio_empty"),
    (header_only, 422, "audio_truncated"),
    (media.write_text, 415, "audio_unrecognised"),
    (mute_video, 415, "audio_unrecognised"),
    (playlist, 422, "audio_forbidden"),
    (tagged_playlist, 422, "audio_forbidden"),
    (script, 422, "audio_forbidden"),
    (media.write_sdp, 422, "audio_forbidden"),
    (too_long, 413, "audio_too_long"),
]

EMPTY: list[tuple[Write, str]] = [
    (media.write_short_wav, "Nobody speaks"),
    (media.write_silent_wav, "silent"),
]

ODD: list[tuple[Write, str]] = [
    (media.write_eight_channel_wav, ""),
    (media.write_192_khz_wav, ""),
    (lying_flac, "cut off"),
    (media.write_lying_wav, "cut off"),
]


@pytest.mark.parametrize(("write", "status", "code"), REFUSED, ids=_named)
async def test_what_cannot_be_used_is_refused_with_its_code(
    client: httpx.AsyncClient, tmp_path: Path, write: Write, status: int, code: str
) -> None:
    content = write(tmp_path / "sound.wav").read_bytes()
    for path, options in (
        ("/v1/meetings", {}),
        ("/v1/audio/transcriptions", {"model": "whisper-1", "stream": "true"}),
        ("/v1/voices", {"name": "Sara"}),
    ):
        answer = await client.post(path, data=options, files={"file": ("sound.wav", content)})
        assert (answer.status_code, answer.json()["code"]) == (status, code), path
        assert "/etc/passwd" not in answer.text
    assert (await client.get("/v1/voices")).json() == {"voices": []}


@pytest.mark.parametrize(("write", "warning"), EMPTY, ids=_named)
async def test_what_holds_no_speech_gives_a_correct_empty_result(
    client: httpx.AsyncClient, tmp_path: Path, write: Write, warning: str
) -> None:
    content = write(tmp_path / "sound.wav").read_bytes()
    meeting = await client.post("/v1/meetings", files={"file": content})
    assert meeting.status_code == 200
    assert meeting.json()["transcript"]["segments"] == []
    assert meeting.json()["diarization"]["turns"] == []
    assert meeting.json()["diarization"]["duration_s"] <= 2.0
    assert warning in " ".join(meeting.json()["warnings"])
    text = await client.post(
        "/v1/audio/transcriptions", data={"model": "whisper-1"}, files={"file": content}
    )
    assert (text.status_code, text.json()["text"]) == (200, "")
    voice = await client.post("/v1/voices", data={"name": "Sara"}, files={"file": content})
    assert (voice.status_code, voice.json()["code"]) == (422, "speech_too_short")


@pytest.mark.parametrize(("write", "warning"), ODD, ids=_named)
async def test_what_is_only_odd_is_heard_to_its_real_end(
    client: httpx.AsyncClient, tmp_path: Path, write: Write, warning: str
) -> None:
    content = write(tmp_path / "sound.wav").read_bytes()
    answer = await client.post("/v1/diarizations", files={"file": content})
    assert answer.status_code == 200
    assert answer.json()["diarization"]["duration_s"] == pytest.approx(2.0, abs=0.01)
    assert warning in " ".join(answer.json()["warnings"])


async def test_a_language_the_engine_does_not_know_is_refused(client: httpx.AsyncClient) -> None:
    answer = await client.post(
        "/v1/audio/transcriptions",
        data={"model": "pocketsphinx", "language": "fa"},
        files={"file": sample_conversation().audio.read_bytes()},
    )
    assert (answer.status_code, answer.json()["code"]) == (422, "language_unsupported")
    assert answer.json()["error"]["code"] == "language_unsupported"


async def test_after_all_that_a_real_conversation_is_served_with_names(client: httpx.AsyncClient) -> None:
    sample = sample_conversation().audio
    # The second speaker's longest turn, as the sample's reference has it.
    voice = await client.post(
        "/v1/voices", data={"name": "Sam"}, files={"file": excerpt(sample, 21.8, 28.4)}
    )
    assert voice.status_code == 201
    answer = await client.post("/v1/diarizations", files={"file": sample.read_bytes()})
    speakers = answer.json()["speakers"]
    assert len(speakers) == 2
    (known,) = [speaker for speaker in speakers if speaker["verdict"] == "identified"]
    assert known["best_name"] == "Sam"
    assert (await client.get("/health/ready")).json()["status"] == "ready"
    await client.delete("/v1/voices/Sam")
