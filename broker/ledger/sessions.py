"""Every statement on tables sessions and workers. Proxies write here; brokers read and tidy up."""

from dataclasses import dataclass
from datetime import datetime

import asyncpg

from broker.ledger.connection import Db

_SELECT = """
    SELECT s.id, s.grant_id, p.email, g.target, g.database, g.role, s.worker_id,
           s.client_address, s.client_application, s.started_at, s.ended_at, s.end_reason,
           s.bytes_from_client, s.bytes_to_client
      FROM curfew.sessions s
      JOIN curfew.grants g ON g.id = s.grant_id
      JOIN curfew.people p ON p.id = g.person_id
"""
_PAGE = (
    _SELECT
    + """
      JOIN curfew.requests r ON r.id = g.request_id
     WHERE (g.person_id = $1 OR r.policy = ANY ($2))
       AND ($3::text IS NULL OR s.grant_id = $3)
       AND ($4::boolean IS NULL OR (s.ended_at IS NULL) = $4)
       AND ($5::text IS NULL OR s.id < $5)
     ORDER BY s.id DESC LIMIT $6
"""
)
_OPEN = """
    INSERT INTO curfew.sessions (id, grant_id, worker_id, client_address, client_application,
                                 started_at)
    VALUES ($1, $2, $3, $4, $5, $6)
"""
_CLOSE = """
    UPDATE curfew.sessions
       SET ended_at = $2, end_reason = $3, bytes_from_client = $4, bytes_to_client = $5
     WHERE id = $1 AND ended_at IS NULL
"""
_COUNT_OPEN = "SELECT count(*) FROM curfew.sessions WHERE grant_id = $1 AND ended_at IS NULL"
_CLOSE_OF_GRANT = """
    UPDATE curfew.sessions SET ended_at = $2, end_reason = $3
     WHERE grant_id = $1 AND ended_at IS NULL RETURNING id
"""
_LOST = """
    UPDATE curfew.sessions s SET ended_at = $2, end_reason = 'worker lost'
     WHERE s.ended_at IS NULL
       AND NOT EXISTS (SELECT FROM curfew.workers w
                        WHERE w.id = s.worker_id AND w.seen_at > $1)
    RETURNING s.id, s.grant_id
"""
_SEEN = """
    INSERT INTO curfew.workers (id, description, seen_at) VALUES ($1, $2, $3)
    ON CONFLICT (id) DO UPDATE SET seen_at = excluded.seen_at
"""
_FORGET_WORKERS = "DELETE FROM curfew.workers WHERE seen_at <= $1"


@dataclass(frozen=True, slots=True, kw_only=True)
class NewSession:
    """A client that has proved itself, about to be let in."""

    id: str
    grant_id: str
    worker_id: str
    client_address: str
    client_application: str
    started_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionRow:
    """One client connection, past or present. Bytes are known once it has ended."""

    id: str
    grant_id: str
    person: str
    target: str
    database: str
    role: str
    worker_id: str
    client_address: str
    client_application: str
    started_at: datetime
    ended_at: datetime | None
    end_reason: str | None
    bytes_from_client: int | None
    bytes_to_client: int | None


async def insert(db: Db, session: NewSession) -> None:
    await db.execute(
        _OPEN,
        session.id,
        session.grant_id,
        session.worker_id,
        session.client_address,
        session.client_application,
        session.started_at,
    )


async def close(
    db: Db, session_id: str, *, reason: str, now: datetime, from_client: int, to_client: int
) -> bool:
    """Record the end of a session, once. Returns False if the ledger already knew it."""
    status = await db.execute(_CLOSE, session_id, now, reason, from_client, to_client)
    return bool(status == "UPDATE 1")


async def fetch_page(
    db: Db,
    *,
    person_id: str,
    policies: list[str],
    grant_id: str | None,
    is_open: bool | None,
    before: str | None,
    limit: int,
) -> list[SessionRow]:
    rows = await db.fetch(_PAGE, person_id, policies, grant_id, is_open, before, limit)
    return [_session(row) for row in rows]


async def count_open(db: Db, grant_id: str) -> int:
    return int(await db.fetchval(_COUNT_OPEN, grant_id))


async def close_all_of_grant(db: Db, grant_id: str, *, reason: str, now: datetime) -> list[str]:
    """Close the rows that a proxy which died left open; the target has proved them gone."""
    return [row["id"] for row in await db.fetch(_CLOSE_OF_GRANT, grant_id, now, reason)]


async def close_lost(db: Db, *, seen_before: datetime, now: datetime) -> list[tuple[str, str]]:
    """Close the sessions of workers not seen since `seen_before`: pairs of session and grant id."""
    rows = await db.fetch(_LOST, seen_before, now)
    await db.execute(_FORGET_WORKERS, seen_before)
    return [(row["id"], row["grant_id"]) for row in rows]


async def save_worker_seen(db: Db, worker_id: str, description: str, now: datetime) -> None:
    await db.execute(_SEEN, worker_id, description, now)


def _session(row: asyncpg.Record) -> SessionRow:
    values = dict(row)
    return SessionRow(person=values.pop("email"), **values)
