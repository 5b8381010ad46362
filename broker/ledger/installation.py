"""The one row of table installation."""

from broker.ledger.connection import Db


async def fetch_id(db: Db) -> str:
    return str(await db.fetchval("SELECT id FROM curfew.installation"))
