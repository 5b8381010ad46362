"""Every statement on table held_commits. Proxies hold commits and say what became of them where
nobody decided; brokers write down what people decide. Whoever is first decides."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import asyncpg

from broker.domain.statement.held_commit import CommitDecision, HeldCommit, Settled
from broker.ledger.connection import Db
from broker.ledger.sight import VISIBLE, Visible

_COLUMNS = """
    h.id, h.session_id, h.grant_id, h.rows, h.by_approver, h.held_at, h.ends_at, h.decision,
    h.decided_by, h.decided_at
"""
_SELECT = f"""
    SELECT {_COLUMNS}, p.email, g.target, g.database, g.role
      FROM curfew.held_commits h
      JOIN curfew.grants g ON g.id = h.grant_id
      JOIN curfew.people p ON p.id = g.person_id
"""  # noqa: S608  (constant text)
_PAGE = f"""
    {_SELECT}
      JOIN curfew.requests r ON r.id = g.request_id
     WHERE {VISIBLE}
       AND ($7::boolean IS NULL OR (h.decision IS NULL) = $7)
       AND ($8::text IS NULL OR h.id < $8)
     ORDER BY h.id DESC LIMIT $9
"""
# The session of a ticket is in the ledger only once its proxy has reported it.
_HOLD = """
    INSERT INTO curfew.held_commits (id, session_id, grant_id, rows, by_approver, held_at, ends_at)
    SELECT $1, s.id, s.grant_id, $4, $5, $6, $7
      FROM curfew.sessions s WHERE s.id = $2 AND s.grant_id = $3 AND s.ended_at IS NULL
"""
_SETTLE = """
    UPDATE curfew.held_commits SET decision = $2, decided_by = $3, decided_at = $4
     WHERE id = $1 AND decision IS NULL
"""
_DECISIONS = """
    SELECT id, decision, decided_by, decided_at FROM curfew.held_commits
     WHERE id = ANY ($1) AND decision IS NOT NULL
"""
_SETTLE_LOST = f"""
    UPDATE curfew.held_commits h SET decision = 'lost', decided_at = $1
      FROM curfew.sessions s
     WHERE h.decision IS NULL AND s.id = h.session_id AND s.ended_at IS NOT NULL
    RETURNING {_COLUMNS}
"""  # noqa: S608  (constant text)


@dataclass(frozen=True, slots=True)
class HeldCommitRow:
    """A held commit, and whose it is."""

    held: HeldCommit
    person: str
    target: str
    database: str
    role: str


async def hold(db: Db, held: HeldCommit) -> bool:
    """Write down that a commit is held. Returns False if its session is not open in the ledger."""
    status = await db.execute(
        _HOLD,
        held.id,
        held.session_id,
        held.grant_id,
        held.rows,
        held.by_approver,
        held.held_at,
        held.ends_at,
    )
    return bool(status == "INSERT 0 1")


async def settle(
    db: Db, held_id: str, decision: CommitDecision, by: str | None, now: datetime
) -> bool:
    """Decide, unless it is decided already. Returns whether it was not."""
    status = await db.execute(_SETTLE, held_id, decision, by, now)
    return bool(status == "UPDATE 1")


async def fetch_decision(db: Db, held_id: str) -> Settled | None:
    return (await fetch_decisions(db, [held_id])).get(held_id)


async def fetch_decisions(db: Db, held_ids: Sequence[str]) -> dict[str, Settled]:
    """Return what was decided, of those that are decided."""
    rows = await db.fetch(_DECISIONS, list(held_ids))
    return {
        row["id"]: Settled(CommitDecision(row["decision"]), row["decided_by"], row["decided_at"])
        for row in rows
    }


async def settle_lost(db: Db, now: datetime) -> list[HeldCommit]:
    """Settle those whose sessions have ended, since whoever held them did not; returns them."""
    return [_held(row) for row in await db.fetch(_SETTLE_LOST, now)]


async def fetch(db: Db, held_id: str) -> HeldCommitRow | None:
    row = await db.fetchrow(_SELECT + " WHERE h.id = $1", held_id)
    return _row(row) if row else None


async def fetch_page(
    db: Db, visible: Visible, *, is_open: bool | None, before: str | None, limit: int
) -> list[HeldCommitRow]:
    """Return at most `limit` held commits that a person may see, newest first."""
    rows = await db.fetch(_PAGE, *visible.arguments, is_open, before, limit)
    return [_row(row) for row in rows]


async def fetch_of_grant(db: Db, grant_id: str, limit: int) -> list[HeldCommitRow]:
    """Return at most `limit` held commits of a grant, newest first."""
    rows = await db.fetch(
        _SELECT + " WHERE h.grant_id = $1 ORDER BY h.id DESC LIMIT $2", grant_id, limit
    )
    return [_row(row) for row in rows]


def _row(row: asyncpg.Record) -> HeldCommitRow:
    return HeldCommitRow(_held(row), row["email"], row["target"], row["database"], row["role"])


def _held(row: asyncpg.Record) -> HeldCommit:
    decision = row["decision"]
    return HeldCommit(
        id=row["id"],
        session_id=row["session_id"],
        grant_id=row["grant_id"],
        rows=row["rows"],
        by_approver=row["by_approver"],
        held_at=row["held_at"],
        ends_at=row["ends_at"],
        settled=None
        if decision is None
        else Settled(CommitDecision(decision), row["decided_by"], row["decided_at"]),
    )
