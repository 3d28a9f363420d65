"""SpeechBrain's placeholders: modules that are imported when somebody touches them."""

from __future__ import annotations

import sys


def forget_placeholders() -> None:
    """Take SpeechBrain's placeholders, of which no engine needs one, out of `sys.modules`.

    To be called after whatever imports SpeechBrain; pyannote.audio does, too.

    Whoever looks through all modules (`inspect`, pickle, Hypothesis) would wake them, and they import
    packages that are not installed, such as k2.
    """
    if "speechbrain.utils.importutils" not in sys.modules:
        return
    from speechbrain.utils.importutils import LazyModule

    for name, module in list(sys.modules.items()):
        if isinstance(module, LazyModule):
            del sys.modules[name]
