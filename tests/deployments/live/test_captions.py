"""Captions of live rooms: real speech by a real peer, lines by name for everybody, kept for the owner."""

from __future__ import annotations

import json
from difflib import SequenceMatcher
from pathlib import Path

import numpy as np
import pytest
from playwright.async_api import expect
from websockets.asyncio.client import connect

from clearcast.audio.recording import SAMPLE_RATE_HZ
from clearcast.audio.sinc import resample
from clearcast.speech.vtt import read_vtt
from streaming import recordings
from streaming.opus import SAMPLE_RATE_HZ as ROOM_RATE_HZ
from streaming.testing.browser import chromium
from streaming.testing.live_client import Json, LiveClient
from streaming.testing.peers import Mouth
from tests.deployments.live.stage import SetUp, Stage, running
from tests.deployments.live.test_live_text import address, ask, say, sound_of, two_speakers
from tests.deployments.live.test_recorded_shows import Memory

WITHIN_S = 60.0
ENGLISH = {"language": "en"}


def sentences(shared_audio: Path) -> np.ndarray:
    """Two of them, clearly spoken, then silence, since a mouth begins again; float32 mono at 16 kHz."""
    said = [sound_of(shared_audio / "asr" / name) for name in ("p234_002.flac", "spk1_snt1.flac")]
    pause = np.zeros(SAMPLE_RATE_HZ, np.float32)
    return np.concatenate((pause, said[0], pause, said[1], np.zeros(60 * SAMPLE_RATE_HZ, np.float32)))


def mouth(sound: np.ndarray) -> Mouth:
    return Mouth(resample(sound[:, np.newaxis], SAMPLE_RATE_HZ, ROOM_RATE_HZ))


async def live_text(stage: Stage, key: str, sound: np.ndarray) -> str:
    """What `/v1/live` makes of it."""
    async with connect(address(stage)) as socket:
        options = {"speakers": 0, "partials": False, **ENGLISH}
        await ask(socket, "hello", "model_loaded", credential=key, options=options)
        await ask(socket, "start_transcription", "transcription_started")
        await say(socket, sound)
        _, told = await ask(socket, "stop_transcription", "transcription_stopped")
    return " ".join(one["text"] for one in told if one["type"] == "transcription")


def lines(client: LiveClient) -> list[Json]:
    return [one for one in client.messages if one["type"] == "caption" and one["is_final"]]


@pytest.mark.timeout(180)
async def test_what_is_said_is_told_by_name_and_kept_with_the_recording(
    stage: Stage, shared_audio: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recordings, "LOOK_S", 0.2)
    room, key, sound = stage.room(record=True), stage.people.create("anna"), sentences(shared_audio)
    anna = await stage.joined(room, key)
    guest = await stage.joined(room, stage.token(room, "listen")[1])
    assert guest.joined["captions"]["is_on"] is False
    told = await anna.ask("captions", is_on=True, options=ENGLISH)
    assert (told["type"], told["engine"], told["language"]) == ("captions", "pocketsphinx", "en")
    await guest.told("captions", is_on=True)
    await anna.publish(mouth(sound))
    first = await guest.told("caption", WITHIN_S, is_final=True)
    assert (first["id"], first["participant"], first["name"]) == (1, anna.me, "anna")
    late = await stage.joined(room, stage.token(room, "listen")[1])
    assert late.joined["captions"] == {name: told[name] for name in late.joined["captions"]}
    await guest.heard(lambda one: "dog" in one.get("text", "") and one["is_final"], WITHIN_S)
    assert (await anna.ask("captions", is_on=False))["is_on"] is False
    await anna.ask("stop_publishing")
    text = " ".join(line["text"] for line in lines(guest))
    expected = await live_text(stage, key, sound[: 10 * SAMPLE_RATE_HZ])
    alike = SequenceMatcher(None, text, expected).ratio()
    print(f"{alike:.2f} alike: {text!r} in the room, {expected!r} over /v1/live")
    assert alike > 0.7
    assert any(not one["is_final"] for one in guest.messages if one["type"] == "caption")
    memory = Memory(stage, room)
    recording = await memory.until("stored")
    sidecar = json.loads(memory.fetch(recording, "events", tmp_path / "events.json").read_text())
    kept = [one for one in sidecar["events"] if one["event"] == "caption"]
    assert [(one["text"], one["name"]) for one in kept] == [(one["text"], "anna") for one in lines(guest)]
    assert all(0 <= one["start_s"] < one["end_s"] <= one["at_s"] for one in kept), kept
    subtitles = read_vtt(memory.fetch(recording, "captions", tmp_path / "captions.vtt").read_text())
    assert subtitles.text.split() == text.split()
    assert {segment.speaker for segment in subtitles.segments} == {"anna"}
    memory.close()


async def enrol(stage: Stage, key: str, name: str, sample: np.ndarray) -> None:
    """Among the voices of this key's account."""
    async with connect(address(stage)) as socket:
        await ask(socket, "hello", "model_loaded", credential=key)
        await ask(socket, "start_speaker_registration", "speaker_registration_started", speaker_id=0)
        await say(socket, sample)
        done = "speaker_registration_completed"
        told, _ = await ask(socket, "complete_speaker_registration", done, speaker_id=0, save_as=name)
        assert (told["type"], told["saved_as"]) == (done, name)


@pytest.mark.timeout(180)
async def test_people_at_one_microphone_are_named_by_the_owners_voices_and_by_nobody_elses(
    stage: Stage, shared_audio: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sara is enrolled with the owner, Tom with another moderator alone."""
    monkeypatch.setattr(recordings, "LOOK_S", 0.2)
    room, key, bens = stage.room(record=True), stage.people.create("anna"), stage.people.create("ben")
    sara, tom = two_speakers(shared_audio).values()
    await enrol(stage, key, "Sara", sara[0][: 8 * SAMPLE_RATE_HZ])
    await enrol(stage, bens, "Tom", tom[0][: 8 * SAMPLE_RATE_HZ])
    anna = await stage.joined(room, key)
    ben = await stage.joined(room, stage.token(room, "moderate")[1])
    named = {"speakers": 4, "voices": "account", **ENGLISH}
    assert (await ben.ask("captions", is_on=True, options=named))["code"] == "forbidden"
    assert (await anna.ask("captions", is_on=True, options=named))["voices"] == "account"
    assert (await ben.told("captions", is_on=True))["voices"] == "account"
    pause, silence = (np.zeros(length_s * SAMPLE_RATE_HZ, np.float32) for length_s in (1, 60))
    said = (sara[1][: 4 * SAMPLE_RATE_HZ], pause, tom[1][: 4 * SAMPLE_RATE_HZ], silence)
    await anna.publish(mouth(np.concatenate(said)))
    first = await ben.told("caption", WITHIN_S, is_final=True)
    await ben.heard(lambda one: one.get("speaker_id", first["speaker_id"]) != first["speaker_id"], WITHIN_S)
    await anna.ask("captions", is_on=False)
    await anna.ask("stop_publishing")
    people = [one.get("speaker") for one in lines(ben)]
    assert people[0] == "Sara"
    assert set(people) == {"Sara", None}
    memory = Memory(stage, room)
    recording = await memory.until("stored")
    sidecar = json.loads(memory.fetch(recording, "events", tmp_path / "events.json").read_text())
    kept = [one.get("speaker") for one in sidecar["events"] if one["event"] == "caption"]
    assert kept == people
    subtitles = read_vtt(memory.fetch(recording, "captions", tmp_path / "captions.vtt").read_text())
    assert subtitles.segments[0].speaker == "Sara"
    assert subtitles.segments[-1].speaker.startswith("anna (")
    memory.close()


@pytest.mark.timeout(180)
async def test_a_window_switches_captions_and_shows_them(
    stage: Stage, shared_audio: Path, tmp_path: Path
) -> None:
    room, key = stage.room(), stage.people.create("anna")
    anna = await stage.joined(room, key)
    async with chromium(np.zeros((SAMPLE_RATE_HZ, 1), np.float32), tmp_path) as browser:
        page = await browser.new_page()
        await page.goto(f"{stage.url}/rooms")
        await page.fill("#credential", key)
        await page.fill("#room-id", room.id)
        await page.press("#room-id", "Enter")
        await page.click("#captions")
        await expect(page.locator("#captions")).to_have_attribute("aria-pressed", "true")
        await anna.publish(mouth(sentences(shared_audio)))
        shown = page.locator("#captions-log li[data-id]")
        line = shown.filter(has_text="with her").first  # a busy machine may end the one before it early
        await expect(line.locator(".who")).to_have_text("anna", timeout=1000 * WITHIN_S)
        await page.click("#captions")
        await expect(page.locator("#captions")).to_have_attribute("aria-pressed", "false")
        await expect(page.locator("#captions-state")).to_be_hidden()
        await page.check("#captions-voices")
        await page.click("#captions")
        await anna.told("captions", is_on=True, voices="account")
        await expect(page.locator("#captions-state")).to_contain_text("the owner enrolled")


async def test_only_who_moderates_switches_captions_and_only_to_what_there_is(stage: Stage) -> None:
    room = stage.room()
    anna = await stage.joined(room, stage.people.create("anna"))
    guest = await stage.joined(room, stage.token(room, "publish")[1])
    assert (await guest.ask("captions", is_on=True))["code"] == "forbidden"
    assert (await anna.ask("captions", is_on=True, options={"language": "fa"}))["code"] == (
        "language_unsupported"
    )
    for wrong in ({"silence_s": 99}, {"voices": "account"}):
        assert (await anna.ask("captions", is_on=True, options=wrong))["code"] == "option_invalid"
    assert not [one for one in guest.messages if one["type"] == "captions"]


async def test_captions_that_find_no_place_are_refused_and_those_of_the_rooms_own_say_so(
    make_stage: SetUp,
) -> None:
    """Places are those of `/v1/live`."""
    stage = make_stage(max_transcriptions=1)
    key = stage.people.create("anna")
    async with running(stage), connect(address(stage)) as socket:
        assert (await ask(socket, "hello", "model_loaded", credential=key))[0]["type"] == "model_loaded"
        anna = await stage.joined(stage.room(), key)
        told = await anna.ask("captions", is_on=True)
        assert told["code"] == "overloaded"
        assert told["retry_after_s"] > 0
        ben = await stage.joined(stage.room(name="captioned", captions=True), key)
        assert ben.joined["captions"]["is_on"] is True
        await ben.publish(mouth(np.zeros(SAMPLE_RATE_HZ, np.float32)))
        await ben.told("captions", troubles={ben.me: "overloaded"})
        await ask(socket, "close", "closed")
        await ben.told("captions", troubles={})
