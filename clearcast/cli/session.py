"""What every command is given: the global options, the settings they lead to, and the two consoles.

Results go to standard output; progress, notes and errors to standard error, so that results can be piped.
"""

from __future__ import annotations

import sys
import traceback
from dataclasses import dataclass, field
from functools import cached_property

import click
from rich.console import Console
from rich.text import Text

from clearcast.errors import ClearCastError
from clearcast.settings import Settings, load_settings

_PIPED_WIDTH = 200  # characters of a table's line where no terminal tells its own


def _results() -> Console:
    width = None if sys.stdout.isatty() else _PIPED_WIDTH
    return Console(highlight=False, soft_wrap=True, width=width)


def _notes() -> Console:
    width = None if sys.stderr.isatty() else _PIPED_WIDTH
    return Console(stderr=True, highlight=False, soft_wrap=True, width=width)


@dataclass
class Session:
    """Attributes:
    profile: name or path, None for the default one.
    debug: show tracebacks and log lines.
    quiet: no progress, no notes; errors only.
    """

    profile: str | None = None
    debug: bool = False
    quiet: bool = False
    results: Console = field(default_factory=_results)
    notes: Console = field(default_factory=_notes)

    @cached_property
    def settings(self) -> Settings:
        """Read when a command first needs them, so that `--help` works with a broken profile."""
        return load_settings(self.profile)

    def note(self, text: str | Text, style: str = "") -> None:
        """A line for the person at the terminal."""
        if not self.quiet:
            self.notes.print(text, style=style, markup=False)

    def show_error(self, error: Exception, about: str | None = None) -> None:
        """Message, what to do, and the code to look up; the traceback only with --debug."""
        if self.debug:
            self.notes.print("".join(traceback.format_exception(error)), markup=False)
        line = Text()
        if about is not None:
            line.append(f"{about}: ", style="bold")
        if isinstance(error, ClearCastError):
            line.append(error.message, style="red").append(f" [{error.code}]", style="dim")
            self.notes.print(line)
            if error.hint:
                self.notes.print(f"  → {error.hint}", markup=False)
            return
        line.append(f"Something unexpected went wrong: {type(error).__name__}: {error}", style="red")
        self.notes.print(line)
        if not self.debug:
            self.notes.print("  → Run the same command with --debug: clearcast --debug …", markup=False)


pass_session = click.make_pass_decorator(Session)
