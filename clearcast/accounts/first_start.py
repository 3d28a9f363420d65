"""The first start on a laptop: an admin, a key for the command line, and a log-in by one click.

What lives here: what `clearcast serve` prepares. What does not: printing it (`deployments/server.py`).
"""

from __future__ import annotations

from dataclasses import dataclass

from clearcast.accounts.accounts import accounts_of
from clearcast.accounts.stored_keys import StoredKeys
from clearcast.settings import Settings

ADMIN = "admin"
KEY_LABEL = "command line of this machine"


@dataclass(frozen=True, slots=True)
class Start:
    """Attributes:
    login_code: logs an admin in who has no password, once; None when all admins have one.
    made_key: whether a key was made and stored for the command line.
    """

    login_code: str | None
    made_key: bool


def prepare_start(settings: Settings, url: str) -> Start:
    """Make the admin, without a password, and the command line's key, unless there is an admin already.

    Raises SettingsInvalid, ServiceUnavailable.
    """
    with accounts_of(settings) as accounts:
        if not accounts.users.has_admin():
            admin = accounts.users.create(ADMIN)
            _, key = accounts.keys.create(admin.id, KEY_LABEL)
            StoredKeys(settings.config_path).put(url, key)
            return Start(accounts.tokens.make_code(admin.id), made_key=True)
        admins = [one for one in accounts.users.list(limit=1000) if one.is_admin and not one.is_disabled]
        passwordless = [one for one in admins if not one.has_password]
        code = accounts.tokens.make_code(passwordless[0].id) if passwordless else None
        return Start(code, made_key=False)
