"""How much of everything is alive, for those who watch the service."""

from dataclasses import dataclass

from broker.ledger.connection import Db

# Each has an index of its own: who watches asks every few seconds.
_COUNT = """
    SELECT (SELECT count(*) FROM curfew.sessions WHERE ended_at IS NULL) AS sessions_open,
           (SELECT count(*) FROM curfew.grants
             WHERE state <> 'ended' AND state = 'active') AS grants_active,
           (SELECT count(*) FROM curfew.requests WHERE state = 'pending') AS requests_pending
"""


@dataclass(frozen=True, slots=True)
class Counts:
    sessions_open: int
    grants_active: int
    requests_pending: int


async def fetch(db: Db) -> Counts:
    row = await db.fetchrow(_COUNT)
    assert row is not None
    return Counts(**dict(row))
