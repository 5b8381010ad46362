"""Every statement on table checkpoints: signed words on the newest link of each chain."""

from datetime import datetime

import asyncpg

from broker.domain.statement.chain import GENESIS
from broker.domain.statement.checkpoint import ChainName, Checkpoint, Head, Heads
from broker.domain.statement.statement import timestamp
from broker.ledger.connection import Db

# Held until the caller's transaction ends, so that two brokers never make the same checkpoint.
_LOCK = "SELECT pg_advisory_xact_lock(hashtextextended('curfew.checkpoints', 0))"
_TABLES = {
    ChainName.RECEIPTS: "receipts",
    ChainName.STATEMENTS: "statement_blocks",
    ChainName.AUDIT: "audit_blocks",
}
_INSERT = """
    INSERT INTO curfew.checkpoints (number, made_at, body, key_id, signature)
    VALUES ($1, $2, $3, $4, $5)
"""
_SELECT = "SELECT number, made_at, body, key_id, signature FROM curfew.checkpoints"


async def lock(db: Db) -> None:
    """Wait for the turn to make a checkpoint, and hold it until the transaction ends."""
    await db.execute(_LOCK)


async def fetch_heads(db: Db) -> Heads:
    """Return the newest link of each chain, as committed now."""
    return {name: await _fetch_head(db, table) for name, table in _TABLES.items()}


async def append(db: Db, checkpoint: Checkpoint, made_at: datetime) -> None:
    await db.execute(
        _INSERT,
        checkpoint.number,
        made_at,
        checkpoint.body,
        checkpoint.key_id,
        checkpoint.signature,
    )


async def fetch_newest(db: Db) -> Checkpoint | None:
    row = await db.fetchrow(f"{_SELECT} ORDER BY number DESC LIMIT 1")
    return _checkpoint(row) if row else None


async def fetch(db: Db, number: int) -> Checkpoint | None:
    row = await db.fetchrow(f"{_SELECT} WHERE number = $1", number)
    return _checkpoint(row) if row else None


async def fetch_page(db: Db, after: int, limit: int) -> list[Checkpoint]:
    """Return at most `limit` checkpoints that come after number `after`."""
    rows = await db.fetch(f"{_SELECT} WHERE number > $1 ORDER BY number LIMIT $2", after, limit)
    return [_checkpoint(row) for row in rows]


async def _fetch_head(db: Db, table: str) -> Head:
    question = f"SELECT number, hash FROM curfew.{table} ORDER BY number DESC LIMIT 1"  # noqa: S608
    row = await db.fetchrow(question)
    return Head(row["number"], bytes(row["hash"])) if row else Head(0, GENESIS)


def _checkpoint(row: asyncpg.Record) -> Checkpoint:
    return Checkpoint(
        number=row["number"],
        made_at=timestamp(row["made_at"]),
        body=row["body"],
        key_id=row["key_id"],
        signature=bytes(row["signature"]),
    )
