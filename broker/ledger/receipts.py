"""Every statement on table receipts: proof, per grant, that its login left nothing."""

from datetime import datetime
from typing import Any

from broker.ledger.connection import Db

_INSERT = """
    INSERT INTO curfew.receipts (grant_id, made_at, facts) VALUES ($1, $2, $3)
"""


async def insert(db: Db, grant_id: str, facts: dict[str, Any], now: datetime) -> None:
    await db.execute(_INSERT, grant_id, now, facts)


async def fetch(db: Db, grant_id: str) -> dict[str, Any] | None:
    facts: dict[str, Any] | None = await db.fetchval(
        "SELECT facts FROM curfew.receipts WHERE grant_id = $1", grant_id
    )
    return facts
