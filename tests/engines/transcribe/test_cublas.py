"""cuBLAS 12 for Whisper on a GPU: found where it is, and asked for by name where it is not."""

from __future__ import annotations

import ctypes
from pathlib import Path

import pytest

from clearcast.engines.transcribe import _cublas
from clearcast.engines.transcribe._cublas import load_cublas
from clearcast.errors import SettingsInvalid


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Libraries that were asked for; only those below a folder called `there` can be loaded."""
    names: list[str] = []

    def load(name: str, mode: int) -> object:
        assert mode == ctypes.RTLD_GLOBAL  # so that CTranslate2 finds it
        names.append(name)
        if "there/" not in name:
            raise OSError(name)
        return object()

    monkeypatch.setattr(_cublas.ctypes, "CDLL", load)
    return names


def test_the_package_is_taken_where_the_system_has_none(asked: list[str]) -> None:
    load_cublas(lambda: iter([Path("/not"), Path("/there")]))
    assert asked[-2:] == ["/there/libcublasLt.so.12", "/there/libcublas.so.12"]


def test_a_machine_without_it_is_told_how_to_get_it(asked: list[str]) -> None:
    with pytest.raises(SettingsInvalid, match="cuBLAS 12") as raised:
        load_cublas(lambda: iter([Path("/not")]))
    assert raised.value.hint is not None and "GPU=1" in raised.value.hint
    assert "libcublasLt.so.12" in asked
