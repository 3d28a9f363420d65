"""Whose packages `deployments`, `pipelines` and `streaming` are: ours, or a stranger's of the same name.

The names are common enough that a package in site-packages can take their place, and then a stranger's
code would run as ours. Asked at service start, by `clearcast doctor` and by a test.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

from clearcast.errors import SettingsInvalid

APPLICATION_PACKAGES = ("deployments", "pipelines", "streaming")
ROOT = Path(__file__).resolve().parent.parent
"""The checkout, or the folder ClearCast was installed into."""


def assert_own_packages() -> None:
    """Raises SettingsInvalid when an application package is not the one that lies beside `clearcast`."""
    for name in APPLICATION_PACKAGES:
        found = importlib.util.find_spec(name)
        origin = Path(found.origin).resolve() if found and found.origin else None
        if origin != ROOT / name / "__init__.py":
            raise SettingsInvalid(
                f"The package {name!r} is not ClearCast's own but {origin or 'missing'}.",
                hint=f"Put {ROOT} first on PYTHONPATH, or uninstall the package that brings {name!r}.",
                package=name,
            )
