"""Who does the work: this process, or a ClearCast server. Commands see no difference."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import tempfile
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol, TypeVar

import click

from clearcast.accounts.stored_keys import StoredKeys
from clearcast.audio.limited import start_at_once, stop_at_once
from clearcast.audio.recording import Clip
from clearcast.audio.sandbox import Prepared, prepare
from clearcast.audio.sound_check import remarks_on, warnings_on
from clearcast.catalogue import chosen_engine
from clearcast.cli.exit_codes import INTERRUPTED
from clearcast.cli.options import ServerOptions
from clearcast.cli.session import Session
from clearcast.client import ClearCast
from clearcast.engines.classify.contract import ClassifyOptions
from clearcast.engines.diarize.contract import DiarizeOptions
from clearcast.engines.transcribe.contract import TranscribeOptions, TranscriptionEngine
from clearcast.errors import ClearCastError, InputError, NotFound, ServiceError, SettingsInvalid
from clearcast.local import local_services
from clearcast.models.store import locate
from clearcast.services import Services
from clearcast.settings import Settings
from clearcast.speech.keywords import Keywords
from clearcast.speech.meeting import Meeting
from clearcast.speech.transcript import Transcript
from clearcast.speech.turns import Diarization
from clearcast.storage.voices import Voice
from pipelines.alone import Bench, Outcome
from pipelines.enrol import Enrolment, run_enrolment
from pipelines.meeting import MeetingOptions, run_meeting, with_whisper
from pipelines.recipe import Recipe, RecipeOptions
from pipelines.stages import StageProgress
from pipelines.transcribe import run_transcription

T = TypeVar("T")


class Worker(Protocol):
    """What commands ask for. Raises what the pipelines and the client raise."""

    def meeting(self, path: Path, options: MeetingOptions, progress: StageProgress) -> Meeting: ...

    def diarize(self, path: Path, options: DiarizeOptions, progress: StageProgress) -> Diarization: ...

    def transcribe(self, path: Path, options: TranscribeOptions, progress: StageProgress) -> Transcript: ...


class LocalWorker:
    """Runs the pipelines in this process, with the profile's engines, loaded at first use."""

    def __init__(
        self, session: Session, settings: Settings, temporary: Path, voices: Sequence[Voice] = ()
    ) -> None:
        self.session = session
        self.settings = settings
        self.temporary = temporary
        self.voices = voices

    @cached_property
    def _services(self) -> Services:
        return local_services(self.settings)

    def require(self, *services: str) -> None:
        """Raises ModelMissing, ModelCorrupt before any work for a model that these services lack."""
        for service in services:
            engine = chosen_engine(service, self.settings)
            for spec in type(engine).models(engine.options):
                locate(spec, self.settings.models_path)

    def check(self, options: TranscribeOptions) -> None:
        """Raises LanguageUnsupported, OptionInvalid before any work for what the engine never does."""
        engine = chosen_engine("transcribe", self.settings)
        assert isinstance(engine, TranscriptionEngine)
        engine.check(options)

    def meeting(self, path: Path, options: MeetingOptions, progress: StageProgress) -> Meeting:
        async def work(prepared: Prepared, clip: Clip) -> Meeting:
            return await run_meeting(
                self._services, clip, prepared.duration_s, self.voices, options, progress
            )

        meeting, warnings = self._on_copy(path, work, progress)
        return replace(meeting, warnings=(*warnings, *meeting.warnings))

    def diarize(self, path: Path, options: DiarizeOptions, progress: StageProgress) -> Diarization:
        async def work(_prepared: Prepared, clip: Clip) -> Diarization:
            return await self._services.diarizer.diarize(
                clip, options, lambda fraction: progress("diarize", fraction)
            )

        return self._noted(*self._on_copy(path, work, progress))

    def transcribe(self, path: Path, options: TranscribeOptions, progress: StageProgress) -> Transcript:
        async def work(prepared: Prepared, clip: Clip) -> Transcript:
            return await run_transcription(self._services, clip, prepared.duration_s, options, progress)

        return self._noted(*self._on_copy(path, work, progress))

    def enrol(self, paths: Sequence[Path], progress: StageProgress) -> tuple[Enrolment, str | None]:
        """One voiceprint from recordings of one person, and what would make it better, if anything."""

        async def work() -> tuple[Enrolment, str | None]:
            recordings = []
            for number, path in enumerate(paths):
                target = self.temporary / f"voice-{number}.wav"
                recordings.append(
                    await prepare(
                        path, target, self.settings.audio, lambda fraction: progress("decode", fraction)
                    )
                )
            progress("listen", 0.0)
            clips = [Clip(recording.path.resolve().as_uri()) for recording in recordings]
            enrolment = await run_enrolment(self._services, clips)
            remarks = remarks_on(recordings, enrolment.advice)
            return enrolment, " ".join(remark.message for remark in remarks) or None

        return self._run(work())

    def make_sounds(
        self, recipe: Recipe, path: Path, options: RecipeOptions, progress: StageProgress
    ) -> tuple[Bench, Outcome]:
        """Run a recipe that makes sounds, which lie where the bench says until the next run."""
        bench = Bench(self._services, self.settings.audio, self.temporary, self.voices)
        outcome = self._run(bench.run(recipe, path, options, progress))
        self._noted(outcome, outcome.warnings)
        return bench, outcome

    def classify(
        self, paths: Sequence[Path], options: ClassifyOptions, told: Callable[[int], None]
    ) -> list[Keywords | ClearCastError]:
        """The keywords of each recording, or what went wrong with it. As many files are decoded at a time
        as there are cores; `told` hears how many are done. Raises what every file would fail of."""
        if len(paths) > 1:
            start_at_once()  # a fresh process for each file would take ten times as long as its words
        at_once = asyncio.Semaphore(os.cpu_count() or 1)
        num_done = 0

        async def one(number: int, path: Path) -> Keywords | ClearCastError:
            nonlocal num_done
            copy = self.temporary / f"{number}.wav"
            async with at_once:
                try:
                    await prepare(path, copy, self.settings.audio)
                    return await self._services.classifier.classify(Clip(copy.resolve().as_uri()), options)
                except (InputError, NotFound, ServiceError) as error:  # the others would meet every file
                    return error
                finally:
                    copy.unlink(missing_ok=True)
                    num_done += 1
                    told(num_done)

        async def work() -> list[Keywords | ClearCastError]:
            try:
                async with asyncio.TaskGroup() as group:
                    tasks = [group.create_task(one(number, path)) for number, path in enumerate(paths)]
            except ExceptionGroup as errors:
                raise errors.exceptions[0] from None  # all are alike
            return [task.result() for task in tasks]

        try:
            return self._run(work())
        finally:
            stop_at_once()

    def _noted(self, result: T, warnings: Sequence[str]) -> T:
        for warning in warnings:
            self.session.note(warning, style="yellow")
        return result

    def _on_copy(
        self,
        path: Path,
        work: Callable[[Prepared, Clip], Coroutine[Any, Any, T]],
        progress: StageProgress,
    ) -> tuple[T, tuple[str, ...]]:
        """Decode, run `work` on the working copy, remove it; the result, and what readers should know."""
        target = self.temporary / "recording.wav"

        async def run() -> tuple[T, tuple[str, ...]]:
            prepared = await prepare(
                path, target, self.settings.audio, lambda fraction: progress("decode", fraction)
            )
            result = await work(prepared, Clip(target.resolve().as_uri()))
            return result, warnings_on(prepared)

        try:
            return self._run(run())
        finally:
            target.unlink(missing_ok=True)

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run to the end, or until Ctrl-C: the first one stops the work in an orderly way and waits for the
        engine's next step, the second leaves at once. Either way no file and no process stays behind."""
        with asyncio.Runner() as runner:
            task = runner.get_loop().create_task(work)

            def interrupted(_number: int, _frame: object) -> None:
                if task.cancelling():
                    self.session.notes.show_cursor(True)
                    shutil.rmtree(self.temporary, ignore_errors=True)
                    os._exit(INTERRUPTED)
                self.session.note("Stopping … (Ctrl-C again to leave at once)")
                task.get_loop().call_soon_threadsafe(task.cancel)

            previous = signal.signal(signal.SIGINT, interrupted)
            try:
                return runner.get_loop().run_until_complete(task)
            except asyncio.CancelledError:
                raise KeyboardInterrupt from None
            finally:
                signal.signal(signal.SIGINT, previous)


class ServerWorker:
    """Has a server do the work. Names come from the voices enrolled there."""

    def __init__(self, session: Session, client: ClearCast) -> None:
        self.session = session
        self.client = client

    def meeting(self, path: Path, options: MeetingOptions, progress: StageProgress) -> Meeting:
        progress("server", 0.0)
        speakers, text = options.diarize, options.transcribe
        return self.client.meeting(
            path,
            num_speakers=speakers.num_speakers,
            min_speakers=speakers.min_speakers,
            max_speakers=speakers.max_speakers,
            language=text.language if text else None,
            output_transcriptions=text is not None,
            hotwords=text.hotwords if text else (),
        )

    def diarize(self, path: Path, options: DiarizeOptions, progress: StageProgress) -> Diarization:
        return self.meeting(path, MeetingOptions(options, transcribe=None), progress).diarization

    def transcribe(self, path: Path, options: TranscribeOptions, progress: StageProgress) -> Transcript:
        progress("server", 0.0)
        return self.client.transcribe(
            path,
            on_warning=lambda text: self.session.note(text, style="yellow"),
            language=options.language,
            prompt=options.initial_prompt,
            hotwords=options.hotwords,
            temperature=options.temperature,
            translate=options.task == "translate",
        )


def connect(session: Session, server: ServerOptions) -> ClearCast:
    """A client for --server."""
    assert server.url is not None
    return ClearCast(server.url, api_key=key_for(session, server, server.url))


def key_for(session: Session, server: ServerOptions, url: str) -> str | None:
    """The key of --api-key, of --key-file's first line, or stored for `url`. Raises SettingsInvalid."""
    if server.api_key is not None:
        return server.api_key
    if server.key_file is None:
        return StoredKeys(session.settings.config_path).key_for(url)
    try:
        return server.key_file.read_text(encoding="utf-8").split("\n", 1)[0].strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsInvalid(f"The key file {server.key_file} cannot be read.") from error


def refuse_with_server(server: ServerOptions, **given: object) -> None:
    """Raises UsageError for options that only work in this process, when a server is named."""
    for name, value in given.items():
        if server.url is not None and value:
            option = "--" + name.replace("_", "-")
            raise click.UsageError(f"{option} does not go with --server: the server decides that.")


def with_model(settings: Settings, model: str | None) -> Settings:
    """The settings with the Whisper model of --model, if one is named."""
    return settings if model is None else with_whisper(settings, model.removeprefix("whisper-"))


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """A folder for working copies that goes with the program."""
    with tempfile.TemporaryDirectory(prefix="clearcast-") as folder:
        yield Path(folder)
