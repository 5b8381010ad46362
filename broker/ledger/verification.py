"""What a check of the record reads: rows in the order of their blocks, and rows that are in none.

It reads pages of blocks, and rows through a cursor, in many short transactions: neither side holds
much, and nobody waits for a check.
"""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime

import asyncpg

from broker.domain.receipt import Link
from broker.domain.statement.audit_row import canonical_event
from broker.domain.statement.chain import Block
from broker.domain.statement.flaw import RowName
from broker.domain.statement.statement import LateOutcome, canonical_row
from broker.ledger.audit_blocks import AuditBlock, event_text
from broker.ledger.connection import Db
from broker.ledger.statements import outcome_of, statement_of

_PATIENCE_S = 3600.0  # rows of no block are found by looking at all of them
_PREFETCH = 100  # rows: of the longest texts that there can be, still no more than 200 MB
_BLOCKS = """
    SELECT number, day, rows, digest, leaves, previous, hash FROM curfew.statement_blocks
     WHERE number > $1 ORDER BY number LIMIT $2
"""
_STATEMENT = """
    day, session_id, seq, block, started_at, protocol, text, text_bytes, text_sha256, masked,
    parameter_types, parameters
"""
_OUTCOME = "ending, duration_us, rows, tag, sqlstate, bytes_from_client, bytes_to_client"
# Canonical order: a statement comes before its own late outcome.
_ROWS = f"""
    SELECT * FROM (
        SELECT 'statement' AS kind, 0 AS place, {_STATEMENT}, {_OUTCOME} FROM curfew.statements
         WHERE day = ANY($1) AND block BETWEEN $2 AND $3
        UNION ALL
        SELECT 'outcome', 1, day, session_id, seq, block, NULL, NULL, NULL, NULL, NULL, NULL,
               NULL, NULL, {_OUTCOME} FROM curfew.late_outcomes
         WHERE day = ANY($1) AND block BETWEEN $2 AND $3
    ) AS found
     ORDER BY block, session_id COLLATE "C", seq, place
"""  # noqa: S608  (constant text, as below)
_STRAYS = """
    SELECT '{kind}' AS kind, r.session_id, r.seq, r.block, r.day FROM curfew.{table} r
     WHERE NOT EXISTS (
            SELECT FROM curfew.statement_blocks b WHERE b.number = r.block AND b.day = r.day)
        OR EXISTS (
            SELECT FROM curfew.dropped_days d WHERE d.day = r.day AND r.block <= d.through)
        {more}
"""
_STRAY_STATEMENTS = _STRAYS.format(
    kind="statement",
    table="statements",
    more="OR r.day <> (r.started_at AT TIME ZONE 'UTC')::date",
)
_STRAY_OUTCOMES = _STRAYS.format(kind="outcome", table="late_outcomes", more="")
_EVENTS = """
    SELECT seq, at, actor, kind, request_id, grant_id, session_id, data
      FROM curfew.audit_events WHERE seq = ANY($1::bigint[])
"""
_UNSEALED = """
    SELECT e.seq, e.at, e.actor, e.kind, e.request_id, e.grant_id, e.session_id, e.data,
           e.at < $1 OR (e.seq <= (SELECT coalesce(max(newest), 0) FROM curfew.audit_blocks)
                AND NOT EXISTS (SELECT FROM curfew.audit_gaps g WHERE g.seq = e.seq)) AS overdue
      FROM curfew.audit_events e
     WHERE NOT EXISTS (
        SELECT FROM (SELECT unnest(seqs) AS seq FROM curfew.audit_blocks) s WHERE s.seq = e.seq)
"""
_RECEIPTS = """
    SELECT number, body, previous, hash, grant_id, proved FROM curfew.receipts
     WHERE number > $1 ORDER BY number LIMIT $2
"""


@dataclass(frozen=True, slots=True)
class KeptReceipt:
    """A receipt, and what it is kept as."""

    link: Link
    grant_id: str
    proved: bool


@dataclass(frozen=True, slots=True)
class StatementBlock:
    block: Block
    day: date


@dataclass(frozen=True, slots=True)
class Stray:
    """A row that says it is of a block which does not have it."""

    name: RowName
    block: int


@dataclass(frozen=True, slots=True)
class Unsealed:
    """An event of no block. `overdue` if it should be in one by now."""

    name: RowName
    text: bytes
    overdue: bool


@dataclass(frozen=True, slots=True)
class FoundRow:
    """A row as it is now, and the block that it says it is of."""

    record: asyncpg.Record

    @property
    def block(self) -> int:
        number: int = self.record["block"]
        return number

    @property
    def name(self) -> RowName:
        return RowName(self.record["kind"], self.record["session_id"], self.record["seq"])

    def text(self) -> bytes:
        """Return the canonical text in UTF-8; of what is no row of ours, something else."""
        try:
            if self.record["kind"] == "statement":
                return canonical_row(statement_of(self.record)).encode()
            return canonical_row(
                LateOutcome(
                    session_id=self.record["session_id"],
                    seq=self.record["seq"],
                    day=self.record["day"],
                    outcome=outcome_of(self.record),
                )
            ).encode()
        except ValueError as error:
            return str(error).encode()


async def fetch_blocks(db: Db, after: int, limit: int) -> list[StatementBlock]:
    """Return at most `limit` blocks of statements that come after number `after`."""
    return [_block(row) for row in await db.fetch(_BLOCKS, after, limit)]


async def read_rows(db: Db, blocks: Sequence[StatementBlock]) -> AsyncIterator[list[FoundRow]]:
    """Yield the rows of these blocks, which have to follow each other, some at a time and in
    canonical order. Needs a transaction."""
    days = list({each.day for each in blocks})
    first, last = blocks[0].block.number, blocks[-1].block.number
    cursor = await db.cursor(_ROWS, days, first, last, timeout=_PATIENCE_S)
    while found := await cursor.fetch(_PREFETCH):
        yield [FoundRow(row) for row in found]


async def read_strays(db: Db) -> AsyncIterator[Stray]:
    """Yield the rows that no block can have. Needs a transaction."""
    for question in (_STRAY_STATEMENTS, _STRAY_OUTCOMES):
        async for row in db.cursor(question, timeout=_PATIENCE_S):
            yield Stray(RowName(row["kind"], row["session_id"], row["seq"]), row["block"])


async def fetch_events(db: Db, blocks: Sequence[AuditBlock]) -> dict[int, bytes]:
    """Return the canonical texts of the events that are there of these blocks, by number."""
    seqs = [seq for each in blocks for seq in each.seqs]
    rows = await db.fetch(_EVENTS, seqs, timeout=_PATIENCE_S)
    return {row["seq"]: event_text(row) for row in rows}


async def read_unsealed(db: Db, before: datetime) -> AsyncIterator[Unsealed]:
    """Yield the events of no block; what is from `before` should be in one. Needs a
    transaction."""
    async for row in db.cursor(_UNSEALED, before, timeout=_PATIENCE_S):
        facts = dict(row)
        overdue = facts.pop("overdue")
        text = canonical_event(**facts).encode()
        yield Unsealed(RowName("event", None, row["seq"]), text, overdue)


async def fetch_receipts(db: Db, after: int, limit: int) -> list[KeptReceipt]:
    """Return at most `limit` receipts that come after number `after`."""
    return [
        KeptReceipt(
            Link(row["number"], row["body"], row["previous"], row["hash"]),
            row["grant_id"],
            row["proved"],
        )
        for row in await db.fetch(_RECEIPTS, after, limit)
    ]


def _block(row: asyncpg.Record) -> StatementBlock:
    facts = dict(row)
    day = facts.pop("day")
    return StatementBlock(Block(**facts), day)
