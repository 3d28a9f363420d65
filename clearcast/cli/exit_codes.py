"""What the program's exit codes mean, and which error gives which. `docs/cli.md` lists them."""

from __future__ import annotations

from clearcast.errors import (
    AccessError,
    Cancelled,
    ClearCastError,
    Conflict,
    InputError,
    ModelError,
    NotFound,
    OptionInvalid,
    ServiceError,
    SettingsInvalid,
)

OK = 0
SOME_FAILED = 1  # of several files; also a check of `doctor` that failed
USAGE = 2  # a wrong option, argument or setting
INPUT = 3  # the one file that was given cannot be used
MODEL = 4  # a model is missing, damaged, or could not be fetched
SERVICE = 5  # a server cannot be reached, is busy, or refuses the key
BUG = 70  # something unexpected inside ClearCast (EX_SOFTWARE of sysexits.h)
INTERRUPTED = 130  # Ctrl-C: 128 + SIGINT
TERMINATED = 143  # 128 + SIGTERM


def exit_code_of(error: ClearCastError) -> int:
    """The exit code of a command that ended with this error."""
    by_class: tuple[tuple[type[ClearCastError], int], ...] = (
        (OptionInvalid, USAGE),
        (SettingsInvalid, USAGE),
        (InputError, INPUT),
        (NotFound, INPUT),
        (Conflict, INPUT),
        (ModelError, MODEL),
        (Cancelled, INTERRUPTED),
        (AccessError, SERVICE),
        (ServiceError, SERVICE),
    )
    return next((code for kind, code in by_class if isinstance(error, kind)), BUG)
