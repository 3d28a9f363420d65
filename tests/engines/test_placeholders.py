"""Whoever looks at every module wakes nothing of SpeechBrain's."""

from __future__ import annotations

import subprocess
import sys

LOOK_AT_ALL = "for module in list(sys.modules.values()): getattr(module, '__file__', None)"


def test_all_modules_can_be_looked_at_once_the_placeholders_are_forgotten() -> None:
    imports = (
        "import sys, warnings; warnings.simplefilter('ignore'); import speechbrain.inference.classifiers"
    )
    forget = "from clearcast.engines.placeholders import forget_placeholders; forget_placeholders()"
    assert _runs(f"{imports}; {forget}\n{LOOK_AT_ALL}")
    assert not _runs(f"{imports}\n{LOOK_AT_ALL}"), (
        "SpeechBrain mended it: nothing need be forgotten any more"
    )


def _runs(code: str) -> bool:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).returncode == 0
