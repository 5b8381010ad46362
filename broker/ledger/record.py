"""The record as its blocks have it, in the order of the chains: for who follows it, and for who
takes it along. Nothing is coalesced here; rows are as they were sealed.

Blocks become visible in the order of their numbers, since each is sealed under the lock of its
chain, last thing in its transaction. So "after block n" misses nothing, which cannot be said of the
numbers of events; and what was sealed stays as it is. So whatever is long is read page by page,
each by itself: a transaction that lasts as long as its reader would keep retention from dropping a
day, and whoever waits behind that from writing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import asyncpg

from broker.domain.receipt import Link
from broker.domain.statement.chain import Block
from broker.domain.statement.dropped_days import DroppedDay
from broker.domain.statement.statement import LateOutcome, Row
from broker.ledger.audit import AuditRow
from broker.ledger.connection import Db
from broker.ledger.statements import StatementFilter, outcome_of, statement_of, where_of

_HEADS = """
    SELECT coalesce((SELECT max(number) FROM curfew.statement_blocks), 0) AS statements,
           coalesce((SELECT max(number) FROM curfew.audit_blocks), 0) AS events
"""
_BLOCK = "b.number, b.rows, b.digest, b.leaves, b.previous, b.hash"
_STATEMENT_BLOCKS = f"""
    SELECT {_BLOCK}, b.day FROM curfew.statement_blocks b
     WHERE b.number > $1 AND b.number <= $2 {{rest}} ORDER BY b.number LIMIT $3
"""  # noqa: S608  (constant text, as below)
# Rows of a session are found by their key, so few blocks need be looked at.
_OF_SESSIONS = """
    AND b.number IN (
        SELECT s.block FROM curfew.statements s WHERE s.session_id = ANY ($4) AND s.day = ANY ($5)
        UNION
        SELECT s.block FROM curfew.late_outcomes s
         WHERE s.session_id = ANY ($4) AND s.day = ANY ($5))
"""
_OF_DAYS = "AND b.day = ANY ($4)"
_AUDIT_BLOCKS = f"""
    SELECT {_BLOCK}, b.seqs FROM curfew.audit_blocks b
     WHERE b.number > $1 AND b.number <= $2 {{rest}} ORDER BY b.number LIMIT $3
"""  # noqa: S608
# A block's newest is the highest number so far, so the first that can have an event mostly has it.
_OF_EVENTS = """
    AND b.number IN (
        SELECT sealed.number FROM curfew.audit_events e
         CROSS JOIN LATERAL (
            SELECT c.number FROM curfew.audit_blocks c
             WHERE c.newest >= e.seq AND e.seq = ANY (c.seqs)
             ORDER BY c.newest LIMIT 1
         ) AS sealed
         WHERE e.grant_id = $4
            OR e.request_id IN (SELECT id FROM curfew.requests WHERE id = $5 OR extends = $4))
"""
_SEALED_SINCE = "AND b.sealed_at >= $4"
_JOINED = """
      LEFT JOIN curfew.sessions n ON n.id = s.session_id
      LEFT JOIN curfew.grants g ON g.id = n.grant_id
      LEFT JOIN curfew.people p ON p.id = g.person_id
     WHERE s.day = ANY ($1) AND s.block BETWEEN $2 AND $3
"""
_ROWS = "SELECT s.*, n.grant_id, p.email AS person, g.target FROM curfew."
_STATEMENTS = f"{_ROWS}statements s {_JOINED}"
_OUTCOMES = f"{_ROWS}late_outcomes s {_JOINED}"
_EVENT = "e.seq, e.at, e.actor, e.kind, e.request_id, e.grant_id, e.session_id, e.data"
_OF_EVENT = """
      LEFT JOIN curfew.grants g ON g.id = e.grant_id
      LEFT JOIN curfew.requests r ON r.id = coalesce(e.request_id, g.request_id)
      LEFT JOIN curfew.people p ON p.id = coalesce(g.person_id, r.person_id)
"""
_SEALED_EVENTS = f"""
    SELECT b.number AS block, {_EVENT}, p.email AS person,
           coalesce(e.grant_id, r.extends,
                    (SELECT id FROM curfew.grants WHERE request_id = e.request_id)) AS of_grant,
           coalesce(g.target, r.target, e.data ->> 'target') AS target
      FROM curfew.audit_blocks b
     CROSS JOIN LATERAL unnest(b.seqs) WITH ORDINALITY AS named (seq, place)
      JOIN curfew.audit_events e ON e.seq = named.seq
      {_OF_EVENT}
     WHERE b.number BETWEEN $1 AND $2
     ORDER BY b.number, named.place
"""  # noqa: S608
_EVENTS = f"SELECT {_EVENT} FROM curfew.audit_events e {_OF_EVENT} WHERE e.seq > $1"  # noqa: S608
_EVENT_CONDITIONS = {
    "session_id": "e.session_id = {}",
    "grant_id": """(e.grant_id = {0} OR e.request_id IN (
        SELECT a.id FROM curfew.requests a
          LEFT JOIN curfew.grants b ON b.request_id = a.id
         WHERE b.id = {0} OR a.extends = {0}))""",
    "person": "{} IN (e.actor, p.email, e.data ->> 'person')",
    "target": "coalesce(g.target, r.target, e.data ->> 'target') = {}",
    "since": "e.at >= {}",
    "until": "e.at < {}",
}
_RECEIPTS = """
    SELECT t.number, t.grant_id, t.made_at, t.proved, t.body, t.previous, t.hash
      FROM curfew.receipts t
      JOIN curfew.grants g ON g.id = t.grant_id
      JOIN curfew.people p ON p.id = g.person_id
     WHERE t.number > $1
"""
_RECEIPT_CONDITIONS = {
    "session_id": "t.grant_id IN (SELECT grant_id FROM curfew.sessions WHERE id = {})",
    "grant_id": "t.grant_id = {}",
    "person": "p.email = {}",
    "target": "g.target = {}",
    "since": "t.made_at >= {}",
    "until": "t.made_at < {}",
}
_BEGINNING = """
    SELECT r.created_at FROM curfew.grants g JOIN curfew.requests r ON r.id = g.request_id
     WHERE g.id = coalesce($1, (SELECT grant_id FROM curfew.sessions WHERE id = $2))
"""
# The last one before a time may name what came a moment after it, on another machine's clock.
_CHECKPOINT_BEFORE = """
    SELECT coalesce(max(number), 0) FROM curfew.checkpoints WHERE made_at < $1
"""
_DROPPED = "SELECT day, rows, through FROM curfew.dropped_days ORDER BY day, through"
_SESSIONS = """
    SELECT id FROM curfew.sessions
     WHERE ($1::text IS NULL OR id = $1) AND ($2::text IS NULL OR grant_id = $2) ORDER BY id
"""
_SUBJECT = """
    SELECT g.id AS grant_id, g.request_id FROM curfew.grants g
     WHERE g.id = coalesce($1, (SELECT grant_id FROM curfew.sessions WHERE id = $2))
"""


@dataclass(frozen=True, slots=True)
class Heads:
    """The numbers of the newest blocks of statements and of events."""

    statements: int = 0
    events: int = 0


@dataclass(frozen=True, slots=True)
class StatementBlock:
    block: Block
    day: date


@dataclass(frozen=True, slots=True)
class AuditBlock:
    block: Block
    seqs: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedRow:
    """A row of statements in its block, with whose it is as far as the ledger knows."""

    block: int
    row: Row
    grant_id: str | None
    person: str | None
    target: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedEvent:
    """An event in its block, with the grant that it is about, or that its request led to."""

    block: int
    event: AuditRow
    of_grant: str | None
    person: str | None
    target: str | None


@dataclass(frozen=True, slots=True)
class ReceiptRow:
    """A receipt with what a table says of it beside its link."""

    link: Link
    grant_id: str
    made_at: datetime
    proved: bool


@dataclass(frozen=True, slots=True)
class Span:
    """Blocks after one and up to another, and how many of them at once."""

    after: int
    until: int
    limit: int


async def fetch_heads(db: Db) -> Heads:
    row = await db.fetchrow(_HEADS)
    assert row is not None
    return Heads(row["statements"], row["events"])


async def fetch_statement_blocks(
    db: Db, span: Span, wanted: StatementFilter, days: Sequence[date] | None = None
) -> list[StatementBlock]:
    """Return blocks that may have rows that fit, in their order; all of them without `days`."""
    rest: tuple[Any, ...] = ()
    condition = ""
    if days is not None and (wanted.session_id is not None or wanted.grant_id is not None):
        found = await db.fetch(_SESSIONS, wanted.session_id, wanted.grant_id)
        condition, rest = _OF_SESSIONS, ([row["id"] for row in found], list(days))
    elif days is not None:
        condition, rest = _OF_DAYS, (list(days),)
    query = _STATEMENT_BLOCKS.format(rest=condition)
    rows = await db.fetch(query, span.after, span.until, span.limit, *rest)
    return [StatementBlock(_block(row), row["day"]) for row in rows]


async def fetch_audit_blocks(db: Db, span: Span, wanted: StatementFilter) -> list[AuditBlock]:
    """Return blocks that may have events that fit, in their order."""
    rest: tuple[Any, ...] = ()
    condition = ""
    if wanted.session_id is not None or wanted.grant_id is not None:
        subject = await db.fetchrow(_SUBJECT, wanted.grant_id, wanted.session_id)
        if subject is None:
            return []
        condition, rest = _OF_EVENTS, (subject["grant_id"], subject["request_id"])
    elif wanted.since is not None:
        condition, rest = _SEALED_SINCE, (wanted.since,)
    query = _AUDIT_BLOCKS.format(rest=condition)
    rows = await db.fetch(query, span.after, span.until, span.limit, *rest)
    return [AuditBlock(_block(row), tuple(row["seqs"])) for row in rows]


async def fetch_rows(db: Db, blocks: Sequence[StatementBlock]) -> list[SealedRow]:
    """Return all rows from the first to the last of these blocks, in the order of the chain."""
    if not blocks:
        return []
    days = sorted({each.day for each in blocks})
    arguments = (days, blocks[0].block.number, blocks[-1].block.number)
    found = [
        *(_sealed(row, statement_of(row)) for row in await db.fetch(_STATEMENTS, *arguments)),
        *(_sealed(row, _late(row)) for row in await db.fetch(_OUTCOMES, *arguments)),
    ]
    return sorted(found, key=_place)


async def fetch_sealed_events(db: Db, blocks: Sequence[AuditBlock]) -> list[SealedEvent]:
    """Return all events from the first to the last of these blocks, in the order of the chain."""
    if not blocks:
        return []
    rows = await db.fetch(_SEALED_EVENTS, blocks[0].block.number, blocks[-1].block.number)
    return [_event(row) for row in rows]


async def fetch_events(
    db: Db, wanted: StatementFilter, *, after: int, limit: int
) -> list[AuditRow]:
    """Return events that fit, sealed or not yet, in the order of their numbers."""
    where, arguments = where_of(wanted, _EVENT_CONDITIONS, after, limit)
    query = f"{_EVENTS} {f'AND {where}' if where else ''} ORDER BY e.seq LIMIT $2"
    return [AuditRow(**dict(row)) for row in await db.fetch(query, *arguments)]


async def fetch_receipts(
    db: Db, wanted: StatementFilter, *, after: int, limit: int
) -> list[ReceiptRow]:
    """Return receipts that fit, in the order of their chain."""
    where, arguments = where_of(wanted, _RECEIPT_CONDITIONS, after, limit)
    query = f"{_RECEIPTS} {f'AND {where}' if where else ''} ORDER BY t.number LIMIT $2"
    return [_receipt(row) for row in await db.fetch(query, *arguments)]


async def fetch_beginning(db: Db, wanted: StatementFilter) -> datetime | None:
    """Return when the story of the grant began, or of the session's grant."""
    at: datetime | None = await db.fetchval(_BEGINNING, wanted.grant_id, wanted.session_id)
    return at


async def fetch_checkpoint_before(db: Db, at: datetime) -> int:
    """Return the number of the newest checkpoint that was made before a time, or 0."""
    return int(await db.fetchval(_CHECKPOINT_BEFORE, at))


async def fetch_dropped(db: Db) -> list[DroppedDay]:
    return [DroppedDay(**dict(row)) for row in await db.fetch(_DROPPED)]


def _place(sealed: SealedRow) -> tuple[int, str, int, bool]:
    """The canonical order: a statement before its own outcome. Python's, as collations differ."""
    row = sealed.row
    return sealed.block, row.session_id, row.seq, isinstance(row, LateOutcome)


def _block(row: asyncpg.Record) -> Block:
    names = ("number", "rows", "digest", "leaves", "previous", "hash")
    values: dict[str, Any] = {name: row[name] for name in names}
    return Block(**values)


def _late(row: asyncpg.Record) -> LateOutcome:
    return LateOutcome(
        session_id=row["session_id"], seq=row["seq"], day=row["day"], outcome=outcome_of(row)
    )


def _sealed(row: asyncpg.Record, sealed: Row) -> SealedRow:
    return SealedRow(
        block=row["block"],
        row=sealed,
        grant_id=row["grant_id"],
        person=row["person"],
        target=row["target"],
    )


def _event(row: asyncpg.Record) -> SealedEvent:
    facts = dict(row)
    of_it = {name: facts.pop(name) for name in ("block", "of_grant", "person", "target")}
    return SealedEvent(event=AuditRow(**facts), **of_it)


def _receipt(row: asyncpg.Record) -> ReceiptRow:
    link = Link(row["number"], row["body"], row["previous"], row["hash"])
    return ReceiptRow(link, row["grant_id"], row["made_at"], row["proved"])
