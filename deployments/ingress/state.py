"""What all routes of one ingress share."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, cast

from fastapi import Depends, Request

from clearcast.auth import KeyFile
from clearcast.services import Services
from clearcast.settings import Settings
from clearcast.storage.voice_store import VoiceStore
from deployments.ingress.admission import Gate
from deployments.ingress.catalog import Catalog
from deployments.ingress.metrics import Metrics
from deployments.ingress.workroom import Workroom

Ready = Callable[[], Awaitable[Mapping[str, str]]]
"""Tells what is not ready yet and why; nothing when all is well."""


@dataclass(frozen=True, slots=True)
class IngressState:
    settings: Settings
    services: Services
    keys: KeyFile
    voices: VoiceStore
    workroom: Workroom
    gate: Gate
    metrics: Metrics
    catalog: Catalog
    ready: Ready


def state_of(request: Request) -> IngressState:
    return cast(IngressState, request.app.state.ingress)


State = Annotated[IngressState, Depends(state_of)]
