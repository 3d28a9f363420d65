"""`clearcast live`, `clearcast keywords` and `clearcast stream` as programs against a real gateway."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import numpy as np
import pytest
import soundfile
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from clearcast.ports import free_port
from clearcast.sample import sample_conversation
from clearcast.settings import HttpSettings, LiveSettings, Settings
from clearcast.testing.people import People, prepare_database
from tests.breaking_proxy import breaking_proxy
from tests.deployments.live.stage import Stage, running

PROGRAM = str(Path(sys.executable).with_name("clearcast"))
WITHIN_S = 150


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    """A gateway that asks for no key and transcribes one file at a time."""
    settings = Settings(
        data_dir=tmp_path / "data",
        config_dir=tmp_path / "config",
        http=HttpSettings(require_key=False),
        live=LiveSettings(port=free_port(), max_streams=1, max_waiting_streams=0),
    )
    prepare_database(settings)
    stage = Stage(settings, People(settings))
    async with running(stage):
        yield stage


@pytest.fixture
def phrase(tmp_path: Path) -> Path:
    """Six seconds of the sample conversation and a pause."""
    samples, rate_hz = soundfile.read(sample_conversation().audio, dtype="int16")
    sound = np.concatenate((samples[8 * rate_hz : 14 * rate_hz], np.zeros(rate_hz, np.int16)))
    soundfile.write(tmp_path / "phrase.wav", sound, rate_hz)
    return tmp_path / "phrase.wav"


async def start(
    environment: dict[str, str], stage: Stage, command: str, *words: object
) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *(PROGRAM, command, "--gateway", stage.url, *map(str, words)),
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def ended(process: asyncio.subprocess.Process) -> tuple[int | None, str, str]:
    """Exit code, output, notes."""
    try:
        async with asyncio.timeout(WITHIN_S):
            out, notes = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return process.returncode, out.decode(), notes.decode()


@pytest.mark.timeout(240)
async def test_a_recording_becomes_lines(environment: dict[str, str], stage: Stage, phrase: Path) -> None:
    process = await start(environment, stage, "live", "--file", phrase, "--fast", "--json", "-l", "en")
    code, out, notes = await ended(process)
    assert code == 0, notes
    told = [json.loads(line) for line in out.splitlines()]
    assert [told[0]["type"], told[-1]["type"]] == ["model_loaded", "closed"]
    texts = [one["text"] for one in told if one["type"] == "transcription"]
    assert texts and len(" ".join(texts).split()) > 3


@pytest.mark.timeout(240)
async def test_people_read_times_and_speakers(
    environment: dict[str, str], stage: Stage, phrase: Path
) -> None:
    process = await start(environment, stage, "live", "--file", phrase, "--fast", "-l", "en")
    code, out, notes = await ended(process)
    assert code == 0, notes
    assert out.startswith("00:00  Speaker 1: ")


@pytest.mark.timeout(240)
async def test_ctrl_c_tells_the_last_line(environment: dict[str, str], stage: Stage, phrase: Path) -> None:
    """Interrupted in mid-sentence: what was said up to there is shown, and the program ends well."""
    samples, rate_hz = soundfile.read(phrase, dtype="int16")
    soundfile.write(phrase, np.tile(samples[: 6 * rate_hz], 10), rate_hz)
    process = await start(environment, stage, "live", "--file", phrase, "--json", "-l", "en")
    assert process.stdout is not None
    async with asyncio.timeout(WITHIN_S):
        while json.loads(await process.stdout.readline())["type"] not in ("partial", "transcription"):
            pass
    os.kill(process.pid, signal.SIGINT)
    code, out, notes = await ended(process)
    assert code == 0, notes
    told = [json.loads(line) for line in out.splitlines()]
    assert [one["type"] for one in told][-1] == "closed"
    assert any(one["type"] == "transcription" for one in told)


@pytest.mark.timeout(240)
async def test_a_broken_connection_loses_and_doubles_no_word(
    environment: dict[str, str], stage: Stage, phrase: Path
) -> None:
    def texts(out: str) -> list[str]:
        told = [json.loads(line) for line in out.splitlines()]
        assert told[-1]["type"] == "closed"
        return [one["text"] for one in told if one["type"] == "transcription"]

    words = ("--file", phrase, "--fast", "--json", "-l", "en")
    code, whole, notes = await ended(await start(environment, stage, "live", *words))
    assert code == 0, notes
    with breaking_proxy(stage.url) as proxy:
        proxy.breaks = [(60_000, None), (90_001, None)]
        process = await start(environment, stage, "live", "--gateway", proxy.url, *words)
        code, out, notes = await ended(process)
        assert proxy.num_connections == 3
    assert code == 0, notes
    assert "The connection broke; trying again" in notes
    assert texts(out) == texts(whole)


@pytest.mark.timeout(240)
async def test_who_was_registered_is_named(environment: dict[str, str], stage: Stage, phrase: Path) -> None:
    """What the recording begins with is taken for the voice; then it is asked for again where too short."""
    samples, rate_hz = soundfile.read(phrase, dtype="int16")
    soundfile.write(phrase, np.concatenate((samples[: 6 * rate_hz], samples)), rate_hz)
    words = ("--file", phrase, "--fast", "--register", "Sara", "-l", "en")
    code, out, notes = await ended(await start(environment, stage, "live", *words))
    assert code == 0, notes
    assert "Sara, please speak for 6 seconds" in notes
    assert "Sara is known now." in notes
    assert "Sara: " in out


@pytest.mark.timeout(240)
async def test_sound_goes_over_tls_with_ones_own_certificate(
    environment: dict[str, str], tmp_path: Path, phrase: Path
) -> None:
    certificate, key = own_certificate(tmp_path)
    live = LiveSettings(port=free_port(), tls_certificate=certificate, tls_key=key, public_url=None)
    http = HttpSettings(require_key=False)
    settings = Settings(data_dir=tmp_path / "data", config_dir=tmp_path / "config", http=http, live=live)
    prepare_database(settings)
    stage = Stage(settings, People(settings))
    assert stage.url.startswith("https://")
    words = ("--file", phrase, "--fast", "--json", "-l", "en")
    async with running(stage):
        trusting = environment | {"SSL_CERT_FILE": str(certificate)}
        code, out, notes = await ended(await start(trusting, stage, "live", *words))
        assert code == 0, notes
        assert any(json.loads(line)["type"] == "transcription" for line in out.splitlines())
        code, _, notes = await ended(await start(environment, stage, "live", *words))
        assert code == 5, "nobody vouches for that certificate"


def own_certificate(folder: Path) -> tuple[Path, Path]:
    """PEM files of a certificate for this machine, signed by itself, and of its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    names = x509.SubjectAlternativeName(
        [x509.DNSName("localhost"), x509.IPAddress(ip_address("127.0.0.1"))]
    )
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(names, critical=False)
        .sign(key, hashes.SHA256())
    )
    (folder / "own.pem").write_bytes(certificate.public_bytes(Encoding.PEM))
    secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (folder / "own.key").write_bytes(secret)
    return folder / "own.pem", folder / "own.key"


@pytest.mark.timeout(240)
async def test_keywords_are_told_as_they_are_said(
    environment: dict[str, str], stage: Stage, shared_audio: Path
) -> None:
    digits = shared_audio / "kws" / "string_0.flac"
    wanted = ["10", "4", "1", "1", "6", "9", "6", "1"]
    process = await start(environment, stage, "keywords", "--file", digits, "--fast", "--json")
    code, out, notes = await ended(process)
    assert code == 0, notes
    told = [json.loads(line) for line in out.splitlines()]
    assert [told[0]["type"], told[-1]["type"]] == ["model_loaded", "closed"]
    assert [one["label"] for one in told if one["type"] == "word" and one["is_final"]] == wanted
    code, out, notes = await ended(await start(environment, stage, "keywords", "--file", digits))
    assert code == 0, notes
    assert [line.split()[2] for line in out.splitlines()] == wanted
    refused = await start(environment, stage, "keywords", "--file", digits, "--min-silence", "9")
    code, _, notes = await ended(refused)
    assert (code, "min_silence_s" in notes) == (2, True), notes


async def test_no_gateway_is_said_plainly(
    environment: dict[str, str], tmp_path: Path, phrase: Path
) -> None:
    settings = Settings(data_dir=tmp_path, live=LiveSettings(port=free_port()))
    nobody = Stage(settings, None)  # type: ignore[arg-type]
    code, _, notes = await ended(await start(environment, nobody, "live", "--file", phrase))
    assert (code, "There is no live gateway" in notes) == (5, True)
    code, _, notes = await ended(await start(environment, nobody, "stream", phrase))
    assert (code, "There is no live gateway" in notes) == (5, True)


async def test_no_microphone_is_said_plainly(environment: dict[str, str], stage: Stage) -> None:
    code, _, notes = await ended(await start(environment, stage, "live", "--device", "no such device"))
    assert (code, "no microphone" in notes) == (3, True), notes


@pytest.mark.timeout(300)
async def test_files_are_sent_at_once_and_wait_where_there_is_no_place(
    environment: dict[str, str], stage: Stage, phrase: Path, tmp_path: Path
) -> None:
    """Two files where one has a place: the second is told so, waits, and comes through. A third is none."""
    second, broken = phrase.with_name("second.wav"), phrase.with_name("broken.wav")
    shutil.copy(phrase, second)
    await asyncio.to_thread(broken.write_bytes, b"dear diary, " * 1000)
    process = await start(
        environment,
        stage,
        "stream",
        phrase,
        second,
        broken,
        "-o",
        tmp_path / "text",
        "-f",
        "srt",
        "-l",
        "en",
    )
    code, _, notes = await ended(process)
    assert code == 1, notes
    assert "server overloaded, again in" in notes
    assert "[audio_unrecognised]" in notes
    folder = tmp_path / "text"
    written = await asyncio.to_thread(lambda: {path.name: path.read_text() for path in folder.iterdir()})
    assert set(written) == {"phrase.srt", "second.srt"}
    assert written["phrase.srt"] == written["second.srt"]
    assert "-->" in written["phrase.srt"]


@pytest.mark.timeout(240)
async def test_an_interrupted_stream_leaves_nothing(
    environment: dict[str, str], stage: Stage, phrase: Path, tmp_path: Path
) -> None:
    process = await start(environment, stage, "stream", phrase, "-o", tmp_path / "text")
    assert process.stderr is not None
    async with asyncio.timeout(WITHIN_S):
        while b"transcribed" not in await process.stderr.readline():
            pass
    os.kill(process.pid, signal.SIGINT)
    code, _, notes = await ended(process)
    assert code == 130, notes
    left = await asyncio.to_thread(lambda: [*tmp_path.glob("text/*"), *tmp_path.glob("tmp/*")])
    assert left == []
