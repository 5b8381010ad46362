"""What a grant's sessions did, as texts: what the privilege-fit report reads."""

from collections.abc import AsyncIterator

from broker.ledger.connection import Db

# A statement that was written down while it still ran has its end in late_outcomes.
_DONE = """
    SELECT s.text, count(*) AS times
      FROM curfew.sessions AS of_grant
      JOIN curfew.statements s ON s.session_id = of_grant.id
      LEFT JOIN curfew.late_outcomes o
             ON s.ending IS NULL AND (o.session_id, o.seq, o.day) = (s.session_id, s.seq, s.day)
     WHERE of_grant.grant_id = $1 AND coalesce(s.ending, o.ending) = 'done' AND s.text <> ''
     GROUP BY s.text ORDER BY times DESC, s.text COLLATE "C"
"""
_AT_ONCE = 500


async def done_by(db: Db, grant_id: str) -> AsyncIterator[tuple[str, int]]:
    """Yield each text whose statement was done, with how often, the commonest first. Needs a
    transaction, for its cursor."""
    async for row in db.cursor(_DONE, grant_id, prefetch=_AT_ONCE):
        yield row["text"], row["times"]
