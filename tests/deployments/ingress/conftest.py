"""The ingress on services without models, in the test's own process."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI

from clearcast.accounts.accounts import Accounts
from clearcast.services import Services
from clearcast.settings import Settings
from clearcast.testing.people import People, prepare_database
from clearcast.testing.services import fake_services
from deployments.ingress.app import create_app
from tests.deployments.ingress.loopback import MakeApp, connect


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite file with our schema, to be copied: quicker than running the migrations for each test."""
    settings = Settings(data_dir=tmp_path_factory.mktemp("empty"))
    prepare_database(settings)
    return settings.data_path / "clearcast.sqlite"


@pytest.fixture
def settings(tmp_path: Path, empty_database: Path) -> Settings:
    settings = Settings(data_dir=tmp_path / "data", config_dir=tmp_path / "config")
    prepare_database(settings, empty_database)
    return settings


@pytest.fixture
def people(settings: Settings) -> People:
    return People(settings)


@pytest.fixture
def key(people: People) -> str:
    return people.create("anna")


@pytest.fixture
def make_app(settings: Settings) -> MakeApp:
    """Makes apps on fake services, or on those given, with changed settings where named."""

    def make(services: Services | None = None, **changes: object) -> FastAPI:
        app = create_app(services or fake_services(), settings.model_copy(update=changes))
        accounts: Accounts = app.state.ingress.accounts
        accounts.prepare(require_key=app.state.ingress.settings.http.require_key)
        return app

    return make


@pytest.fixture
async def client(make_app: MakeApp, key: str) -> AsyncIterator[httpx.AsyncClient]:
    """A client with a key of the owner "anna"."""
    async with connect(make_app(), key) as client:
        yield client


@pytest.fixture
def other_key(people: People) -> str:
    """A key of somebody else, "bela"."""
    return people.create("bela")
