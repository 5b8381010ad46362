"""Reading the statements on record: a session's, what runs now, sums, and all that fit a filter.

Days are partitions, so every question names the days that it is about, and no other is opened. A
statement that was written down while it still ran gets its outcome from late_outcomes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

import asyncpg

from broker.domain.statement.statement import Ending, Outcome, Protocol, Statement
from broker.ledger.connection import Db
from broker.ledger.sight import VISIBLE, Visible

# Of the newest statements of a session, how many are looked at for one that still runs: more than
# any pipeline has open at once.
_NEWEST = 100
_A_DAY = timedelta(days=1)

_OUTCOME = ("ending", "duration_us", "rows", "tag", "sqlstate", "bytes_from_client")
_COLUMNS = """
    s.session_id, s.seq, s.started_at, s.protocol, s.text, s.text_bytes, s.text_sha256, s.masked,
    s.parameter_types, s.parameters,
""" + ", ".join(
    f"coalesce(s.{each}, o.{each}) AS {each}" for each in (*_OUTCOME, "bytes_to_client")
)
_WITH_OUTCOME = """
    curfew.statements s
      LEFT JOIN curfew.late_outcomes o
        ON s.ending IS NULL AND o.day = s.day AND o.session_id = s.session_id AND o.seq = s.seq
"""
# Texts may be long: a page ends where they come to so much, at the earliest after its first row.
_LONGEST_PAGE = 4_000_000  # characters
_PAGE = f"""
    SELECT * FROM (
        SELECT found.*, count(*) OVER () AS found_rows,
               sum(length(text)) OVER (ORDER BY seq) - length(text) AS text_before
          FROM (SELECT {_COLUMNS} FROM {_WITH_OUTCOME}
                 WHERE s.session_id = $1 AND s.day BETWEEN $2 AND $3 AND s.seq > $4
                 ORDER BY s.seq LIMIT $5) AS found
    ) AS measured
     WHERE text_before < {_LONGEST_PAGE} ORDER BY seq
"""  # noqa: S608  (constant text, as below)
# Sessions that no ledger knows yet (a ticket's, from an outage) have statements all the same.
_WHOSE = """
      LEFT JOIN curfew.sessions n ON n.id = s.session_id
      LEFT JOIN curfew.grants g ON g.id = n.grant_id
      LEFT JOIN curfew.people p ON p.id = g.person_id
      LEFT JOIN curfew.requests r ON r.id = g.request_id
"""
_TOLD = f"""
    SELECT {_COLUMNS}, n.grant_id, p.email AS person, g.target, g.database, g.role
      FROM {_WITH_OUTCOME} {_WHOSE}
"""  # noqa: S608
# In a list of what was found: the beginnings of texts, and no parameters.
_FOUND = _TOLD.replace("s.text,", "left(s.text, 2000) AS text,").replace(
    "s.parameter_types, s.parameters",
    "NULL::bigint[] AS parameter_types, NULL::text[] AS parameters",
)
_CONDITIONS = {
    "session_id": "s.session_id = {}",
    "grant_id": "n.grant_id = {}",
    "person": "p.email = {}",
    "target": "g.target = {}",
    "text": "strpos(lower(s.text), lower({})) > 0",
    "since": "s.started_at >= {}",
    "until": "s.started_at < {}",
}
_DAYS = """
    SELECT DISTINCT day FROM curfew.statement_blocks
     WHERE ($1::date IS NULL OR day >= $1) AND ($2::date IS NULL OR day <= $2)
     ORDER BY day
"""
_SPAN = """
    SELECT min(started_at) AS first, max(coalesce(ended_at, $3)) AS last
      FROM curfew.sessions
     WHERE ($1::text IS NULL OR id = $1) AND ($2::text IS NULL OR grant_id = $2)
"""
# `asked` are sessions with the days that theirs can be of, $4 and $5 the days of all of them.
_ASKED = """
    FROM unnest($1::text[], $2::date[], $3::date[]) AS asked (id, first, last)
"""
_COUNTS = f"""
    SELECT asked.id, newest.seq {_ASKED}
     CROSS JOIN LATERAL (
        SELECT s.seq FROM curfew.statements s
         WHERE s.session_id = asked.id AND s.day BETWEEN asked.first AND asked.last
           AND s.day BETWEEN $4 AND $5
         ORDER BY s.seq DESC LIMIT 1
     ) AS newest
"""  # noqa: S608
_SUMS = f"""
    SELECT asked.id, of_it.* {_ASKED}
     CROSS JOIN LATERAL (
        SELECT sum(coalesce(s.rows, o.rows)) AS rows,
               sum(coalesce(s.bytes_from_client, o.bytes_from_client)) AS bytes_from_client,
               sum(coalesce(s.bytes_to_client, o.bytes_to_client)) AS bytes_to_client,
               count(*) FILTER (
                   WHERE coalesce(s.ending, o.ending) IN ('failed', 'refused')) AS errors,
               min(s.started_at) AS first_at, max(s.started_at) AS last_at
          FROM {_WITH_OUTCOME}
         WHERE s.session_id = asked.id AND s.day BETWEEN asked.first AND asked.last
           AND s.day BETWEEN $4 AND $5
     ) AS of_it
"""  # noqa: S608
_RUNNING = f"""
    SELECT running.* {_ASKED}
     CROSS JOIN LATERAL (
        SELECT s.session_id, s.seq, left(s.text, $6) AS text, s.started_at FROM (
            SELECT * FROM curfew.statements
             WHERE session_id = asked.id AND day BETWEEN asked.first AND asked.last
               AND day BETWEEN $4 AND $5
             ORDER BY seq DESC LIMIT {_NEWEST}
        ) AS s
         WHERE s.ending IS NULL AND NOT EXISTS (
            SELECT FROM curfew.late_outcomes o
             WHERE o.day = s.day AND o.session_id = s.session_id AND o.seq = s.seq)
         ORDER BY s.seq DESC LIMIT 1
     ) AS running
"""  # noqa: S608


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """A statement with whose it is, as far as the ledger knows its session."""

    statement: Statement
    grant_id: str | None
    person: str | None
    target: str | None
    database: str | None
    role: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class StatementFilter:
    """Which statements are wanted, or events or receipts that have to do with the same; None means
    whichever. `text` is anywhere in a statement's, in either case."""

    session_id: str | None = None
    grant_id: str | None = None
    person: str | None = None
    target: str | None = None
    text: str | None = None
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Lifetime:
    """When a session was open; None if it still is."""

    session_id: str
    started_at: datetime
    ended_at: datetime | None

    def days(self, now: datetime) -> tuple[date, date]:
        """Return the first and the last day that a statement of it can be of, with a day more on
        either side: two machines' clocks differ."""
        last = self.ended_at if self.ended_at is not None else now
        return _day(self.started_at) - _A_DAY, _day(last) + _A_DAY


@dataclass(frozen=True, slots=True)
class Running:
    """A statement without an outcome. `text` is its beginning."""

    session_id: str
    seq: int
    text: str
    started_at: datetime


@dataclass(frozen=True, slots=True)
class Sums:
    """What the statements of a session on record come to. The times are when the first and the last
    of them began; None without any."""

    rows: int
    bytes_from_client: int
    bytes_to_client: int
    errors: int
    first_at: datetime | None
    last_at: datetime | None


@dataclass(frozen=True, slots=True)
class Place:
    """Where a page of statements, newest first, ended."""

    started_at: datetime
    session_id: str
    seq: int


async def fetch_page(
    db: Db, session: Lifetime, *, after: int, limit: int, now: datetime
) -> tuple[list[Statement], bool]:
    """Return at most `limit` statements of the session that come after number `after`, fewer if
    they are long, and whether there are more."""
    first, last = session.days(now)
    rows = await db.fetch(_PAGE, session.session_id, first, last, after, limit)
    more = bool(rows) and (rows[0]["found_rows"] == limit or rows[0]["found_rows"] > len(rows))
    return [statement_of(row) for row in rows], more


async def fetch_counts(db: Db, asked: Sequence[Lifetime], *, now: datetime) -> dict[str, int]:
    """Return how many statements sessions have had: the number of their newest. Those without any
    are left out."""
    rows = await db.fetch(_COUNTS, *_asked(asked, now))
    return {row["id"]: row["seq"] for row in rows}


async def fetch_sums(db: Db, asked: Sequence[Lifetime], *, now: datetime) -> dict[str, Sums]:
    """Add up the statements of each session. Looks at all of them."""
    rows = await db.fetch(_SUMS, *_asked(asked, now))
    return {
        row["id"]: Sums(
            int(row["rows"] or 0),
            int(row["bytes_from_client"] or 0),
            int(row["bytes_to_client"] or 0),
            row["errors"],
            row["first_at"],
            row["last_at"],
        )
        for row in rows
    }


async def fetch_running(
    db: Db, asked: Sequence[Lifetime], *, longest: int, now: datetime
) -> dict[str, Running]:
    """Return the newest statement of each session that has no outcome, if there is one, with the
    first `longest` characters of its text."""
    rows = await db.fetch(_RUNNING, *_asked(asked, now), longest)
    return {row["session_id"]: Running(**dict(row)) for row in rows}


async def fetch_days(db: Db, wanted: StatementFilter, *, now: datetime) -> list[date]:
    """Return the days, oldest first, of which there may be such statements."""
    first = _day(wanted.since) if wanted.since is not None else None
    last = _day(wanted.until) if wanted.until is not None else None
    if wanted.session_id is not None or wanted.grant_id is not None:
        span = await db.fetchrow(_SPAN, wanted.session_id, wanted.grant_id, now)
        if span is not None and span["first"] is not None:
            begins, ends = Lifetime("", span["first"], span["last"]).days(now)
            first, last = max(first or begins, begins), min(last or ends, ends)
    return [row["day"] for row in await db.fetch(_DAYS, first, last)]


async def fetch_of_blocks(
    db: Db, days: Sequence[date], first: int, last: int, wanted: StatementFilter
) -> list[Told]:
    """Return the statements that fit of blocks that follow each other, in the order of the chain.
    The blocks are of these days."""
    rest, arguments = where_of(wanted, _CONDITIONS, list(days), first, last)
    where = "WHERE s.day = ANY ($1) AND s.block BETWEEN $2 AND $3" + (
        f" AND {rest}" if rest else ""
    )
    # Not by the collation of the database, which may order ids otherwise than we do.
    order = 'ORDER BY s.block, s.session_id COLLATE "C", s.seq'
    return [told_of(row) for row in await db.fetch(f"{_TOLD} {where} {order}", *arguments)]


async def search_day(
    db: Db,
    visible: Visible,
    day: date,
    wanted: StatementFilter,
    *,
    before: Place | None,
    limit: int,
) -> list[Told]:
    """Return at most `limit` statements of one day that the person may see, newest first, of those
    before a place. Of their texts, the beginnings."""
    rest, arguments = where_of(wanted, _CONDITIONS, *visible.arguments, day, limit)
    where = f"WHERE {VISIBLE} AND s.day = $7" + (f" AND {rest}" if rest else "")
    if before is not None:
        arguments += [before.started_at, before.session_id, before.seq]
        n = len(arguments)
        where += f" AND (s.started_at, s.session_id, s.seq) < (${n - 2}, ${n - 1}, ${n})"
    order = "ORDER BY s.started_at DESC, s.session_id DESC, s.seq DESC LIMIT $8"
    return [told_of(row) for row in await db.fetch(f"{_FOUND} {where} {order}", *arguments)]


def told_of(row: asyncpg.Record) -> Told:
    return Told(
        statement=statement_of(row),
        grant_id=row["grant_id"],
        person=row["person"],
        target=row["target"],
        database=row["database"],
        role=row["role"],
    )


def statement_of(row: asyncpg.Record) -> Statement:
    types, values = row["parameter_types"], row["parameters"]
    return Statement(
        session_id=row["session_id"],
        seq=row["seq"],
        started_at=row["started_at"],
        protocol=Protocol(row["protocol"]),
        text=row["text"],
        text_bytes=row["text_bytes"],
        text_sha256=row["text_sha256"],
        masked=row["masked"],
        parameter_types=None if types is None else tuple(types),
        parameters=None if values is None else tuple(values),
        outcome=None if row["ending"] is None else outcome_of(row),
    )


def outcome_of(row: asyncpg.Record) -> Outcome:
    return Outcome(
        ending=Ending(row["ending"]),
        duration_us=row["duration_us"],
        rows=row["rows"],
        tag=row["tag"],
        sqlstate=row["sqlstate"],
        bytes_from_client=row["bytes_from_client"],
        bytes_to_client=row["bytes_to_client"],
    )


def where_of(
    wanted: StatementFilter, conditions: Mapping[str, str], *first: Any
) -> tuple[str, list[Any]]:
    """Return the WHERE of the filters that are given, and all arguments, which begin with `first`.

    The others are left out rather than compared with NULL, so that each combination has a plan of
    its own.
    """
    found, arguments = [], list(first)
    for name, condition in conditions.items():
        value = getattr(wanted, name)
        if value is not None:
            arguments.append(value)
            found.append(condition.format(f"${len(arguments)}"))
    return " AND ".join(found), arguments


def _asked(asked: Sequence[Lifetime], now: datetime) -> tuple[Any, ...]:
    days = [each.days(now) for each in asked]
    firsts, lasts = [each[0] for each in days], [each[1] for each in days]
    today = _day(now)
    ids = [each.session_id for each in asked]
    return ids, firsts, lasts, min(firsts, default=today), max(lasts, default=today)


def _day(moment: datetime) -> date:
    return moment.astimezone(UTC).date()
