"""Every statement on tables requests and decisions."""

from dataclasses import dataclass
from datetime import datetime

import asyncpg

from broker.domain.person import Person
from broker.domain.request import AccessRequest, Decision, RequestState, Verdict
from broker.ledger.connection import Db

_SELECT = """
    SELECT r.id, r.requester_id, p.email, p.name, r.target, r.database, r.role, r.duration,
           r.reason, r.source, r.policy, r.state, r.created_at, r.lapses_at, r.closed_at,
           g.id AS grant_id
      FROM curfew.requests r
      JOIN curfew.people p ON p.id = r.requester_id
      LEFT JOIN curfew.grants g ON g.request_id = r.id
"""
_INSERT = """
    INSERT INTO curfew.requests (id, requester_id, target, database, role, duration, reason,
                                 source, policy, state, created_at, lapses_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
"""
_LOCK = _SELECT + " WHERE r.id = $1 FOR UPDATE OF r"
_PAGE = (
    _SELECT
    + """
     WHERE (r.requester_id = $1 OR r.policy = ANY ($2))
       AND ($3::text IS NULL OR r.state = $3)
       AND ($4::text IS NULL OR r.id < $4)
     ORDER BY r.id DESC LIMIT $5
"""
)
_LOCK_LAPSED = (
    _SELECT
    + """
     WHERE r.state = 'pending' AND r.lapses_at <= $1
     ORDER BY r.lapses_at LIMIT $2 FOR UPDATE OF r SKIP LOCKED
"""
)
_SAVE_STATE = "UPDATE curfew.requests SET state = $2, closed_at = $3 WHERE id = $1"
_INSERT_DECISION = """
    INSERT INTO curfew.decisions (id, request_id, decider_id, verdict, duration, comment,
                                  decided_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7)
"""
_DECISIONS = """
    SELECT d.id, d.request_id, d.decider_id, p.email, p.name, d.verdict, d.duration, d.comment,
           d.decided_at
      FROM curfew.decisions d JOIN curfew.people p ON p.id = d.decider_id
     WHERE d.request_id = $1 ORDER BY d.id
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Visible:
    """What one person may see: their own requests, and those under policies they approve."""

    person_id: str
    policies: list[str]
    state: RequestState | None = None


async def insert(db: Db, request: AccessRequest) -> None:
    await db.execute(
        _INSERT,
        request.id,
        request.requester.id,
        request.target,
        request.database,
        request.role,
        request.duration,
        request.reason,
        request.source,
        request.policy,
        request.state,
        request.created_at,
        request.lapses_at,
    )


async def fetch(db: Db, request_id: str) -> AccessRequest | None:
    row = await db.fetchrow(_SELECT + " WHERE r.id = $1", request_id)
    return _request(row) if row else None


async def lock(db: Db, request_id: str) -> AccessRequest | None:
    """Return the request; nobody else decides it until the caller's transaction ends."""
    row = await db.fetchrow(_LOCK, request_id)
    return _request(row) if row else None


async def fetch_page(
    db: Db, visible: Visible, *, before: str | None, limit: int
) -> list[AccessRequest]:
    """Return at most `limit` requests, newest first, that come after the one named `before`."""
    rows = await db.fetch(_PAGE, visible.person_id, visible.policies, visible.state, before, limit)
    return [_request(row) for row in rows]


async def lock_lapsed(db: Db, now: datetime, limit: int) -> list[AccessRequest]:
    """Return pending requests that nobody answered in time; two brokers never share one."""
    return [_request(row) for row in await db.fetch(_LOCK_LAPSED, now, limit)]


async def save_state(db: Db, request: AccessRequest) -> None:
    await db.execute(_SAVE_STATE, request.id, request.state, request.closed_at)


async def insert_decision(db: Db, decision: Decision) -> None:
    await db.execute(
        _INSERT_DECISION,
        decision.id,
        decision.request_id,
        decision.decider.id,
        decision.verdict,
        decision.duration,
        decision.comment,
        decision.decided_at,
    )


async def fetch_decisions(db: Db, request_id: str) -> list[Decision]:
    return [
        Decision(
            id=row["id"],
            request_id=row["request_id"],
            decider=Person(row["decider_id"], row["email"], row["name"]),
            verdict=Verdict(row["verdict"]),
            duration=row["duration"],
            comment=row["comment"],
            decided_at=row["decided_at"],
        )
        for row in await db.fetch(_DECISIONS, request_id)
    ]


def _request(row: asyncpg.Record) -> AccessRequest:
    return AccessRequest(
        id=row["id"],
        requester=Person(row["requester_id"], row["email"], row["name"]),
        target=row["target"],
        database=row["database"],
        role=row["role"],
        duration=row["duration"],
        reason=row["reason"],
        source=row["source"],
        policy=row["policy"],
        state=RequestState(row["state"]),
        created_at=row["created_at"],
        lapses_at=row["lapses_at"],
        closed_at=row["closed_at"],
        grant_id=row["grant_id"],
    )
