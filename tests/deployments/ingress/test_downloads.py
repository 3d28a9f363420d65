"""Downloads: ranges, conditions, names and formats."""

from __future__ import annotations

import asyncio
import io
import random
from pathlib import Path

import httpx
import pytest

from clearcast.audio.encode import FORMATS
from clearcast.audio.probe import probe
from clearcast.settings import ServeSettings, Settings
from clearcast.speech.json_file import write_json
from clearcast.speech.meeting import Meeting
from clearcast.speech.provenance import Provenance
from clearcast.speech.transcript import Segment, Transcript
from clearcast.speech.turns import Diarization, Turn
from clearcast.testing.media import write_tone_wav
from deployments.ingress.sending import disposition
from tests.deployments.ingress.loopback import MakeApp, connect
from tests.deployments.ingress.test_files import keep

DATA = random.Random(2).randbytes(3_000_000)


@pytest.fixture
async def address(client: httpx.AsyncClient) -> str:
    return f"/v1/files/{(await keep(client, DATA, 'noise.bin'))['id']}/content"


async def test_a_file_comes_back_as_it_was_sent(client: httpx.AsyncClient, address: str) -> None:
    answer = await client.get(address)
    assert answer.content == DATA
    assert answer.headers["Accept-Ranges"] == "bytes"
    assert answer.headers["Content-Length"] == str(len(DATA))
    assert answer.headers["Content-Type"] == "application/octet-stream"
    assert answer.headers["Content-Disposition"] == 'attachment; filename="noise.bin"'
    head = await client.head(address)
    assert head.content == b""
    for name in ("ETag", "Content-Length", "Content-Type", "Accept-Ranges", "Content-Disposition"):
        assert head.headers[name] == answer.headers[name]


@pytest.mark.parametrize(
    ("asked", "start", "end"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=5-9", 5, 10),
        ("bytes=1048570-1048580", 1048570, 1048581),
        ("bytes=2999990-", 2999990, 3000000),
        ("bytes=-10", 2999990, 3000000),
        ("bytes=2999990-9999999", 2999990, 3000000),
        ("bytes=-9999999", 0, 3000000),
    ],
)
async def test_a_range_is_just_those_bytes(
    client: httpx.AsyncClient, address: str, asked: str, start: int, end: int
) -> None:
    for method in ("GET", "HEAD"):
        answer = await client.request(method, address, headers={"Range": asked})
        assert answer.status_code == 206
        assert answer.headers["Content-Range"] == f"bytes {start}-{end - 1}/3000000"
        assert answer.headers["Content-Length"] == str(end - start)
        assert answer.content == (DATA[start:end] if method == "GET" else b"")


@pytest.mark.parametrize("asked", ["bytes=3000000-", "bytes=9999999-99999999", "bytes=-0"])
async def test_bytes_that_are_not_there_cannot_be_had(
    client: httpx.AsyncClient, address: str, asked: str
) -> None:
    answer = await client.get(address, headers={"Range": asked})
    assert (answer.status_code, answer.json()["code"]) == (416, "range_wrong")
    assert answer.headers["Content-Range"] == "bytes */3000000"


@pytest.mark.parametrize("asked", ["bytes=0-1,5-6", "lines=1-2", "bytes=9-5", "bytes=-", "bytes=x-", ""])
async def test_ranges_of_other_kinds_are_not_heeded(
    client: httpx.AsyncClient, address: str, asked: str
) -> None:
    assert (await client.get(address, headers={"Range": asked})).status_code == 200


async def test_who_has_the_file_is_not_sent_it_again(client: httpx.AsyncClient, address: str) -> None:
    etag = (await client.head(address)).headers["ETag"]
    for known in (etag, f'"other", {etag}', f"W/{etag}", "*"):
        answer = await client.get(address, headers={"If-None-Match": known})
        assert (answer.status_code, answer.content, answer.headers["ETag"]) == (304, b"", etag)
    assert (await client.get(address, headers={"If-None-Match": '"other"'})).status_code == 200
    for condition, status in ((etag, 206), ('"other"', 200), (f"W/{etag}", 200)):
        headers = {"Range": "bytes=0-1", "If-Range": condition}
        assert (await client.get(address, headers=headers)).status_code == status


@pytest.mark.parametrize(
    ("name", "header"),
    [
        ("a.wav", 'attachment; filename="a.wav"'),
        ('a "b".wav', "attachment; filename=\"a _b_.wav\"; filename*=UTF-8''a%20%22b%22.wav"),
        ("گفت.wav", "attachment; filename=\"___.wav\"; filename*=UTF-8''%DA%AF%D9%81%D8%AA.wav"),
        ("a%41\\.wav", "attachment; filename=\"a_41_.wav\"; filename*=UTF-8''a%2541%5C.wav"),
        ("a\r\nX: y", "attachment; filename=\"a__X: y\"; filename*=UTF-8''a%0D%0AX%3A%20y"),
    ],
)
def test_names_are_written_so_that_browsers_read_them(name: str, header: str) -> None:
    assert disposition(name) == header


async def test_a_file_that_is_still_arriving_cannot_be_had(client: httpx.AsyncClient) -> None:
    headers = {"Tus-Resumable": "1.0.0", "Upload-Length": "10"}
    location = (await client.post("/v1/uploads", headers=headers)).headers["Location"]
    answer = await client.get(location.replace("uploads", "files") + "/content")
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


@pytest.mark.parametrize("name", FORMATS)
async def test_sound_comes_in_any_format(
    client: httpx.AsyncClient, settings: Settings, tmp_path: Path, name: str
) -> None:
    sound = write_tone_wav(tmp_path / "sound", 1.0, 44_100, channels=2).read_bytes()
    file = await keep(client, sound, "talk.final.wav")
    address = f"/v1/files/{file['id']}/content?format={name.upper()}"
    answer = await client.get(address)
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == FORMATS[name].mime_type
    assert answer.headers["Content-Disposition"] == f'attachment; filename="talk.final.{name}"'
    assert answer.headers["Content-Length"] == str(len(answer.content))
    info = probe(io.BytesIO(answer.content))
    assert (info.sample_rate_hz, info.channels) == (FORMATS[name].sample_rate_for(44_100), 2)
    assert list((settings.data_path / "work").glob("*/")) == []  # the copy was for this request
    again = await client.get(address, headers={"If-None-Match": answer.headers["ETag"]})
    assert again.status_code == 304
    assert (await client.head(address)).headers["ETag"] == answer.headers["ETag"]


TURNS = (Turn(0.0, 1.0, "Sara"),)
DIARIZATION = Diarization(TURNS, 2.0, Provenance("diarize", "vbx", "vbx-1"))
TRANSCRIPT = Transcript(
    (Segment(0.0, 1.0, "سلام", speaker="Sara"),), "fa", 2.0, (Provenance("transcribe", "e", "m"),)
)


@pytest.mark.parametrize("name", ["json", "txt", "srt", "vtt", "rttm"])
async def test_documents_of_speech_come_in_any_of_their_formats(
    client: httpx.AsyncClient, name: str
) -> None:
    document = write_json(Meeting(DIARIZATION, (), TRANSCRIPT))
    file = await keep(client, document.encode(), "talk.json")
    answer = await client.get(f"/v1/files/{file['id']}/content?format={name}")
    assert answer.status_code == 200
    assert answer.headers["Content-Disposition"] == f'attachment; filename="talk.{name}"'
    assert "Sara" in answer.text
    assert name == "rttm" or "سلام" in answer.text


async def test_formats_that_do_not_fit_are_refused(client: httpx.AsyncClient, address: str) -> None:
    text = await keep(client, write_json(TRANSCRIPT).encode(), "talk.json")
    other = await keep(client, b'{"a": 1}', "other.json")
    for url, format_name, code in (
        (address, "srt", "option_invalid"),
        (address, "xyz", "option_invalid"),
        (address, "mp3", "audio_unrecognised"),
        (f"/v1/files/{text['id']}/content", "mp3", "option_invalid"),
        (f"/v1/files/{text['id']}/content", "rttm", "option_invalid"),
        (f"/v1/files/{other['id']}/content", "srt", "option_invalid"),
    ):
        assert (await client.get(url, params={"format": format_name})).json()["code"] == code


async def test_making_another_format_waits_its_turn_among_the_work(
    make_app: MakeApp, key: str, tmp_path: Path
) -> None:
    sound = write_tone_wav(tmp_path / "sound", 1.0).read_bytes()
    app = make_app(serve=ServeSettings(max_running_meetings=1, max_waiting_meetings=0))
    async with connect(app, key) as client:
        file = await keep(client, sound)
        address = f"/v1/files/{file['id']}/content"
        async with app.state.ingress.gate.place():
            busy = await client.get(address, params={"format": "mp3"})
            assert (busy.status_code, busy.json()["code"]) == (503, "overloaded")
            assert "Retry-After" in busy.headers
            assert (await client.get(address)).status_code == 200
        answers = await asyncio.gather(*(client.get(address, params={"format": "mp3"}) for _ in range(1)))
        assert [answer.status_code for answer in answers] == [200]
