"""What all routes of one ingress share."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, cast

from fastapi import Depends, Request

from clearcast.accounts.accounts import Accounts
from clearcast.services import Services
from clearcast.settings import Settings
from clearcast.storage.blobs import BlobStore
from clearcast.storage.database import Database
from clearcast.storage.voice_store import VoiceStore
from deployments.ingress.admission import Gate
from deployments.ingress.catalog import Catalog
from deployments.ingress.metrics import Metrics
from deployments.ingress.password_turns import PasswordTurns
from deployments.ingress.workroom import Workroom

Replicas = Callable[[], Awaitable[Mapping[str, int]]]
"""Tells how many replicas of each deployment run; nothing where all is in one process."""


@dataclass(frozen=True, slots=True)
class Standing:
    """Attributes:
    missing: what answers need and is not there, and why; empty when all is well.
    waiting: what is there, or may be away, but has more replicas ordered than could be started, and why.
    """

    missing: Mapping[str, str] = field(default_factory=dict)
    waiting: Mapping[str, str] = field(default_factory=dict)


Ready = Callable[[], Awaitable[Standing]]


@dataclass(frozen=True, slots=True)
class IngressState:
    settings: Settings
    services: Services
    database: Database
    blobs: BlobStore
    accounts: Accounts
    voices: VoiceStore
    workroom: Workroom
    gate: Gate
    passwords: PasswordTurns
    metrics: Metrics
    catalog: Catalog
    ready: Ready
    replicas: Replicas


def state_of(request: Request) -> IngressState:
    return cast(IngressState, request.app.state.ingress)


State = Annotated[IngressState, Depends(state_of)]
