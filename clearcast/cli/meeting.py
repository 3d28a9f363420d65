"""`clearcast meeting`: who said what, by name."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import click

from clearcast.cli import options
from clearcast.cli.options import FileOptions, ServerOptions
from clearcast.cli.session import Session, pass_session
from clearcast.cli.speech import over_files
from clearcast.cli.view import show_meeting
from clearcast.cli.voice_shelves import local_voices
from clearcast.cli.workers import LocalWorker, refuse_with_server, with_model
from clearcast.engines.diarize.contract import DiarizeOptions
from clearcast.engines.transcribe.contract import TranscribeOptions
from clearcast.speech.meeting import Meeting
from pipelines.meeting import MeetingOptions


@click.command(short_help="Who said what, by name.")
@options.files
@options.voices_file
@options.speakers
@options.language
@options.model
@options.hotwords
@click.option("--no-text", is_flag=True, help="Turns and names only; much faster.")
@options.server
@pass_session
def meeting(
    session: Session,
    files: FileOptions,
    voices_file: Path | None,
    speakers: DiarizeOptions,
    language: str | None,
    model: str | None,
    hotwords: tuple[str, ...],
    no_text: bool,
    server: ServerOptions,
) -> None:
    """Who said what, by name: speakers told apart, recognised, their words written down.

    Speakers are called by name where `clearcast voices add` has enrolled them, or from --voices FILE;
    others stay SPEAKER_00, SPEAKER_01 …

    \b
    clearcast meeting call.mp3                             show it
    clearcast meeting call.mp3 -o call.srt                 subtitles with names
    clearcast meeting week/ -o transcripts/ -f json,txt    a whole folder
    clearcast meeting call.mp3 --voices team.json --speakers 3 --language en
    clearcast meeting call.mp3 --model small               words by Whisper small
    clearcast meeting call.mp3 --server http://127.0.0.1:8000
    clearcast meeting - -f json < call.mp3 | jq .speakers
    """
    refuse_with_server(server, model=model, voices=voices_file)
    text = None if no_text else TranscribeOptions(language=language, hotwords=hotwords)
    if no_text and {"srt", "vtt"} & files.wanted_formats:
        raise click.UsageError("Subtitles need words: leave out --no-text, or choose json, txt, rttm.")

    def local(temporary: Path) -> LocalWorker:
        settings = with_model(session.settings, model)
        worker = LocalWorker(session, settings, temporary, local_voices(settings, voices_file))
        worker.require("diarize", "voice_activity", "embed")
        if text is not None:
            worker.require("transcribe")
            worker.check(text)
        return worker

    wanted = MeetingOptions(speakers, text)
    over_files(
        session,
        files,
        server,
        Meeting,
        lambda worker, path, progress: worker.meeting(path, wanted, progress),
        partial(show_meeting, session.results),
        local,
    )
