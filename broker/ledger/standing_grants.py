"""Grants that have not ended, seen from a target: who has its roles, and which should be over.

Each statement is served by the index of living grants on a target, however many have ended.
"""

from dataclasses import dataclass
from datetime import datetime

from broker.domain.grant import GrantState
from broker.domain.leftovers import UnfinishedGrant
from broker.ledger.connection import Db

_COUNT = """
    SELECT role, count(*) AS count FROM curfew.grants
     WHERE target = $1 AND state <> 'ended' GROUP BY role
"""
# A quarantined grant gives nobody access.
_HOLDERS = """
    SELECT p.email, count(*) AS grants, max(g.expires_at) AS until, count(*) OVER () AS people
      FROM curfew.grants g JOIN curfew.people p ON p.id = g.person_id
     WHERE g.target = $1 AND g.role = $2 AND g.state NOT IN ('ended', 'quarantined')
       AND g.request_id <> $3
     GROUP BY p.email ORDER BY p.email LIMIT $4
"""
_UNFINISHED = """
    SELECT g.id, p.email AS person, g.state, l.name AS login, l.oid, g.expires_at, g.last_error,
           g.next_attempt_at
      FROM curfew.grants g
      JOIN curfew.people p ON p.id = g.person_id
      LEFT JOIN curfew.logins l ON l.grant_id = g.id
     WHERE g.target = $1 AND g.state <> 'ended'
       AND (g.state IN ('revoking', 'quarantined') OR g.expires_at <= $2)
     ORDER BY g.expires_at LIMIT $3
"""


@dataclass(frozen=True, slots=True)
class Holder:
    """Somebody who has a role now, and when the last of their grants ends."""

    email: str
    grants: int
    until: datetime


async def count_by_role(db: Db, target: str) -> dict[str, int]:
    """Return how many grants of each role of the target have not ended."""
    return {row["role"]: row["count"] for row in await db.fetch(_COUNT, target)}


async def fetch_holders(
    db: Db, target: str, role: str, *, but_by: str, limit: int
) -> tuple[list[Holder], int]:
    """Return the first of those who have the role by another request than this, and how many there
    are."""
    rows = await db.fetch(_HOLDERS, target, role, but_by, limit)
    found = [Holder(row["email"], row["grants"], row["until"]) for row in rows]
    return found, rows[0]["people"] if rows else 0


async def fetch_unfinished(db: Db, target: str, now: datetime, limit: int) -> list[UnfinishedGrant]:
    """Return at most `limit` grants of the target that are over or being ended, the longest over
    first."""
    return [
        UnfinishedGrant(**{**dict(row), "state": GrantState(row["state"])})
        for row in await db.fetch(_UNFINISHED, target, now, limit)
    ]
