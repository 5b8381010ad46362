"""Blocks of the audit trail: events, in the order of their numbers, chained like statements.

Numbers are given before a transaction commits, so an event may come to be seen after later ones.
Numbers that are not there yet are kept as gaps when what comes after them is sealed, and an event
that fills one is sealed when it is seen. After an hour a gap is one for good: no transaction of
ours lasts that long, so it was rolled back.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import asyncpg

from broker.domain.statement.audit_row import canonical_event
from broker.domain.statement.chain import GENESIS, Block, seal
from broker.ledger.connection import Db

_GAP_CLOSES_AFTER = timedelta(hours=1)
_WIDEST_GAP = 1000  # a number that was never given needs no watching: sequences may jump
# One sealer at a time; another one's turn comes in a second.
_TRY_LOCK = "SELECT pg_try_advisory_xact_lock(hashtextextended('curfew.audit_blocks', 0))"
_LAST = "SELECT number, newest, hash FROM curfew.audit_blocks ORDER BY number DESC LIMIT 1"
_ANY_NEW = """
    SELECT EXISTS (SELECT FROM curfew.audit_events WHERE seq > $1)
        OR EXISTS (SELECT FROM curfew.audit_gaps g
                    WHERE EXISTS (SELECT FROM curfew.audit_events e WHERE e.seq = g.seq))
"""
_COLUMNS = "e.seq, e.at, e.actor, e.kind, e.request_id, e.grant_id, e.session_id, e.data"
_LATE = f"""
    SELECT {_COLUMNS} FROM curfew.audit_gaps g JOIN curfew.audit_events e ON e.seq = g.seq
     ORDER BY e.seq LIMIT $1
"""  # noqa: S608  (constant text)
_NEW = f"SELECT {_COLUMNS} FROM curfew.audit_events e WHERE e.seq > $1 ORDER BY e.seq LIMIT $2"  # noqa: S608
_INSERT = """
    INSERT INTO curfew.audit_blocks
        (number, seqs, newest, sealed_at, rows, digest, leaves, previous, hash)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
"""
_CLOSE_GAPS = "DELETE FROM curfew.audit_gaps WHERE seq = ANY($1) OR seen_at < $2"
_OPEN_GAPS = "INSERT INTO curfew.audit_gaps (seq, seen_at) SELECT unnest($1::bigint[]), $2"
_PAGE = """
    SELECT number, seqs, newest, rows, digest, leaves, previous, hash FROM curfew.audit_blocks
     WHERE number > $1 ORDER BY number LIMIT $2
"""


@dataclass(frozen=True, slots=True)
class AuditBlock:
    """A block with the numbers of its events. `newest` is the highest that any had until then."""

    block: Block
    seqs: tuple[int, ...]
    newest: int


async def append(db: Db, now: datetime, limit: int) -> int:
    """Seal at most `limit` events that are in no block yet, and return how many. Needs a
    transaction. Returns 0 if somebody else is at it."""
    if not await db.fetchval(_TRY_LOCK):
        return 0
    last = await db.fetchrow(_LAST)
    number, newest, previous = tuple(last) if last else (0, 0, GENESIS)
    if not await db.fetchval(_ANY_NEW, newest):
        return 0
    late = await db.fetch(_LATE, limit)
    new = await db.fetch(_NEW, newest, limit - len(late))
    events = [*late, *new]
    seqs = [row["seq"] for row in events]
    block = seal(number + 1, [event_text(row) for row in events], bytes(previous))
    await db.execute(
        _INSERT,
        block.number,
        seqs,
        max(newest, *seqs),
        now,
        block.rows,
        block.digest,
        block.leaves,
        block.previous,
        block.hash,
    )
    await db.execute(_CLOSE_GAPS, seqs, now - _GAP_CLOSES_AFTER)
    await db.execute(_OPEN_GAPS, _gaps(newest, [row["seq"] for row in new]), now)
    return len(events)


async def fetch_page(db: Db, after: int, limit: int) -> list[AuditBlock]:
    """Return at most `limit` blocks that come after number `after`."""
    return [_block(row) for row in await db.fetch(_PAGE, after, limit)]


def event_text(row: asyncpg.Record) -> bytes:
    """Return the canonical text of a row of audit_events, in UTF-8."""
    return canonical_event(**dict(row)).encode()


def _gaps(newest: int, seqs: Sequence[int]) -> list[int]:
    """Return the numbers between these, and between `newest` and the first, of which none came."""
    gaps: list[int] = []
    for before, seq in zip([newest, *seqs], seqs, strict=False):
        gaps += range(max(before + 1, seq - _WIDEST_GAP), seq)
    return gaps


def _block(row: asyncpg.Record) -> AuditBlock:
    block = Block(
        number=row["number"],
        rows=row["rows"],
        digest=row["digest"],
        leaves=row["leaves"],
        previous=row["previous"],
        hash=row["hash"],
    )
    return AuditBlock(block, tuple(row["seqs"]), row["newest"])
