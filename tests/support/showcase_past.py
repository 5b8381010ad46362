"""Some weeks of other days, so that there is something to draw and to page through."""

from datetime import UTC, datetime, timedelta
from secrets import token_bytes

import asyncpg

from broker.domain.ids import RANDOM_BYTES, IdKind, new_id
from tests.support.stage import DEV, OTHER_DEV, REVIEWER, Stage

_ASKED = """
    INSERT INTO curfew.requests (id, person_id, requester_id, person_groups, target, database, role,
                                 duration, reason, source, policy, why, state, created_at,
                                 lapses_at, closed_at)
    SELECT $1, p.id, p.id, ARRAY['developers'], 'orders', $3, $4, interval '1 hour', $5, $6, $7,
           ARRAY['as the policy says'], $8, $9, $9::timestamptz + interval '1 day', $10
      FROM curfew.people p WHERE p.email = $2
"""
_DECIDED = """
    INSERT INTO curfew.decisions (id, request_id, decider_id, verdict, comment, decided_at)
    SELECT $1, $2, p.id, $3, '', $4 FROM curfew.people p WHERE p.email = $5
"""
_GIVEN = """
    INSERT INTO curfew.grants (id, request_id, person_id, target, database, role, state, granted_at,
                               expires_at, end_reason, ended_at, duration)
    SELECT $1, r.id, r.person_id, r.target, r.database, r.role, 'ended', r.closed_at,
           r.closed_at + r.duration, 'expired', r.closed_at + r.duration, r.duration
      FROM curfew.requests r WHERE r.id = $2
"""
_REASONS = ("a customer's order", "the nightly report", "an invoice is wrong", "a slow query")
_STATES = ("approved", "approved", "denied", "approved", "cancelled", "approved", "lapsed")


async def fill_past(stage: Stage) -> None:
    today = datetime.now(UTC).replace(microsecond=0)
    connection = await stage.server.connect(stage.ledger_database)
    try:
        for day in range(40, 0, -1):
            for number in range(0 if day % 7 in (0, 6) else 3 + day * 7 % 9):
                at = today - timedelta(days=day, minutes=37 * number)
                await _put(connection, stage.target_database, at, day + number)
    finally:
        await connection.close()


async def _put(
    connection: "asyncpg.Connection[asyncpg.Record]", database: str, at: datetime, number: int
) -> None:
    request_id, state = _id(IdKind.REQUEST, at), _STATES[number % len(_STATES)]
    writes = number % 3 == 0
    closed_at = at + timedelta(minutes=2 + number * 13 % 75)
    await connection.execute(
        _ASKED,
        request_id,
        (DEV, OTHER_DEV)[number % 2],
        database,
        "orders_writer" if writes else "orders_reader",
        _REASONS[number % len(_REASONS)],
        f"192.0.2.{1 + number % 9}",
        "writers" if writes else "readers",
        state,
        at,
        closed_at,
    )
    if state in ("approved", "denied"):
        verdict = "approval" if state == "approved" else "denial"
        decision_id = _id(IdKind.DECISION, closed_at)
        await connection.execute(_DECIDED, decision_id, request_id, verdict, closed_at, REVIEWER)
    if state == "approved":
        await connection.execute(_GIVEN, _id(IdKind.GRANT, closed_at), request_id)


def _id(kind: IdKind, at: datetime) -> str:
    return new_id(kind, at, token_bytes(RANDOM_BYTES))
