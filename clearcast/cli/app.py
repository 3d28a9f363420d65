"""The program `clearcast`: global options, its commands, and errors as exit codes."""

from __future__ import annotations

import importlib
import importlib.metadata
import logging
import os
import signal
import sys
import warnings
from typing import Any

import click

from clearcast.cli import exit_codes
from clearcast.cli.session import Session
from clearcast.errors import ClearCastError
from clearcast.privacy import forbid_telemetry

# Name → module, in the order of the help page; each is imported only when it is asked for.
COMMANDS = {
    "meeting": "meeting",
    "diarize": "diarize",
    "transcribe": "transcribe",
    "enhance": "enhance",
    "boost": "boost",
    "separate": "separate",
    "extract": "extract",
    "chain": "chain",
    "classify": "classify",
    "train-keywords": "train_keywords",
    "batch": "batch",
    "plan": "plan",
    "voices": "voices",
    "jobs": "jobs",
    "files": "files",
    "rooms": "rooms",
    "live": "live",
    "keywords": "keywords",
    "stream": "stream",
    "search": "search",
    "models": "models",
    "doctor": "doctor",
    "serve": "serve",
    "users": "users",
    "keys": "keys",
    "bench": "bench",
}


class _Program(click.Group):
    """Loads commands late and turns whatever they raise into a message and an exit code."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"clearcast.cli.{COMMANDS[cmd_name]}")
        command = getattr(module, cmd_name.replace("-", "_"))
        assert isinstance(command, click.Command)
        return command

    def invoke(self, ctx: click.Context) -> Any:
        session = ctx.ensure_object(Session)
        try:
            return super().invoke(ctx)
        except ClearCastError as error:
            session.show_error(error)
            ctx.exit(exit_codes.exit_code_of(error))
        except (KeyboardInterrupt, click.Abort):
            session.notes.print("Stopped.")
            ctx.exit(exit_codes.INTERRUPTED)
        except BrokenPipeError:
            # The reader, for example `head`, has what it wanted; Python must not complain at its end.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            ctx.exit(exit_codes.OK)
        except (click.ClickException, click.exceptions.Exit):
            raise
        except Exception as error:
            session.show_error(error)
            ctx.exit(exit_codes.BUG)


def _version() -> str:
    return importlib.metadata.version("clearcast")


@click.group(
    cls=_Program, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
@click.option("--profile", metavar="NAME|FILE", help="local (default), gpu, cluster, or a YAML file.")
@click.option("--quiet", "-q", is_flag=True, help="No progress and no notes: results and errors only.")
@click.option("--debug", is_flag=True, help="Show tracebacks and log lines.")
@click.version_option(_version(), message="clearcast %(version)s")
@click.pass_context
def clearcast(ctx: click.Context, profile: str | None, quiet: bool, debug: bool) -> None:
    """Sound in, meaning out: who said what, on your own machine.

    \b
    clearcast meeting call.mp3                    who said what, by name
    clearcast transcribe talk.m4a -o talk.srt     subtitles
    clearcast diarize panel.wav --speakers 4      who speaks when
    clearcast voices add Sara sara.wav            so that Sara is called by name
    clearcast jobs submit meeting call.mp3        queued on a server, survives everything
    clearcast models list                         what is on this machine
    clearcast doctor                              what works here, and what to do about the rest

    Work is done in this process; with --server URL, by a ClearCast server. Exit codes: 0 all well, 1 some
    files failed, 2 wrong usage, 3 input, 4 model, 5 service, 130 Ctrl-C.
    """
    forbid_telemetry()
    session = ctx.ensure_object(Session)
    session.profile, session.quiet, session.debug = profile, quiet, debug
    if debug:
        logging.basicConfig(level=logging.DEBUG, format="%(levelname)s %(name)s: %(message)s")
    else:
        warnings.simplefilter("ignore")  # libraries' notes to their developers, not to our users
    # As Ctrl-C: temporary files and child processes go before the program does.
    previous = signal.signal(signal.SIGTERM, _terminated)
    ctx.call_on_close(lambda: signal.signal(signal.SIGTERM, previous))


def _terminated(_number: int, _frame: object) -> None:
    raise SystemExit(exit_codes.TERMINATED)
