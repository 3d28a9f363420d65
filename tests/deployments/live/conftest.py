"""A gateway on a real socket, and people with rooms, in the test's own process."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from clearcast.ports import free_port
from clearcast.settings import Settings
from clearcast.settings_live import LiveSettings
from clearcast.testing.people import People, prepare_database
from tests.deployments.live.stage import SetUp, Stage, running


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite file with our schema, to be copied: quicker than running the migrations for each test."""
    settings = Settings(data_dir=tmp_path_factory.mktemp("empty"))
    prepare_database(settings)
    return settings.data_path / "clearcast.sqlite"


@pytest.fixture
def make_stage(tmp_path: Path, empty_database: Path) -> SetUp:
    """Settings with a gateway's port of its own; nothing runs yet."""

    def make(**live: Any) -> Stage:
        settings = Settings(
            data_dir=tmp_path / "data",
            config_dir=tmp_path / "config",
            live=LiveSettings(port=free_port(), **live),
        )
        prepare_database(settings, empty_database)
        return Stage(settings, People(settings))

    return make


@pytest.fixture
async def stage(make_stage: SetUp) -> AsyncIterator[Stage]:
    """A gateway that runs."""
    stage = make_stage()
    async with running(stage):
        yield stage
