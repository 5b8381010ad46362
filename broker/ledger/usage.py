"""What sessions use of their grants' budgets. Proxies count here, and nobody else."""

from broker.domain.statement.budget import Used
from broker.ledger.connection import Db

_ADD = """
    UPDATE curfew.grants SET rows_sent = rows_sent + $2, bytes_sent = bytes_sent + $3
     WHERE id = $1
    RETURNING rows_sent, bytes_sent
"""
_FETCH = "SELECT rows_sent, bytes_sent FROM curfew.grants WHERE id = $1"


async def add(db: Db, grant_id: str, rows: int, bytes_: int) -> Used:
    """Count what a session was sent; returns what all sessions of its grant were, so far."""
    row = await db.fetchrow(_ADD, grant_id, rows, bytes_)
    return Used() if row is None else Used(*row)


async def fetch(db: Db, grant_id: str) -> Used:
    row = await db.fetchrow(_FETCH, grant_id)
    return Used() if row is None else Used(*row)
