"""Every statement on table grants."""

from datetime import datetime

import asyncpg

from broker.domain.grant import Grant, GrantEvent, GrantState
from broker.domain.person import Person
from broker.ledger.connection import Db

COLUMNS = """
    g.id, g.request_id, g.person_id, p.email, p.name AS person_name, g.target, g.database, g.role,
    g.state, g.granted_at, g.expires_at, g.end_reason, g.ended_by, g.end_comment, g.ended_at,
    g.attempts, g.next_attempt_at, g.last_error
"""
_SELECT = f"""
    SELECT {COLUMNS} FROM curfew.grants g JOIN curfew.people p ON p.id = g.person_id
"""  # noqa: S608  (constant text)
_INSERT = """
    INSERT INTO curfew.grants (id, request_id, person_id, target, database, role, state,
                               granted_at, expires_at, next_attempt_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
"""
_PAGE = (
    _SELECT
    + """
      JOIN curfew.requests r ON r.id = g.request_id
     WHERE (g.person_id = $1 OR r.policy = ANY ($2))
       AND ($3::text IS NULL OR g.state = $3)
       AND ($4::text IS NULL OR g.id < $4)
     ORDER BY g.id DESC LIMIT $5
"""
)
_LOCK_OVERDUE = (
    _SELECT
    + """
      JOIN curfew.logins l ON l.grant_id = g.id
     WHERE g.state IN ('provisioning', 'active')
       AND (g.expires_at <= $1
            OR (g.state = 'active' AND l.rejected_at IS NOT NULL))
     ORDER BY g.expires_at LIMIT $2 FOR UPDATE OF g SKIP LOCKED
"""
)
_DUE = """
    SELECT id FROM curfew.grants
     WHERE state IN ('provisioning', 'revoking') AND next_attempt_at <= $1
     ORDER BY next_attempt_at LIMIT $2
"""
_LIVING = """
    SELECT id FROM curfew.grants WHERE id = ANY ($1) AND target = $2 AND state <> 'ended'
"""
_SAVE = """
    UPDATE curfew.grants
       SET state = $3, end_reason = $4, ended_by = $5, end_comment = $6, ended_at = $7,
           attempts = $8, next_attempt_at = $9, last_error = $10
     WHERE id = $1 AND state = $2
"""


async def insert(db: Db, grant: Grant) -> None:
    await db.execute(
        _INSERT,
        grant.id,
        grant.request_id,
        grant.person.id,
        grant.target,
        grant.database,
        grant.role,
        grant.state,
        grant.granted_at,
        grant.expires_at,
        grant.next_attempt_at,
    )


async def fetch(db: Db, grant_id: str) -> Grant | None:
    row = await db.fetchrow(_SELECT + " WHERE g.id = $1", grant_id)
    return from_row(row) if row else None


async def lock(db: Db, grant_id: str) -> Grant | None:
    row = await db.fetchrow(_SELECT + " WHERE g.id = $1 FOR UPDATE OF g", grant_id)
    return from_row(row) if row else None


async def fetch_page(
    db: Db,
    *,
    person_id: str,
    policies: list[str],
    state: GrantState | None,
    before: str | None,
    limit: int,
) -> list[Grant]:
    """Return the person's grants, and those made under `policies`, newest first."""
    return [
        from_row(row) for row in await db.fetch(_PAGE, person_id, policies, state, before, limit)
    ]


async def lock_overdue(db: Db, now: datetime, limit: int) -> list[Grant]:
    """Return grants whose curfew has come, or whose login the target no longer accepts.

    Their rows stay locked until the caller's transaction ends: two brokers never share a grant,
    and a broker that dies frees its own.
    """
    return [from_row(row) for row in await db.fetch(_LOCK_OVERDUE, now, limit)]


async def fetch_due(db: Db, now: datetime, limit: int) -> list[str]:
    """Return the ids of grants whose login is to be made or removed now, the longest due first."""
    return [row["id"] for row in await db.fetch(_DUE, now, limit)]


async def fetch_living(db: Db, target: str, grant_ids: list[str]) -> set[str]:
    """Return which of the grants are on this target and have not ended."""
    return {row["id"] for row in await db.fetch(_LIVING, grant_ids, target)}


async def save(db: Db, grant: Grant, *, was: GrantState) -> bool:
    """Store `grant` if the ledger still has it in state `was`. Returns whether it had."""
    status = await db.execute(
        _SAVE,
        grant.id,
        was,
        grant.state,
        grant.end_reason,
        grant.ended_by,
        grant.end_comment,
        grant.ended_at,
        grant.attempts,
        grant.next_attempt_at,
        grant.last_error,
    )
    return bool(status == "UPDATE 1")


def from_row(row: asyncpg.Record) -> Grant:
    return Grant(
        id=row["id"],
        request_id=row["request_id"],
        person=Person(row["person_id"], row["email"], row["person_name"]),
        target=row["target"],
        database=row["database"],
        role=row["role"],
        state=GrantState(row["state"]),
        granted_at=row["granted_at"],
        expires_at=row["expires_at"],
        end_reason=GrantEvent(row["end_reason"]) if row["end_reason"] else None,
        ended_by=row["ended_by"],
        end_comment=row["end_comment"],
        ended_at=row["ended_at"],
        attempts=row["attempts"],
        next_attempt_at=row["next_attempt_at"],
        last_error=row["last_error"],
    )
