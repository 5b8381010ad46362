"""What approvers are shown, beside all requests: what waits for them, what has just been decided,
what they decided, what nobody did, and what somebody asked for before. Lists are request ids."""

from dataclasses import dataclass
from datetime import datetime

from broker.domain.request import AccessRequest, RequestState
from broker.ledger.connection import Db
from broker.ledger.sight import DECIDED, Visible

# What lapses first comes first.
_WAITING = f"""
    SELECT r.id FROM curfew.requests r
     WHERE {DECIDED} AND r.state = 'pending' AND r.lapses_at > $5
     ORDER BY r.lapses_at, r.id LIMIT $6
"""  # noqa: S608  (constant text)
# By the index requests_by_end.
_CLOSED = f"""
    SELECT r.id FROM curfew.requests r
     WHERE {DECIDED} AND coalesce(r.closed_at, 'infinity') > $5
       AND coalesce(r.closed_at, 'infinity') < 'infinity' AND r.state = ANY ($6)
     ORDER BY coalesce(r.closed_at, 'infinity') DESC, r.id LIMIT $7
"""  # noqa: S608  (constant text)
_DECIDED_BY = """
    SELECT request_id FROM (
        SELECT request_id, max(id) AS newest FROM (
            SELECT request_id, id FROM curfew.decisions
             WHERE decider_id = $1 ORDER BY id DESC LIMIT $2) AS last
         GROUP BY request_id) AS each_once
     ORDER BY newest DESC
"""
_HISTORY = """
    SELECT r.state, count(*) AS number, max(r.created_at) AS newest FROM curfew.requests r
     WHERE r.person_id = $1 AND r.target = $2 AND r.role = $3 AND r.id < $4 AND r.extends IS NULL
     GROUP BY r.state
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """How often somebody was to get a role before, and what became of that."""

    asked: int = 0
    approved: int = 0
    denied: int = 0
    last_at: datetime | None = None


async def fetch_waiting(db: Db, visible: Visible, now: datetime, limit: int) -> list[str]:
    """Return at most `limit` pending requests about which the person is one of those who decide."""
    return [row["id"] for row in await db.fetch(_WAITING, *visible.deciding, now, limit)]


async def fetch_closed(
    db: Db, visible: Visible, states: tuple[RequestState, ...], *, since: datetime, limit: int
) -> list[str]:
    """Return those that came to such an end since then, the last one first."""
    rows = await db.fetch(_CLOSED, *visible.deciding, since, list(states), limit)
    return [row["id"] for row in rows]


async def fetch_decided_by(db: Db, person_id: str, limit: int) -> list[str]:
    """Return those about which somebody decided last, the last one first."""
    return [row["request_id"] for row in await db.fetch(_DECIDED_BY, person_id, limit)]


async def fetch_history(db: Db, request: AccessRequest) -> History:
    """Return what became of earlier requests that the same person get the same role."""
    rows = await db.fetch(_HISTORY, request.person.id, request.target, request.role, request.id)
    numbers = {row["state"]: row["number"] for row in rows}
    return History(
        asked=sum(numbers.values()),
        approved=numbers.get(RequestState.APPROVED, 0),
        denied=numbers.get(RequestState.DENIED, 0),
        last_at=max((row["newest"] for row in rows), default=None),
    )
