"""What the page for operators shows works: its commands, its files, its names."""

from __future__ import annotations

import asyncio
import json
import os
import re
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
import sqlalchemy as sa
import yaml

from clearcast.secret_file import server_secret
from clearcast.settings import Settings
from clearcast.storage.database import Database
from clearcast.storage.tables import User
from clearcast.testing.people import OPERATOR, People, prepare_database
from clearcast.testing.services import fake_services
from deployments.ingress.app import create_app
from tests.deployments.ingress.loopback import listening

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)


def block(containing: str) -> str:
    (found,) = [text for text in BLOCKS if containing in text]
    return str(found)


def run_block(text: str, folder: Path, **variables: str) -> str:
    environment = {**os.environ, **variables}
    environment["PATH"] = f"{Path(sys.executable).parent}:{environment['PATH']}"
    command = ["bash", "-euo", "pipefail", "-c", text]
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder to run commands in, with `ops` beside them as in the checkout."""
    folder = tmp_path / "checkout"
    folder.mkdir()
    (folder / "ops").symlink_to(ROOT / "ops")
    return folder


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    settings = Settings(data_dir=tmp_path / "data", config_dir=tmp_path / "config")
    prepare_database(settings)
    server_secret(settings.data_path, "test")
    return settings


def test_every_command_of_the_page_is_run_by_a_test_below() -> None:
    run = ("/health/live", "back_up.sh", "cp -a", "pg_dump", "pg_restore", "keys create", "stat -c")
    assert [[name for name in run if name in text][:1] for text in BLOCKS] == [[name] for name in run]


async def test_health_and_metrics_are_read_as_shown(settings: Settings, folder: Path) -> None:
    People(settings).id_of(OPERATOR)
    with_admin = block("keys create").replace("--owner admin", f"--owner {OPERATOR}")
    variables = {
        "CLEARCAST__DATA_DIR": str(settings.data_path),
        "CLEARCAST__CONFIG_DIR": str(settings.config_dir),
    }
    async with listening(create_app(fake_services(), settings)) as url:
        health = await asyncio.to_thread(run_block, block("/health/live"), folder, CLEARCAST_URL=url)
        metrics = await asyncio.to_thread(run_block, with_admin, folder, CLEARCAST_URL=url, **variables)
    assert '"alive"' in health and '"ready"' in health
    assert "clearcast_queue_depth" in metrics
    assert ((folder / "clearcast.key").stat().st_mode & 0o777) == 0o600


def test_a_backup_taken_while_others_write_is_restored(
    settings: Settings, folder: Path, tmp_path: Path
) -> None:
    data, copy = settings.data_path, tmp_path / "copy"
    (data / "blobs").mkdir(exist_ok=True)
    (data / "blobs" / "one").write_bytes(b"sound")
    database = Database(settings.database_url)
    with database.writing() as session:
        session.add(User(id="user_1", name="Sara", name_key="sara"))
    with sqlite3.connect(data / "clearcast.sqlite") as writer:  # in the middle of a transaction
        writer.execute("BEGIN IMMEDIATE")
        writer.execute("UPDATE users SET name = 'half'")
        run_block(block("back_up.sh"), folder, DATA=str(data), BACKUP=str(copy))
        writer.rollback()
    writer.close()
    secret = server_secret(data, "test")
    database.close()
    run_block(block("cp -a"), folder, DATA=str(data), BACKUP=str(copy))
    restored = Database(settings.database_url)
    restored.migrate()
    with restored.reading() as session:
        assert session.scalar(sa.select(User.name).where(User.id == "user_1")) == "Sara"
    restored.close()
    assert (data / "blobs" / "one").read_bytes() == b"sound"
    assert server_secret(data, "test") == secret
    run_block(block("stat -c"), folder, DATA=str(data))


def test_a_backup_never_replaces_another(settings: Settings, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "copy").mkdir()
    with pytest.raises(AssertionError, match="is there already"):
        run_block(block("back_up.sh"), folder, DATA=str(settings.data_path), BACKUP=str(tmp_path / "copy"))


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_postgresql_is_dumped_and_restored(database: Database, database_url: str, folder: Path) -> None:
    with database.writing() as session:
        session.add(User(id="user_1", name="Sara", name_key="sara"))
    run_block(block("pg_dump"), folder, DATABASE_URL=database_url)
    with database.writing() as session:
        session.execute(sa.delete(User))
    database.close()
    run_block(block("pg_restore"), folder, DATABASE_URL=database_url)
    with database.reading() as session:
        assert session.scalar(sa.select(User.name).where(User.id == "user_1")) == "Sara"


def test_links_and_settings_of_the_page_are_there() -> None:
    for target in re.findall(r"\]\(([^)#:]+)\)", PAGE):
        assert (ROOT / "docs" / target).exists(), target
    named = set(re.findall(r"`((?:accounts|audio|http|jobs|serve|storage)\.[a-z_]+)`", PAGE))
    known = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
    assert named and not {name for name in named if f"`{name}`" not in known}


def metric_names(settings: Settings) -> set[str]:
    """The names of all samples that /metrics can show, those without a value yet among them."""
    app = create_app(fake_services(), settings)
    metrics = app.state.ingress.metrics
    names: set[str] = set()
    for family in metrics.registry.collect():
        suffixes = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count")}.get(
            family.type, ("",)
        )
        names |= {family.name + suffix for suffix in suffixes}
    app.state.ingress.database.close()
    return names


def test_the_dashboard_and_the_alerts_ask_only_for_what_there_is(settings: Settings) -> None:
    known = metric_names(settings)
    dashboard = json.loads((ROOT / "ops" / "grafana" / "clearcast.json").read_text(encoding="utf-8"))
    asked = [target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", [])]
    alerts = yaml.safe_load((ROOT / "ops" / "clearcast-alerts.yml").read_text(encoding="utf-8"))
    asked += [rule["expr"] for group in alerts["groups"] for rule in group["rules"]]
    assert len(asked) > 25
    used = {name for expression in asked for name in re.findall(r"clearcast_\w+", expression)}
    assert used <= known
    families = {re.sub(r"_(total|bucket|sum|count)$", "", name) for name in known}
    shown = {re.sub(r"_(total|bucket|sum|count)$", "", name) for name in used}
    assert families - shown == set()  # nothing is measured that nobody looks at
    assert families <= {re.sub(r"_total$", "", name) for name in re.findall(r"`(clearcast_\w+)`", PAGE)}


def test_panels_have_places_and_names_of_their_own() -> None:
    dashboard = json.loads((ROOT / "ops" / "grafana" / "clearcast.json").read_text(encoding="utf-8"))
    panels = dashboard["panels"]
    assert (
        len({panel["id"] for panel in panels}) == len({panel["title"] for panel in panels}) == len(panels)
    )
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        place = panel["gridPos"]
        cells = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
        assert not cells & taken and max(x for x, _ in cells) < 24
        taken |= cells


def test_prometheus_is_told_where_the_metrics_are() -> None:
    config = yaml.safe_load((ROOT / "ops" / "prometheus.yml").read_text(encoding="utf-8"))
    (job,) = config["scrape_configs"]
    assert (job["metrics_path"], job["authorization"]["type"]) == ("/metrics", "Bearer")
    assert all((ROOT / "ops" / name).is_file() for name in config["rule_files"])
