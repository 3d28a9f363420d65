"""Full text of the transcripts: SQLite's FTS5, or PostgreSQL's tsvector.

By hand, since no table of `tables.py` describes it. Both index `transcript_lines.plain`, which is folded
already, so neither engine may fold, stem or drop anything by itself.
"""

from __future__ import annotations

from alembic import op

revision = "0002"
down_revision = "0001"

# An external-content table (https://sqlite.org/fts5.html §4.4.3): the text is kept once, in
# transcript_lines. Marks (M*) are letters here: in Indic scripts they are the vowels. `owner_id` is indexed
# too, so that a search does not have to read the hits of everybody else.
_SQLITE = (
    """CREATE VIRTUAL TABLE transcript_search USING fts5(
         owner_id, plain, content='transcript_lines', content_rowid='id',
         tokenize="unicode61 remove_diacritics 0 categories 'L* N* M*'")""",
    """CREATE TRIGGER transcript_search_added AFTER INSERT ON transcript_lines BEGIN
         INSERT INTO transcript_search(rowid, owner_id, plain) VALUES (new.id, new.owner_id, new.plain);
       END""",
    """CREATE TRIGGER transcript_search_removed AFTER DELETE ON transcript_lines BEGIN
         INSERT INTO transcript_search(transcript_search, rowid, owner_id, plain)
         VALUES ('delete', old.id, old.owner_id, old.plain);
       END""",
    """CREATE TRIGGER transcript_search_changed AFTER UPDATE ON transcript_lines BEGIN
         INSERT INTO transcript_search(transcript_search, rowid, owner_id, plain)
         VALUES ('delete', old.id, old.owner_id, old.plain);
         INSERT INTO transcript_search(rowid, owner_id, plain) VALUES (new.id, new.owner_id, new.plain);
       END""",
    # What was there before this migration.
    "INSERT INTO transcript_search(transcript_search) VALUES ('rebuild')",
)
_POSTGRESQL = (
    """ALTER TABLE transcript_lines ADD COLUMN search tsvector
         GENERATED ALWAYS AS (to_tsvector('simple', plain)) STORED""",
    "CREATE INDEX transcript_lines_search ON transcript_lines USING gin (search)",
)
_SQLITE_BACK = (
    "DROP TRIGGER transcript_search_added",
    "DROP TRIGGER transcript_search_removed",
    "DROP TRIGGER transcript_search_changed",
    "DROP TABLE transcript_search",
)
_POSTGRESQL_BACK = ("ALTER TABLE transcript_lines DROP COLUMN search",)


def upgrade() -> None:
    _run(_SQLITE if _is_sqlite() else _POSTGRESQL)


def downgrade() -> None:
    _run(_SQLITE_BACK if _is_sqlite() else _POSTGRESQL_BACK)


def _is_sqlite() -> bool:
    return op.get_bind().dialect.name == "sqlite"


def _run(statements: tuple[str, ...]) -> None:
    for statement in statements:
        op.execute(statement)
