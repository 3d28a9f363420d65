"""The ingress on services without models, in the test's own process."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI

from clearcast.auth import KeyFile
from clearcast.services import Services
from clearcast.settings import Settings
from clearcast.testing.services import fake_services
from deployments.ingress.app import create_app
from tests.deployments.ingress.loopback import MakeApp, connect


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path / "data")


@pytest.fixture
def keys(settings: Settings) -> KeyFile:
    return KeyFile(settings.data_path / "keys.json")


@pytest.fixture
def key(keys: KeyFile) -> str:
    return keys.create("anna")


@pytest.fixture
def make_app(settings: Settings) -> MakeApp:
    """Makes apps on fake services, or on those given, with changed settings where named."""

    def make(services: Services | None = None, **changes: object) -> FastAPI:
        return create_app(services or fake_services(), settings.model_copy(update=changes))

    return make


@pytest.fixture
async def client(make_app: MakeApp, key: str) -> AsyncIterator[httpx.AsyncClient]:
    """A client with a key of the owner "anna"."""
    async with connect(make_app(), key) as client:
        yield client
