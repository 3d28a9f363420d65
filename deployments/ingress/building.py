"""What the routes of one process share, put together: for the ingress, and for the gateway of live rooms.

What lives here: making an `IngressState`. What does not: its parts, and which routes there are.
"""

from __future__ import annotations

from collections.abc import Mapping

from clearcast.accounts.accounts import build_accounts
from clearcast.services import Services
from clearcast.settings import Settings
from clearcast.storage.blobs import open_blobs
from clearcast.storage.database import Database
from clearcast.storage.voice_store import VoiceStore
from deployments.ingress.admission import Gate
from deployments.ingress.catalog import Catalog
from deployments.ingress.metrics import Metrics
from deployments.ingress.password_turns import PasswordTurns
from deployments.ingress.state import IngressState, Ready, Replicas, Standing
from deployments.ingress.workroom import Workroom


async def always_ready() -> Standing:
    """The readiness of an app whose services are all in its own process."""
    return Standing()


async def no_replicas() -> Mapping[str, int]:
    """The replicas of an app whose services are all in its own process."""
    return {}


def build_state(services: Services, settings: Settings, ready: Ready, replicas: Replicas) -> IngressState:
    """What the routes share. Raises EngineUnknown, SettingsInvalid."""
    database = Database(settings.database_url)
    blobs = open_blobs(settings.storage, settings.data_path)
    voice_store = VoiceStore(settings.data_path)
    return IngressState(
        settings=settings,
        services=services,
        database=database,
        blobs=blobs,
        accounts=build_accounts(settings, database, blobs, voice_store),
        voices=voice_store,
        workroom=Workroom(settings.data_path / "work"),
        gate=Gate(settings.serve.max_running_meetings, settings.serve.max_waiting_meetings),
        passwords=PasswordTurns(),
        metrics=Metrics(settings.engines),
        catalog=Catalog(settings),
        ready=ready,
        replicas=replicas,
    )
