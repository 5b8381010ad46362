"""Every statement on table allowances."""

from datetime import datetime

import asyncpg

from broker.domain.allowance import Allowance
from broker.domain.person import Person
from broker.ledger.connection import Db
from broker.ledger.sight import Visible

_SELECT = """
    SELECT w.id, w.person_id, p.email, p.name, w.approver_id, a.email AS approver_email,
           a.name AS approver_name, w.target, w.database, w.role, w.policy, w.duration,
           w.starts_at, w.ends_at, w.reason, w.made_at, w.revoked_at, w.revoked_by
      FROM curfew.allowances w
      JOIN curfew.people p ON p.id = w.person_id
      JOIN curfew.people a ON a.id = w.approver_id
"""
_INSERT = """
    INSERT INTO curfew.allowances (id, person_id, approver_id, target, database, role, policy,
                                   duration, starts_at, ends_at, reason, made_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
"""
_COVERING = (
    _SELECT
    + """
     WHERE w.person_id = $1 AND w.target = $2 AND w.database = $3 AND w.role = $4
       AND w.starts_at <= $5 AND w.ends_at > $5 AND w.revoked_at IS NULL
     ORDER BY w.id
"""
)
_PAGE = (
    _SELECT
    + """
     WHERE ($1 OR w.person_id = $2 OR w.approver_id = $2 OR w.policy = ANY ($3))
       AND ($4 OR (w.revoked_at IS NULL AND w.ends_at > $5))
       AND ($6::text IS NULL OR w.id < $6)
     ORDER BY w.id DESC LIMIT $7
"""
)
_REVOKE = """
    UPDATE curfew.allowances SET revoked_at = $2, revoked_by = $3
     WHERE id = $1 AND revoked_at IS NULL
"""


async def insert(db: Db, allowance: Allowance) -> None:
    await db.execute(
        _INSERT,
        allowance.id,
        allowance.person.id,
        allowance.approver.id,
        allowance.target,
        allowance.database,
        allowance.role,
        allowance.policy,
        allowance.duration,
        allowance.starts_at,
        allowance.ends_at,
        allowance.reason,
        allowance.made_at,
    )


async def fetch(db: Db, allowance_id: str) -> Allowance | None:
    row = await db.fetchrow(_SELECT + " WHERE w.id = $1", allowance_id)
    return _allowance(row) if row else None


async def fetch_covering(
    db: Db, person: Person, *, target: str, database: str, role: str, now: datetime
) -> list[Allowance]:
    """Return what is agreed beforehand about this role, whatever its policy and for how long."""
    rows = await db.fetch(_COVERING, person.id, target, database, role, now)
    return [_allowance(row) for row in rows]


async def fetch_page(
    db: Db, visible: Visible, *, over_too: bool, now: datetime, before: str | None, limit: int
) -> list[Allowance]:
    """Return those by, for and approvable by a person, newest first."""
    rows = await db.fetch(
        _PAGE,
        visible.everything,
        visible.person.id,
        visible.policies,
        over_too,
        now,
        before,
        limit,
    )
    return [_allowance(row) for row in rows]


async def revoke(db: Db, allowance_id: str, by: str, now: datetime) -> bool:
    """Return whether there was a living allowance to revoke."""
    return bool(await db.execute(_REVOKE, allowance_id, now, by) == "UPDATE 1")


def _allowance(row: asyncpg.Record) -> Allowance:
    return Allowance(
        id=row["id"],
        person=Person(row["person_id"], row["email"], row["name"]),
        approver=Person(row["approver_id"], row["approver_email"], row["approver_name"]),
        target=row["target"],
        database=row["database"],
        role=row["role"],
        policy=row["policy"],
        duration=row["duration"],
        starts_at=row["starts_at"],
        ends_at=row["ends_at"],
        reason=row["reason"],
        made_at=row["made_at"],
        revoked_at=row["revoked_at"],
        revoked_by=row["revoked_by"],
    )
