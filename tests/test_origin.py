"""Whose application packages these are."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from clearcast.origin import ROOT, assert_own_packages


def test_the_application_packages_are_ours() -> None:
    assert_own_packages()
    assert (ROOT / "clearcast" / "origin.py").is_file()


def test_a_strangers_package_of_the_same_name_is_refused(tmp_path: Path) -> None:
    (tmp_path / "streaming").mkdir()
    (tmp_path / "streaming" / "__init__.py").write_text("")
    script = (
        f"import sys; sys.path[:0] = [{str(tmp_path)!r}, {str(ROOT)!r}]\n"
        "from clearcast.origin import assert_own_packages\n"
        "from clearcast.errors import SettingsInvalid\n"
        "try: assert_own_packages()\n"
        "except SettingsInvalid as error: print(error.fields['package'])\n"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "streaming"
