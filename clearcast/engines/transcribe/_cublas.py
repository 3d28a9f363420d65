"""cuBLAS 12 for CTranslate2, which asks for it by name while torch brings cuBLAS 13.

What lives here: finding and loading the library. What does not: the engine. CTranslate2 4.8 opens
`libcublas.so.12` when it first multiplies on a GPU, and finds what this process has loaded already.
"""

from __future__ import annotations

import ctypes
import importlib.util
from collections.abc import Callable, Iterator
from pathlib import Path

from clearcast.errors import SettingsInvalid

LIBRARIES = ("libcublasLt.so.12", "libcublas.so.12")  # the second needs the first


def load_cublas(folders: Callable[[], Iterator[Path]] | None = None) -> None:
    """Load cuBLAS 12 of the system, or of the package nvidia-cublas-cu12. Raises SettingsInvalid."""
    places = ["", *(f"{folder}/" for folder in (folders or package_folders)())]
    for place in places:
        try:
            for library in LIBRARIES:
                ctypes.CDLL(place + library, mode=ctypes.RTLD_GLOBAL)
        except OSError:
            continue
        return
    raise SettingsInvalid(
        "Whisper on a GPU needs cuBLAS 12, which is not here.",
        hint="Install what requirements-gpu.lock names: GPU=1 bash tools/make_environment.sh",
    )


def package_folders() -> Iterator[Path]:
    """Where NVIDIA's packages keep libraries of CUDA 12 in this environment."""
    spec = importlib.util.find_spec("nvidia")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        yield Path(folder) / "cublas" / "lib"
