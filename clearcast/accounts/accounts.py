"""All of accounts on one database: what the ingress and the command line hold.

What lives here: putting the parts together. What does not: any rule.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from clearcast.accounts.api_keys import ApiKeys
from clearcast.accounts.audit import AuditLog
from clearcast.accounts.credentials import Credentials
from clearcast.accounts.data_export import DataExport
from clearcast.accounts.data_rights import DataRights
from clearcast.accounts.friends import Friends
from clearcast.accounts.principal import PrincipalCache
from clearcast.accounts.rate_limits import RateLimits
from clearcast.accounts.room_access import RoomAccess
from clearcast.accounts.room_tokens import RoomTokens
from clearcast.accounts.tokens import Tokens
from clearcast.accounts.users import Users
from clearcast.errors import ClearCastError
from clearcast.secret_file import server_secret
from clearcast.settings import Settings
from clearcast.storage.blobs import BlobStore, open_blobs
from clearcast.storage.database import Database
from clearcast.storage.intake import unfinished_uploads
from clearcast.storage.voice_store import VoiceStore

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Accounts:
    users: Users
    keys: ApiKeys
    tokens: Tokens
    credentials: Credentials
    friends: Friends
    audit: AuditLog
    export: DataExport
    rights: DataRights
    limits: RateLimits
    room_tokens: RoomTokens
    rooms: RoomAccess

    def prepare(self, *, require_key: bool) -> None:
        """What a service does at its start, on an up-to-date schema: finish erasures that were killed, and
        make the one person there is where no key is asked for."""
        if not require_key:
            self.users.ensure_local()
        for user_id in self.rights.unfinished():
            try:
                self.rights.erase(user_id)
            except ClearCastError as error:  # no reason not to start; the next start tries again
                logger.warning("an erasure is not finished", extra={"code": error.code})


def build_accounts(
    settings: Settings, database: Database, blobs: BlobStore, voices: VoiceStore
) -> Accounts:
    """Raises SettingsInvalid."""
    cache = PrincipalCache()  # shared: a change in one part is seen by the others at once
    secret = server_secret(settings.data_path, "access-tokens")
    tokens = Tokens(database, settings.accounts, secret, cache)
    limits_url = settings.accounts.limits_url.get_secret_value()
    return Accounts(
        users=Users(database, settings.accounts, cache=cache),
        keys=ApiKeys(database, cache),
        tokens=tokens,
        credentials=Credentials(database, tokens, cache),
        friends=Friends(database),
        audit=AuditLog(database),
        export=DataExport(database, blobs, voices),
        rights=DataRights(database, blobs, voices, cache, unfinished_uploads(settings)),
        limits=RateLimits(limits_url, server_secret(settings.data_path, "rate-limits")),
        room_tokens=RoomTokens(database),
        rooms=RoomAccess(database),
    )


@contextmanager
def accounts_of(settings: Settings) -> Iterator[Accounts]:
    """The accounts of a profile, its schema brought up to date: for the command line and for starting."""
    database = Database(settings.database_url)
    try:
        database.migrate()
        blobs = open_blobs(settings.storage, settings.data_path)
        yield build_accounts(settings, database, blobs, VoiceStore(settings.data_path))
    finally:
        database.close()
