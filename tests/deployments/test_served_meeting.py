"""The meeting pipeline over Ray Serve: the same result as in one process, through deaths and overload."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ray import serve

from clearcast.audio.recording import Clip, Recording
from clearcast.audio.sandbox import Prepared
from clearcast.audio.sound import SoundReader
from clearcast.engines.classify.contract import ClassifyOptions
from clearcast.engines.diarize.contract import DiarizeOptions
from clearcast.engines.transcribe.contract import TranscribeOptions
from clearcast.errors import LanguageUnsupported, NotFound, Overloaded, ServiceTimeout
from clearcast.local import local_services
from clearcast.services import Services
from clearcast.settings import Settings
from clearcast.speech.meeting import Meeting
from clearcast.storage.voices import Voice
from deployments.app import wire
from deployments.handles import Caller, ServedTranscriber
from deployments.handles import served as served_over
from pipelines.alone import Bench
from pipelines.enrol import run_enrolment
from pipelines.identify import solo_turns
from pipelines.meeting import MeetingOptions, run_meeting
from pipelines.recipe import KeptSound
from pipelines.recipes import all_recipes

pytestmark = pytest.mark.timeout(240)

ENGLISH = MeetingOptions(transcribe=TranscribeOptions(language="en"))


@pytest.fixture(scope="module")
def app(ray_cluster: None, serve_settings: Settings) -> Iterator[str]:
    serve.run(wire(serve_settings), name="meeting", route_prefix="/meeting")
    yield "meeting"
    serve.delete("meeting")


@pytest.fixture
def served(app: str, serve_settings: Settings) -> Services:
    names = (
        "diarizer",
        "embedder",
        "transcriber",
        "booster",
        "denoiser",
        "separator",
        "extractor",
        "classifier",
    )
    return served_over(serve_settings, {name: serve.get_deployment_handle(name, app) for name in names})


@pytest.fixture
async def in_one_process(serve_settings: Settings, conversation: Prepared) -> AsyncIterator[Meeting]:
    yield await run_meeting(
        local_services(serve_settings), clip_of(conversation.path), conversation.duration_s, (), ENGLISH
    )


def clip_of(path: Path) -> Clip:
    return Clip(path.resolve().as_uri())


async def test_served_result_equals_the_one_made_in_one_process(
    served: Services, conversation: Prepared, in_one_process: Meeting
) -> None:
    meeting = await run_meeting(served, clip_of(conversation.path), conversation.duration_s, (), ENGLISH)
    assert meeting == in_one_process
    assert len(meeting.speakers) == 2
    assert meeting.transcript is not None
    assert {made_by.engine for made_by in meeting.transcript.provenance} == {"vbx", "pocketsphinx"}


async def test_enrolled_speakers_are_called_by_name(served: Services, conversation: Prepared) -> None:
    clip, duration_s = clip_of(conversation.path), conversation.duration_s
    no_text = MeetingOptions(transcribe=None)
    strangers = await run_meeting(served, clip, duration_s, (), no_text)
    voices = []
    for name, speaker in zip(("Ada", "Bo"), strangers.speakers, strict=True):
        turns = solo_turns(strangers.diarization, speaker.label)
        clips = [replace(clip, start_s=turn.start_s, end_s=turn.end_s) for turn in turns]
        voices.append(Voice(name, ((await run_enrolment(served, clips)).sample,)))
    meeting = await run_meeting(served, clip, duration_s, voices, no_text)
    assert [speaker.shown_as for speaker in meeting.speakers] == ["Ada", "Bo"]
    assert set(meeting.diarization.speakers) == {"Ada", "Bo"}


@pytest.mark.parametrize("victim", ["diarizer", "transcriber"])
async def test_killing_a_model_in_mid_meeting_ends_in_a_correct_result(
    served: Services,
    serve_settings: Settings,
    repeated: Callable[[int], Path],
    replica_pid: Callable[[str], int],
    victim: str,
) -> None:
    stage, times = {"diarizer": ("diarize", 16), "transcriber": ("transcribe", 2)}[victim]
    long_recording = repeated(times)
    killed: list[int] = []

    def kill_once(name: str, fraction: float) -> None:
        if name == stage and 0 < fraction < 1 and not killed:
            killed.append(replica_pid(victim))
            os.kill(killed[0], signal.SIGKILL)

    with Recording.open(long_recording) as recording:
        duration_s = recording.duration_s
    options = MeetingOptions(transcribe=None) if victim == "diarizer" else ENGLISH
    meeting = await run_meeting(
        served, clip_of(long_recording), duration_s, (), options, progress=kill_once
    )
    assert killed
    expected = await run_meeting(
        local_services(serve_settings), clip_of(long_recording), duration_s, (), options
    )
    assert meeting == expected


async def test_served_keywords_are_those_of_one_process(
    served: Services, serve_settings: Settings, conversation: Prepared
) -> None:
    clip, options = clip_of(conversation.path), ClassifyOptions(keep_unknown=True)
    found = await served.classifier.classify(clip, options)
    assert found == await local_services(serve_settings).classifier.classify(clip, options)
    assert len(found.words) > 10


async def test_served_sounds_are_those_made_in_one_process(
    served: Services, serve_settings: Settings, conversation: Prepared, tmp_path: Path
) -> None:
    recipe = all_recipes()["chain"]
    extract = {"pipeline": "extract", "options": {"everyone": True}}
    steps = [{"pipeline": "enhance"}, {"pipeline": "boost"}, extract]
    wanted = recipe.Options.model_validate({"steps": steps})
    made = []
    for name, services in (("served", served), ("local", local_services(serve_settings))):
        folder = tmp_path / name
        folder.mkdir()
        bench = Bench(services, serve_settings.audio, folder)
        outcome = await bench.run(recipe, conversation.path, wanted)
        with SoundReader.open(bench.sound_path("3-speaker-2")) as sound:
            made.append((outcome.results, sound.read()))
    (found, found_samples), (expected, expected_samples) = made
    assert list(found) == list(expected)
    for name, sound in expected.items():
        if isinstance(sound, KeptSound):
            assert found[name].provenance == sound.provenance
            assert found[name].score == pytest.approx(sound.score, abs=1e-3)
    np.testing.assert_allclose(found_samples, expected_samples, atol=1e-5)


async def test_progress_moves_forward_from_every_stage(
    served: Services, repeated: Callable[[int], Path]
) -> None:
    long_recording = repeated(2)
    seen: dict[str, list[float]] = {}
    with Recording.open(long_recording) as recording:
        duration_s = recording.duration_s
    await run_meeting(
        served,
        clip_of(long_recording),
        duration_s,
        (),
        ENGLISH,
        progress=lambda stage, fraction: seen.setdefault(stage, []).append(fraction),
    )
    assert set(seen) == {"diarize", "identify", "transcribe"}
    # how many depends on how busy the machine is: fractions are told by the clock
    assert [fraction for fraction in seen["transcribe"] if 0 < fraction < 1]
    for fractions in seen.values():
        assert fractions == sorted(fractions)


async def test_an_error_of_the_engine_arrives_as_itself(served: Services, conversation: Prepared) -> None:
    with pytest.raises(LanguageUnsupported) as caught:
        await served.transcriber.transcribe(clip_of(conversation.path), TranscribeOptions(language="fa"))
    assert caught.value.fields["language"] == "fa"
    with pytest.raises(NotFound):
        await served.diarizer.diarize(Clip("file:///nowhere.wav"), DiarizeOptions())


async def test_a_call_that_takes_too_long_is_a_timeout(app: str, repeated: Callable[[int], Path]) -> None:
    impatient = ServedTranscriber(
        Caller(serve.get_deployment_handle("transcriber", app), "transcriber", timeout_s=0.5)
    )
    with pytest.raises(ServiceTimeout):
        await impatient.transcribe(clip_of(repeated(2)), TranscribeOptions(language="en"))


async def test_a_cancelled_meeting_frees_the_model(
    served: Services, repeated: Callable[[int], Path], conversation: Prepared
) -> None:
    long_recording = repeated(4)
    with Recording.open(long_recording) as recording:
        duration_s = recording.duration_s
    started = asyncio.Event()

    def on_progress(stage: str, fraction: float) -> None:
        if stage == "transcribe" and fraction > 0:
            started.set()

    meeting = asyncio.ensure_future(
        run_meeting(served, clip_of(long_recording), duration_s, (), ENGLISH, progress=on_progress)
    )
    await asyncio.wait_for(started.wait(), 60)
    meeting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await meeting
    # The engine works on one thing at a time: were the long one still going, this would wait for it.
    short = Clip(clip_of(conversation.path).uri, 0.0, 3.0)
    await asyncio.wait_for(served.transcriber.transcribe(short, TranscribeOptions(language="en")), 15)


async def test_calls_for_voiceprints_that_arrive_together_get_their_own_answers(
    served: Services, conversation: Prepared
) -> None:
    clip = clip_of(conversation.path)
    groups = [[replace(clip, start_s=float(s), end_s=float(s) + 4.0)] for s in range(6, 22, 4)]
    together = await asyncio.gather(*[served.embedder.embed([group]) for group in groups])
    for group, answer in zip(groups, together, strict=True):
        (alone,) = await served.embedder.embed([group])
        (voiceprint,) = answer
        assert alone is not None
        assert voiceprint is not None
        assert float(alone @ voiceprint) == pytest.approx(1.0, abs=1e-5)


async def test_too_many_calls_at_once_are_told_to_come_back(
    ray_cluster: None, serve_settings: Settings, repeated: Callable[[int], Path], tmp_path: Path
) -> None:
    long_recording = repeated(4)
    tight = serve_settings.serve.transcriber.model_copy(
        update={"max_ongoing_requests": 1, "max_queued_requests": 1}
    )
    # A folder of its own: the job runner of a second platform on the same one would wait for the first.
    limits = serve_settings.serve.model_copy(update={"transcriber": tight})
    settings = serve_settings.model_copy(update={"serve": limits, "data_dir": tmp_path / "tight"})
    serve.run(wire(settings), name="tight", route_prefix="/tight")
    try:
        caller = Caller(serve.get_deployment_handle("transcriber", "tight"), "transcriber", 60)
        transcriber = ServedTranscriber(caller)
        calls = [
            asyncio.ensure_future(
                transcriber.transcribe(clip_of(long_recording), TranscribeOptions(language="en"))
            )
            for _ in range(8)
        ]
        done, waiting = await asyncio.wait(calls, timeout=10, return_when=asyncio.FIRST_EXCEPTION)
        refused = [call.exception() for call in done]
        for call in waiting:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)
        assert refused
        assert all(isinstance(error, Overloaded) and error.retry_after_s > 0 for error in refused)
    finally:
        serve.delete("tight")
