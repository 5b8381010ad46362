"""Every statement on tables requests, decisions, comments and pages."""

from dataclasses import dataclass
from datetime import datetime

import asyncpg

from broker.domain.grant import GrantKind
from broker.domain.person import Person, PersonKind
from broker.domain.request import AccessRequest, Comment, Decision, RequestState, Verdict
from broker.domain.statement.budget import Used
from broker.ledger.connection import Db

SELECT = """
    SELECT r.id, r.person_id, p.email, p.name, p.kind AS person_kind, r.person_groups,
           r.person_manager, r.requester_id, a.email AS requester_email, a.name AS requester_name,
           r.target, r.database, r.role, r.duration, r.reason, r.source, r.policy, r.why, r.state,
           r.created_at, r.lapses_at, r.closed_at, r.kind, r.networks, r.pin_address,
           r.escalated_at, r.extends, coalesce(g.id, r.extends) AS grant_id,
           r.more_rows, r.more_bytes, r.conversation
      FROM curfew.requests r
      JOIN curfew.people p ON p.id = r.person_id
      JOIN curfew.people a ON a.id = r.requester_id
      LEFT JOIN curfew.grants g ON g.request_id = r.id
"""
_INSERT = """
    INSERT INTO curfew.requests (id, person_id, requester_id, person_groups, person_manager, target,
                                 database, role, duration, reason, source, policy, why, state,
                                 created_at, lapses_at, kind, networks, pin_address, extends,
                                 policy_version, more_rows, more_bytes, conversation)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19,
            $20, $21, $22, $23, $24)
"""
# By two indexes, which `$1 IN (g.id, r.extends)` would not be.
_OF_GRANT = """
     WHERE r.id = (SELECT request_id FROM curfew.grants WHERE id = $1) OR r.extends = $1
     ORDER BY r.id
"""
_LOCK = SELECT + " WHERE r.id = $1 FOR UPDATE OF r"
_PENDING_OF = f"""
    {SELECT}
     WHERE r.state = 'pending' AND (r.person_id = $1 OR r.requester_id = $1) ORDER BY r.id DESC
"""
_LOCK_LAPSED = (
    SELECT
    + """
     WHERE r.state = 'pending' AND r.lapses_at <= $1
     ORDER BY r.lapses_at LIMIT $2 FOR UPDATE OF r SKIP LOCKED
"""
)
_SAVE_STATE = """
    UPDATE curfew.requests SET state = $2, closed_at = $3, escalated_at = $4 WHERE id = $1
"""
_INSERT_DECISION = """
    INSERT INTO curfew.decisions (id, request_id, decider_id, verdict, duration, comment,
                                  decided_at, networks, pin_address, break_glass, allowance_id)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
    ON CONFLICT (request_id, decider_id, verdict, break_glass) DO NOTHING
"""
_DECISIONS = """
    SELECT d.id, d.request_id, d.decider_id, p.email, p.name, d.verdict, d.duration, d.comment,
           d.decided_at, d.networks, d.pin_address, d.break_glass, d.allowance_id
      FROM curfew.decisions d JOIN curfew.people p ON p.id = d.decider_id
     WHERE d.request_id = ANY ($1) ORDER BY d.id
"""
_INSERT_COMMENT = """
    INSERT INTO curfew.comments (id, request_id, author_id, text, made_at)
    VALUES ($1, $2, $3, $4, $5)
"""
_COMMENTS = """
    SELECT c.id, c.request_id, c.author_id, p.email, p.name, c.text, c.made_at
      FROM curfew.comments c JOIN curfew.people p ON p.id = c.author_id
     WHERE c.request_id = $1 ORDER BY c.id
"""
_INSERT_PAGE = """
    INSERT INTO curfew.pages (request_id, schedule, next_attempt_at) VALUES ($1, $2, $3)
    ON CONFLICT DO NOTHING
"""
_LOCK_PAGE = """
    SELECT request_id, schedule, attempts, next_attempt_at FROM curfew.pages
     WHERE paged_at IS NULL AND next_attempt_at <= $1
     ORDER BY next_attempt_at LIMIT 1 FOR UPDATE SKIP LOCKED
"""
_SAVE_PAGE = """
    UPDATE curfew.pages
       SET attempts = $3, paged_at = $4, next_attempt_at = $5, last_error = $6
     WHERE request_id = $1 AND schedule = $2
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class DuePage:
    """Somebody on call to be told of an escalated request."""

    request_id: str
    schedule: str
    attempts: int
    next_attempt_at: datetime
    paged_at: datetime | None = None
    last_error: str | None = None


async def insert(db: Db, request: AccessRequest, *, policy_version: int | None) -> None:
    await db.execute(
        _INSERT,
        request.id,
        request.person.id,
        request.requester.id,
        sorted(request.person.groups),
        request.person.manager,
        request.target,
        request.database,
        request.role,
        request.duration,
        request.reason,
        request.source,
        request.policy,
        request.why,
        request.state,
        request.created_at,
        request.lapses_at,
        request.kind,
        request.networks,
        request.pin_address,
        request.extends,
        policy_version,
        request.more.rows,
        request.more.bytes,
        request.conversation,
    )


async def fetch(db: Db, request_id: str) -> AccessRequest | None:
    row = await db.fetchrow(SELECT + " WHERE r.id = $1", request_id)
    return from_row(row) if row else None


async def fetch_each(db: Db, ids: list[str]) -> list[AccessRequest]:
    """Return those of these requests that there are, in the order of `ids`."""
    rows = await db.fetch(SELECT + " WHERE r.id = ANY ($1)", ids)
    found = {row["id"]: row for row in rows}
    return [from_row(found[each]) for each in ids if each in found]


async def fetch_pending_of(db: Db, person_id: str) -> list[AccessRequest]:
    """Return what the person waits for, asked for by or for them, newest first."""
    return [from_row(row) for row in await db.fetch(_PENDING_OF, person_id)]


async def fetch_of_grant(db: Db, grant_id: str) -> list[AccessRequest]:
    """Return the request that led to the grant, and those to extend it, the oldest first."""
    rows = await db.fetch(SELECT + _OF_GRANT, grant_id)
    return [from_row(row) for row in rows]


async def lock(db: Db, request_id: str) -> AccessRequest | None:
    """Return the request; nobody else decides it until the caller's transaction ends."""
    row = await db.fetchrow(_LOCK, request_id)
    return from_row(row) if row else None


async def lock_lapsed(db: Db, now: datetime, limit: int) -> list[AccessRequest]:
    """Return pending requests that nobody answered in time; two brokers never share one."""
    return [from_row(row) for row in await db.fetch(_LOCK_LAPSED, now, limit)]


async def save_state(db: Db, request: AccessRequest) -> None:
    await db.execute(
        _SAVE_STATE, request.id, request.state, request.closed_at, request.escalated_at
    )


async def insert_decision(db: Db, decision: Decision) -> bool:
    """Return False if this person has decided about this request already."""
    status = await db.execute(
        _INSERT_DECISION,
        decision.id,
        decision.request_id,
        decision.decider.id,
        decision.verdict,
        decision.duration,
        decision.comment,
        decision.decided_at,
        decision.networks,
        decision.pin_address,
        decision.break_glass,
        decision.allowance_id,
    )
    return bool(status == "INSERT 0 1")


async def fetch_decisions(db: Db, request_id: str) -> list[Decision]:
    """Return who decided what, the first one first."""
    return await fetch_decisions_about(db, [request_id])


async def fetch_decisions_about(db: Db, request_ids: list[str]) -> list[Decision]:
    """Return who decided what about any of the requests, the first one first."""
    return [_decision(row) for row in await db.fetch(_DECISIONS, request_ids)]


async def insert_comment(db: Db, comment: Comment) -> None:
    await db.execute(
        _INSERT_COMMENT,
        comment.id,
        comment.request_id,
        comment.author.id,
        comment.text,
        comment.made_at,
    )


async def fetch_comments(db: Db, request_id: str) -> list[Comment]:
    return [
        Comment(
            id=row["id"],
            request_id=row["request_id"],
            author=Person(row["author_id"], row["email"], row["name"]),
            text=row["text"],
            made_at=row["made_at"],
        )
        for row in await db.fetch(_COMMENTS, request_id)
    ]


async def insert_page(db: Db, request_id: str, schedule: str, now: datetime) -> None:
    await db.execute(_INSERT_PAGE, request_id, schedule, now)


async def lock_due_page(db: Db, now: datetime) -> DuePage | None:
    """Return the page that is longest due; two brokers never share one."""
    row = await db.fetchrow(_LOCK_PAGE, now)
    return DuePage(**dict(row)) if row else None


async def save_page(db: Db, page: DuePage) -> None:
    await db.execute(
        _SAVE_PAGE,
        page.request_id,
        page.schedule,
        page.attempts,
        page.paged_at,
        page.next_attempt_at,
        page.last_error,
    )


def from_row(row: asyncpg.Record) -> AccessRequest:
    return AccessRequest(
        id=row["id"],
        person=Person(
            row["person_id"],
            row["email"],
            row["name"],
            frozenset(row["person_groups"]),
            row["person_manager"],
            PersonKind(row["person_kind"]),
        ),
        requester=Person(row["requester_id"], row["requester_email"], row["requester_name"]),
        target=row["target"],
        database=row["database"],
        role=row["role"],
        duration=row["duration"],
        reason=row["reason"],
        source=row["source"],
        policy=row["policy"],
        why=tuple(row["why"]),
        state=RequestState(row["state"]),
        created_at=row["created_at"],
        lapses_at=row["lapses_at"],
        closed_at=row["closed_at"],
        kind=GrantKind(row["kind"]),
        grant_id=row["grant_id"],
        networks=tuple(row["networks"]),
        pin_address=row["pin_address"],
        escalated_at=row["escalated_at"],
        extends=row["extends"],
        more=Used(row["more_rows"], row["more_bytes"]),
        conversation=row["conversation"],
    )


def _decision(row: asyncpg.Record) -> Decision:
    return Decision(
        id=row["id"],
        request_id=row["request_id"],
        decider=Person(row["decider_id"], row["email"], row["name"]),
        verdict=Verdict(row["verdict"]),
        duration=row["duration"],
        comment=row["comment"],
        decided_at=row["decided_at"],
        networks=None if row["networks"] is None else tuple(row["networks"]),
        pin_address=row["pin_address"],
        break_glass=row["break_glass"],
        allowance_id=row["allowance_id"],
    )
