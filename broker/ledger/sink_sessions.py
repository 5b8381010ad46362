"""Whose a session is, and where: what a copy of the record says beside each statement."""

from dataclasses import dataclass

from broker.ledger.connection import Db

_SELECT = """
    SELECT id, grant_id, person, target, database, role, client_address
      FROM curfew.sink_sessions WHERE id = ANY ($1)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class SinkSession:
    grant_id: str
    person: str
    target: str
    database: str
    role: str
    client_address: str


async def fetch(db: Db, ids: list[str]) -> dict[str, SinkSession]:
    """Return those of these sessions that the ledger knows, by their ids."""
    rows = [dict(row) for row in await db.fetch(_SELECT, ids)]
    return {row.pop("id"): SinkSession(**row) for row in rows}
