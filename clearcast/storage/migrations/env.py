"""How Alembic runs our migrations: on the connection it is handed by `Database.migrate`."""

from __future__ import annotations

from alembic import context

from clearcast.storage.tables import Table


def is_ours(name: str | None, _kind: str, _parents: object) -> bool:
    """Whether `make migration` compares it: SQLite's full-text tables are made by hand (0002_search.py)."""
    return not (name or "").startswith("transcript_search")


context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Table.metadata,
    include_name=is_ours,
    render_as_batch=True,  # SQLite cannot alter most things in place
)
with context.begin_transaction():
    context.run_migrations()
