"""People with keys for tests, made on the database of some settings without a service."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path

from clearcast.accounts.accounts import accounts_of
from clearcast.accounts.scopes import EVERYTHING
from clearcast.errors import NotFound
from clearcast.settings import Settings

OPERATOR = "operator"
"""The admin that there always is; everybody else is an ordinary person."""


class People:
    """The people of a test. Each is made when first asked for."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def id_of(self, name: str) -> str:
        with accounts_of(self._settings) as accounts:
            try:
                return accounts.users.find(name).id
            except NotFound:
                if name != OPERATOR and not accounts.users.has_admin():
                    accounts.users.create(OPERATOR)
                return accounts.users.create(name).id

    def create(self, name: str, scopes: Iterable[str] = (EVERYTHING,)) -> str:
        """A key of this person."""
        user_id = self.id_of(name)
        with accounts_of(self._settings) as accounts:
            return accounts.keys.create(user_id, scopes=scopes)[1]

    def revoke_all(self, name: str) -> None:
        user_id = self.id_of(name)
        with accounts_of(self._settings) as accounts:
            for record in accounts.keys.list(user_id):
                accounts.keys.revoke(user_id, record.id)


def prepare_database(settings: Settings, template: Path | None = None) -> None:
    """Bring the schema of SQLite in `data_dir` up to date, by copying `template` where one is given."""
    if template is not None and not (settings.data_path / "clearcast.sqlite").exists():
        settings.data_path.mkdir(parents=True, exist_ok=True)
        shutil.copy(template, settings.data_path / "clearcast.sqlite")
        return
    with accounts_of(settings) as accounts:
        accounts.prepare(require_key=settings.http.require_key)
