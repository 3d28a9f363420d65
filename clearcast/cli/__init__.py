"""The command line: `clearcast meeting | diarize | transcribe | voices | models | doctor | serve | …`.

What lives here: one file per command, and what commands share: inputs, outputs, progress, errors as exit
codes. What does not: the work itself (`pipelines`, `clearcast.client`). Nothing else imports click or rich.
"""

from __future__ import annotations


def main() -> None:
    """Entry point of the program `clearcast`."""
    from clearcast.cli.app import clearcast  # only now: whoever imports the package pays nothing

    clearcast.main(prog_name="clearcast")
