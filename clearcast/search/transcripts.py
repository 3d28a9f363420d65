"""The full-text index over everything that was said, and asking it for a moment.

What lives here: putting transcripts in, taking them out, and finding lines, on SQLite (FTS5) and PostgreSQL
(tsvector); both are kept by the database itself (migration 0002). What does not: how text is folded
(`plain_text.py`) and how a query is read (`query.py`).

Everything here blocks; asynchronous callers use `asyncio.to_thread`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

import sqlalchemy as sa

from clearcast.errors import NotFound, OptionInvalid
from clearcast.search.cursor import Cursor
from clearcast.search.plain_text import fold, joined, line, words
from clearcast.search.query import Phrase, Term, matches, parse_query
from clearcast.speech.transcript import Transcript
from clearcast.storage.database import Database
from clearcast.storage.tables import Job, Task, TranscriptLine, now

Order = Literal["relevance", "date"]

MAX_LIMIT = 100
SNIPPET_CHARACTERS = 240
MAX_TEXT_CHARACTERS = (
    100_000  # PostgreSQL's tsvector holds 1 MB; a line longer than this was said by nobody
)

# Stands between the two forms of a line, so that no phrase matches across them. Arabic yeh is never part of
# a query, since folding makes it a Persian one.
_BETWEEN = "\u064a"

# What databases or UTF-8 cannot hold: NUL in PostgreSQL, lone surrogates anywhere.
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Snippet:
    """A part of a line to show. `marks` are the places [start, end) in `text` that match, in characters."""

    text: str
    marks: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Hit:
    """A moment in a recording. `file_name` is None when its task is gone."""

    job_id: str
    number: int
    file_name: str | None
    start_s: float
    end_s: float
    speaker: str | None
    text: str
    snippet: Snippet
    recorded_at: datetime


@dataclass(frozen=True, slots=True)
class HitPage:
    """`after` leads to the next page; None when this is the last."""

    hits: tuple[Hit, ...]
    after: str | None


class TranscriptIndex:
    """What can be found in the transcripts of each owner."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def put(
        self,
        owner: str,
        job_id: str,
        number: int,
        transcript: Transcript,
        recorded_at: datetime | None = None,
    ) -> int:
        """Put the transcript of a task in the place of what was there; the number of lines.

        All or nothing, and the same again changes nothing. Raises NotFound when the owner has no such job.
        """
        rows = _rows(owner, job_id, number, transcript, recorded_at or now())
        with self._database.writing() as session:
            if session.scalar(sa.select(Job.id).where(Job.id == job_id, Job.owner_id == owner)) is None:
                raise NotFound("There is no such job.")
            session.execute(
                sa.delete(TranscriptLine).where(
                    TranscriptLine.owner_id == owner,
                    TranscriptLine.job_id == job_id,
                    TranscriptLine.number == number,
                )
            )
            if rows:
                session.execute(sa.insert(TranscriptLine), rows)
        return len(rows)

    def forget(self, owner: str, job_id: str) -> int:
        """Take out all lines of a job; the number of lines. (Deleting the job itself does it too.)"""
        with self._database.writing() as session:
            gone = session.execute(
                sa.delete(TranscriptLine)
                .where(TranscriptLine.owner_id == owner, TranscriptLine.job_id == job_id)
                .returning(TranscriptLine.id)
            )
            return len(gone.all())

    def compact(self) -> None:
        """Wipe what was forgotten from the index's own pages; for after an erasure and for quiet hours."""
        if self._database.is_sqlite:  # PostgreSQL's vacuum does it by itself
            with self._database.writing() as session:
                session.execute(
                    sa.text("INSERT INTO transcript_search(transcript_search) VALUES ('optimize')")
                )

    def find(
        self,
        owner: str,
        query: str,
        speaker: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        limit: int = 20,
        after: str | None = None,
        order: Order = "relevance",
    ) -> HitPage:
        """The owner's lines that match all of `query`: the best first, or the newest recording first.

        `speaker` is a name as results show it; `since` and `until` (excluded) bound when it was recorded.
        Raises OptionInvalid for a query without words, a limit or a cursor that is none.
        """
        if not 1 <= limit <= MAX_LIMIT:
            raise OptionInvalid(f"The limit is between 1 and {MAX_LIMIT}.", field="limit")
        terms = parse_query(query)
        ranked = self._ranked(owner, terms)
        wanted: list[sa.ColumnElement[bool]] = [sa.true()]
        if speaker is not None:
            wanted.append(ranked.c.speaker_plain == fold(speaker))
        if since is not None:
            wanted.append(ranked.c.created_at >= since)
        if until is not None:
            wanted.append(ranked.c.created_at < until)
        select = _with_file_name(ranked).where(*wanted)
        select = _from_cursor(select, ranked, order, after).limit(limit + 1)
        with self._database.reading() as session:
            rows = session.execute(select).all()
        hits = tuple(_hit(row, terms) for row in rows[:limit])
        more = len(rows) > limit
        return HitPage(hits, _cursor(rows[limit - 1], order).text() if more else None)

    def _ranked(self, owner: str, terms: Sequence[Term]) -> sa.Subquery:
        """The owner's matching lines with their score, lower being better."""
        score: sa.ColumnElement[float]
        select = sa.select(TranscriptLine).where(TranscriptLine.owner_id == owner)
        if self._database.is_sqlite:
            index = sa.table("transcript_search", sa.column("rowid", sa.Integer))
            score = sa.literal_column("bm25(transcript_search, 0.0, 1.0)", sa.Double)
            asked = sa.text("transcript_search MATCH :asked").bindparams(asked=_fts5(owner, terms))
            select = select.join(index, index.c.rowid == TranscriptLine.id).where(asked)
        else:
            wanted = sa.func.to_tsquery(sa.literal_column("'simple'::regconfig"), _tsquery(terms))
            indexed: sa.ColumnClause[Any] = sa.literal_column("transcript_lines.search")
            # 1: a match in a short line weighs more, as in bm25 (PostgreSQL manual §12.3.3).
            score = -sa.cast(sa.func.ts_rank_cd(indexed, wanted, 1), sa.Double)
            select = select.where(indexed.op("@@")(wanted))
        return select.add_columns(score.label("score")).subquery()


def _rows(
    owner: str, job_id: str, number: int, transcript: Transcript, recorded_at: datetime
) -> list[dict[str, Any]]:
    rows = []
    for segment in transcript.segments:
        text = _storable(segment.text)[:MAX_TEXT_CHARACTERS]
        plain = _indexed(text)
        if plain:
            rows.append(
                {
                    "owner_id": owner,
                    "job_id": job_id,
                    "number": number,
                    "start_s": segment.start_s,
                    "end_s": segment.end_s,
                    "speaker": None if segment.speaker is None else _storable(segment.speaker),
                    "speaker_plain": None if segment.speaker is None else fold(segment.speaker),
                    "text": text,
                    "plain": plain,
                    "created_at": recorded_at,
                }
            )
    return rows


def _indexed(text: str) -> str:
    """The line as it is indexed: its split form and, where it differs, its joined form."""
    pieces = words(text)
    split, whole = line(pieces), line(joined(pieces))
    return split if split == whole else f"{split} {_BETWEEN} {whole}"


def _storable(text: str) -> str:
    return _UNSTORABLE.sub("\ufffd", text)


def _fts5(owner: str, terms: Sequence[Term]) -> str:
    """The terms in FTS5's language; words hold letters, digits and marks only, so nothing can break out."""
    mine = owner.replace('"', '""')
    asked = " AND ".join(f"({' OR '.join(map(_fts5_phrase, term.phrases))})" for term in terms)
    return f'owner_id : "{mine}" AND plain : ({asked})'


def _fts5_phrase(phrase: Phrase) -> str:
    return f'"{" ".join(phrase.words)}"{" *" if phrase.is_prefix else ""}'


def _tsquery(terms: Sequence[Term]) -> str:
    """The same in PostgreSQL's."""
    return " & ".join(f"({' | '.join(map(_tsquery_phrase, term.phrases))})" for term in terms)


def _tsquery_phrase(phrase: Phrase) -> str:
    asked = " <-> ".join(f"'{word}'" for word in phrase.words)
    return f"({asked}{':*' if phrase.is_prefix else ''})"


def _with_file_name(ranked: sa.Subquery) -> sa.Select[Any]:
    same_task = sa.and_(
        Task.job_id == ranked.c.job_id,
        Task.number == ranked.c.number,
        Task.owner_id == ranked.c.owner_id,
    )
    return sa.select(ranked, Task.file_name).outerjoin(Task, same_task)


def _from_cursor(
    select: sa.Select[Any], ranked: sa.Subquery, order: Order, after: str | None
) -> sa.Select[Any]:
    """In order, and from where the page before ended. Lines of one recording stand in the order of time."""
    row = ranked.c
    cursor = None if after is None else Cursor.read(after, order)
    if order == "date":
        select = select.order_by(row.created_at.desc(), row.id)
        if cursor is not None:
            at = cursor.moment
            select = select.where(
                sa.or_(row.created_at < at, sa.and_(row.created_at == at, row.id > cursor.line))
            )
        return select
    select = select.order_by(row.score, row.id)
    if cursor is not None:
        score = sa.literal(cursor.score, sa.Double)
        select = select.where(sa.or_(row.score > score, sa.and_(row.score == score, row.id > cursor.line)))
    return select


def _cursor(row: sa.Row[Any], order: Order) -> Cursor:
    return Cursor(order, row.created_at.isoformat() if order == "date" else row.score, row.id)


def _hit(row: sa.Row[Any], terms: Sequence[Term]) -> Hit:
    return Hit(
        job_id=row.job_id,
        number=row.number,
        file_name=row.file_name,
        start_s=row.start_s,
        end_s=row.end_s,
        speaker=row.speaker,
        text=row.text,
        snippet=snippet(row.text, matches(terms, row.text)),
        recorded_at=row.created_at,
    )


def snippet(text: str, marks: Sequence[tuple[int, int]]) -> Snippet:
    """As much of `text` as fits around the first mark, cut between words."""
    if len(text) <= SNIPPET_CHARACTERS:
        return Snippet(text, tuple(marks))
    first = marks[0][0] if marks else 0
    begin = max(0, min(first - SNIPPET_CHARACTERS // 3, len(text) - SNIPPET_CHARACTERS))
    end = begin + SNIPPET_CHARACTERS
    if begin:
        space = text.find(" ", begin, first)
        begin = begin if space < 0 else space + 1
    if end < len(text):
        space = text.rfind(" ", first + 1, end)
        end = end if space <= begin else space
    shown = tuple((start - begin, min(stop, end) - begin) for start, stop in marks if begin <= start < end)
    return Snippet(text[begin:end], shown)
