"""Writes the migration that brings the newest schema in line with `clearcast/storage/tables.py`.

make migration NAME=what_changed

Before the first release `NAME=first` writes 0001 anew instead: the whole of `tables.py`.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from alembic import command

from clearcast.storage.database import MIGRATIONS, Database, migration_config

VERSIONS = MIGRATIONS / "versions"


def main(name: str) -> None:
    if name == "first":
        _write_first()
        return
    number = 1 + max((int(path.name[:4]) for path in VERSIONS.glob("[0-9]*.py")), default=0)
    with tempfile.TemporaryDirectory() as folder:
        database = Database(f"sqlite:///{folder}/schema.sqlite")
        database.migrate()
        _write(database, name, number, VERSIONS)
        database.close()


def _write_first() -> None:
    """0001, made as if there were no migrations; those after it (by hand) stay as they are."""
    with tempfile.TemporaryDirectory() as folder:
        database = Database(f"sqlite:///{folder}/schema.sqlite")
        alone = Path(folder) / "versions"
        alone.mkdir()
        _write(database, "first", 1, alone)
        database.close()
        (written,) = alone.glob("0001*.py")
        (VERSIONS / "0001_first.py").write_bytes(written.read_bytes())


def _write(database: Database, name: str, number: int, folder: Path) -> None:
    config = migration_config()
    config.set_main_option("version_locations", str(folder))
    with database.engine.connect() as connection:
        config.attributes["connection"] = connection
        command.revision(
            config, message=name, autogenerate=True, rev_id=f"{number:04d}", version_path=str(folder)
        )


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "change")
    sys.exit(0)
