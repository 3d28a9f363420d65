"""`clearcast transcribe`: what is said, or what it means in English."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import click

from clearcast.cli import options
from clearcast.cli.options import FileOptions, ServerOptions
from clearcast.cli.session import Session, pass_session
from clearcast.cli.speech import over_files
from clearcast.cli.view import show_transcript
from clearcast.cli.workers import LocalWorker, refuse_with_server, with_model
from clearcast.engines.transcribe.contract import TranscribeOptions
from clearcast.speech.transcript import Transcript


@click.command(short_help="What is said, with times; subtitles.")
@options.files
@options.language
@options.model
@click.option("--translate", is_flag=True, help="English text, whatever is spoken.")
@click.option("--beam-size", type=click.IntRange(1, 20), metavar="N", help="Search width, 5 by default.")
@click.option("--temperature", type=click.FloatRange(0, 1), metavar="T", help="Sampling temperature.")
@options.hotwords
@click.option("--prompt", metavar="TEXT", help="Text said before, for style and spelling.")
@click.option("--batched", is_flag=True, help="Several stretches at once: faster, with less context.")
@options.server
@pass_session
def transcribe(
    session: Session,
    files: FileOptions,
    language: str | None,
    model: str | None,
    translate: bool,
    beam_size: int | None,
    temperature: float | None,
    hotwords: tuple[str, ...],
    prompt: str | None,
    batched: bool,
    server: ServerOptions,
) -> None:
    """What is said, with the times of words; for who said it, see `clearcast meeting`.

    \b
    clearcast transcribe talk.m4a                          show it
    clearcast transcribe talk.m4a -o talk.srt              subtitles
    clearcast transcribe talk.m4a -l fa --model large-v3   Persian, by Whisper large-v3
    clearcast transcribe film.mkv --translate -o film.vtt  English subtitles of anything
    clearcast transcribe lectures/ -o text/ -f txt,json --skip-existing
    clearcast transcribe talk.m4a --hotwords 'Zagros,Damavand' --prompt 'A talk on mountains.'
    """
    refuse_with_server(server, model=model, beam_size=beam_size, batched=batched)
    wanted = TranscribeOptions(
        language=language,
        task="translate" if translate else "transcribe",
        beam_size=beam_size or TranscribeOptions().beam_size,
        temperature=temperature,
        hotwords=hotwords,
        initial_prompt=prompt,
        batched=batched,
    )

    def local(temporary: Path) -> LocalWorker:
        worker = LocalWorker(session, with_model(session.settings, model), temporary)
        worker.require("voice_activity", "transcribe")
        worker.check(wanted)
        return worker

    over_files(
        session,
        files,
        server,
        Transcript,
        lambda worker, path, progress: worker.transcribe(path, wanted, progress),
        partial(show_transcript, session.results),
        local,
    )
