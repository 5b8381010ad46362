"""Every statement on table receipts: proof, per grant, that it left nothing, in one chain."""

from collections.abc import AsyncIterator
from datetime import datetime

import asyncpg

from broker.domain.receipt import GENESIS, Link, seal
from broker.ledger.connection import Db

# Held until the caller's transaction ends, so that two brokers never forge the same link.
_LOCK_CHAIN = "SELECT pg_advisory_xact_lock(hashtextextended('curfew.receipts', 0))"
_LAST = "SELECT number, hash FROM curfew.receipts ORDER BY number DESC LIMIT 1"
_INSERT = """
    INSERT INTO curfew.receipts (number, grant_id, made_at, proved, body, previous, hash)
    VALUES ($1, $2, $3, $4, $5, $6, $7)
"""
_SELECT = "SELECT number, body, previous, hash FROM curfew.receipts"


async def append(db: Db, grant_id: str, body: str, *, proved: bool, now: datetime) -> Link:
    """Seal the receipt onto the newest one and store it. Call it last: it holds the chain."""
    await db.execute(_LOCK_CHAIN)
    last = await db.fetchrow(_LAST)
    number, previous = (last["number"], bytes(last["hash"])) if last else (0, GENESIS)
    link = seal(number + 1, body, previous)
    await db.execute(
        _INSERT, link.number, grant_id, now, proved, link.body, link.previous, link.hash
    )
    return link


async def fetch(db: Db, grant_id: str) -> Link | None:
    row = await db.fetchrow(_SELECT + " WHERE grant_id = $1", grant_id)
    return _link(row) if row else None


async def read_chain(db: Db) -> AsyncIterator[Link]:
    """Yield all receipts in their order. Needs a transaction."""
    async for row in db.cursor(_SELECT + " ORDER BY number", prefetch=500):
        yield _link(row)


def _link(row: asyncpg.Record) -> Link:
    return Link(row["number"], row["body"], bytes(row["previous"]), bytes(row["hash"]))
