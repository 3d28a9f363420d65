"""Fixtures shared by all tests."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

from clearcast.engines.placeholders import forget_placeholders
from clearcast.privacy import forbid_telemetry
from clearcast.storage.database import Database
from tests import servers

if TYPE_CHECKING:
    from tests.platform_server import Platform

settings.register_profile("clearcast", deadline=None)  # other work on the machine is no fault of a test
settings.load_profile("clearcast")
forbid_telemetry()  # some tests call the libraries directly


def pytest_runtest_setup() -> None:
    """Hypothesis looks at all modules: what one test imported must not be in the way of the next."""
    forget_placeholders()


SHARED_AUDIO = Path(__file__).resolve().parents[2] / "shared" / "audio"


@pytest.fixture(scope="session")
def shared_audio() -> Path:
    """The folder of real speech with ground truth, which lies beside the checkout."""
    if not (SHARED_AUDIO / "manifest.json").is_file():
        pytest.skip("the shared evaluation audio is not beside this checkout")
    return SHARED_AUDIO


@pytest.fixture(scope="session")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """The API and the runner of jobs on services without models, in a process of their own."""
    from tests.platform_server import running_platform

    with running_platform(tmp_path_factory.mktemp("platform"), seconds_per_stage=0.02) as running:
        yield running


_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[str]:
    """URL of a real PostgreSQL server, started when a test first asks for it."""
    with servers.postgresql() as url:
        yield url


@pytest.fixture(scope="session")
def postgresql_template(postgresql_server: str) -> Iterator[str]:
    """Name of a database with our schema, to copy from."""
    name = "clearcast_template"
    with servers.database_on(postgresql_server, name) as url:
        database = Database(url)
        database.migrate()
        database.close()
        yield name


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """URL of an empty database of either kind, with our schema."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path / 'records.sqlite'}"
        database = Database(url)
        database.migrate()
        database.close()
        yield url
        return
    template: str = request.getfixturevalue("postgresql_template")
    server_url: str = request.getfixturevalue("postgresql_server")
    with servers.database_on(server_url, f"test_{next(_numbers)}", template) as url:
        yield url


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """The records on SQLite and, in a second run of the test, on PostgreSQL."""
    database = Database(database_url)
    yield database
    database.close()


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[servers.S3Server]:
    """A real S3 server."""
    with servers.s3(tmp_path_factory.mktemp("s3")) as server:
        yield server
