"""Every statement on table memberships: roles given to roles that people already have."""

from dataclasses import dataclass
from datetime import datetime

import asyncpg

from broker.ledger.connection import Db

_SELECT = "SELECT grant_id, target, role, member, absent_at FROM curfew.memberships"
_GIVEN = """
    SELECT m.role, m.member FROM curfew.memberships m JOIN curfew.grants g ON g.id = m.grant_id
     WHERE m.target = $1 AND (g.state <> 'ended' OR g.ended_at >= $2)
"""
_INSERT = """
    INSERT INTO curfew.memberships (grant_id, target, role, member) VALUES ($1, $2, $3, $4)
"""
_SAVE_ABSENT = "UPDATE curfew.memberships SET absent_at = $2 WHERE grant_id = $1"
_SAVE_OVER = "UPDATE curfew.memberships SET over = true WHERE grant_id = $1"


@dataclass(frozen=True, slots=True)
class Membership:
    """What a membership grant gives. `absent_at` is when the target was seen without it, before we
    gave it: only then is it ours to take away."""

    grant_id: str
    target: str
    role: str
    member: str
    absent_at: datetime | None = None


async def insert(db: Db, membership: Membership) -> bool:
    """Store the intent. Returns False if another grant gives the very same membership now."""
    try:
        async with db.transaction():
            await db.execute(
                _INSERT,
                membership.grant_id,
                membership.target,
                membership.role,
                membership.member,
            )
    except asyncpg.UniqueViolationError:
        return False
    return True


async def lock_if_free(db: Db, grant_id: str) -> Membership | None:
    """Return the membership, or None at once while somebody else works on it."""
    row = await db.fetchrow(_SELECT + " WHERE grant_id = $1 FOR UPDATE SKIP LOCKED", grant_id)
    return Membership(**dict(row)) if row else None


async def fetch_given(db: Db, target: str, since: datetime) -> set[tuple[str, str]]:
    """Return (role, member) of grants on this target that had not ended by `since`."""
    return {(row["role"], row["member"]) for row in await db.fetch(_GIVEN, target, since)}


async def save_absent(db: Db, grant_id: str, now: datetime) -> None:
    await db.execute(_SAVE_ABSENT, grant_id, now)


async def save_over(db: Db, grant_id: str) -> None:
    await db.execute(_SAVE_OVER, grant_id)
