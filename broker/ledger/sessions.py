"""Every statement on tables sessions and workers. Proxies write here; brokers read and tidy up."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import asyncpg

from broker.domain.events import Event, SessionClosed
from broker.domain.network import Address
from broker.ledger.connection import Db
from broker.ledger.outcome_lists import SESSIONS, Part, fetch_ids
from broker.ledger.sight import Visible

_SELECT = """
    SELECT s.id, s.grant_id, p.email, g.target, g.database, g.role, s.worker_id,
           s.client_address, s.client_application, s.client_certificate, s.started_at, s.ended_at,
           s.end_reason, s.bytes_from_client, s.bytes_to_client, s.killed_by
      FROM curfew.sessions s
      JOIN curfew.grants g ON g.id = s.grant_id
      JOIN curfew.people p ON p.id = g.person_id
"""
_OPEN_OR_ENDED = {None: "true", True: "x.ended_at IS NULL", False: "x.ended_at IS NOT NULL"}
# One statement, so that letting somebody in costs one round trip. A grant that is to be pinned
# takes the address of whoever comes first: the others wait for the row, and find it taken.
_OPEN = """
    WITH pinned AS (
        UPDATE curfew.grants SET pinned_to = $5::inet
         WHERE id = $2 AND state = 'active' AND pin_address AND pinned_to IS NULL
        RETURNING pinned_to
    ), admitted AS (
        SELECT expires_at FROM curfew.grants
         WHERE id = $2 AND state = 'active'
           AND (NOT pin_address OR pinned_to = $5::inet OR EXISTS (SELECT FROM pinned))
    ), opened AS (
        INSERT INTO curfew.sessions (id, grant_id, worker_id, client_address, client_application,
                                     started_at, client_certificate)
        SELECT $1, $2, $3, $4, $6, $7, $8 FROM admitted
    ), recorded AS (
        INSERT INTO curfew.audit_events (at, actor, kind, grant_id, session_id, data)
        SELECT $7, $9, $10, $2, $1, $11 FROM admitted
    ), forgiven AS (
        DELETE FROM curfew.bans USING (
            SELECT key FROM curfew.bans
             WHERE key = ANY ($12) AND banned_until IS NULL AND EXISTS (SELECT FROM admitted)
             ORDER BY key FOR UPDATE  -- as they are counted, so that nobody waits in a circle
        ) AS counted
         WHERE bans.key = counted.key
    )
    SELECT expires_at FROM admitted
"""
_CLOSE = """
    WITH ended AS (
        SELECT * FROM unnest($1::text[], $2::timestamptz[], $3::text[], $4::bigint[], $5::bigint[],
                             $6::jsonb[]) AS e (id, at, reason, from_client, to_client, data)
    ), closed AS (
        UPDATE curfew.sessions s
           SET ended_at = at, end_reason = reason, bytes_from_client = from_client,
               bytes_to_client = to_client
          FROM ended WHERE s.id = ended.id AND ended_at IS NULL
        RETURNING s.id, s.grant_id, at, data
    )
    INSERT INTO curfew.audit_events (at, actor, kind, grant_id, session_id, data)
    SELECT at, $7, $8, grant_id, id, data FROM closed ORDER BY at
"""
_KILL = """
    UPDATE curfew.sessions SET killed_by = $2, killed_at = $3
     WHERE id = ANY ($1) AND ended_at IS NULL
    RETURNING id, grant_id
"""
_KILLED = """
    SELECT id, killed_by FROM curfew.sessions
     WHERE id = ANY ($1) AND killed_at IS NOT NULL AND ended_at IS NULL
"""
_OPEN_OF_GRANT = (
    "SELECT id FROM curfew.sessions WHERE grant_id = $1 AND ended_at IS NULL ORDER BY id"
)
_CAME_FROM = """
    SELECT EXISTS (SELECT FROM curfew.sessions
                    WHERE grant_id = ANY ($1) AND client_address = $2)
"""
COUNT = """
    SELECT count(*) AS total, count(*) FILTER (WHERE ended_at IS NULL) AS open
      FROM curfew.sessions WHERE grant_id = $1
"""
_LOST = """
    UPDATE curfew.sessions s SET ended_at = $2, end_reason = 'worker lost'
     WHERE s.ended_at IS NULL
       AND NOT EXISTS (SELECT FROM curfew.workers w
                        WHERE w.id = s.worker_id AND w.seen_at > $1)
    RETURNING s.id, s.grant_id
"""
_SEEN = """
    INSERT INTO curfew.workers (id, description, seen_at, condition) VALUES ($1, $2, $3, $4)
    ON CONFLICT (id) DO UPDATE SET seen_at = excluded.seen_at,
        condition = CASE WHEN $5 THEN excluded.condition ELSE workers.condition END
"""
_CONDITIONS = "SELECT id, seen_at, condition FROM curfew.workers ORDER BY id"
_FORGET_WORKERS = "DELETE FROM curfew.workers WHERE seen_at <= $1"


@dataclass(frozen=True, slots=True, kw_only=True)
class NewSession:
    """A client that has proved itself, about to be let in. `client_certificate` is the subject of
    the one it showed, if any."""

    id: str
    grant_id: str
    worker_id: str
    client_address: Address
    client_application: str
    client_certificate: str | None
    started_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class EndedSession:
    """What there is to say of a session once it is over."""

    id: str
    reason: str
    bytes_from_client: int
    bytes_to_client: int
    ended_at: datetime


@dataclass(frozen=True, slots=True)
class Counted:
    """How many sessions a grant has had, and how many of them are open."""

    total: int
    open: int


@dataclass(frozen=True, slots=True)
class WorkerCondition:
    """What a worker of a proxy, or its shipper, said of itself with its last sign of life."""

    id: str
    seen_at: datetime
    condition: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionRow:
    """One client connection, past or present. Bytes are known once it has ended; `killed_by` is who
    wants it to end, or did."""

    id: str
    grant_id: str
    person: str
    target: str
    database: str
    role: str
    worker_id: str
    client_address: str
    client_application: str
    client_certificate: str | None
    started_at: datetime
    ended_at: datetime | None
    end_reason: str | None
    bytes_from_client: int | None
    bytes_to_client: int | None
    killed_by: str | None


async def open_(
    db: Db, session: NewSession, event: Event, *, actor: str, forgive: list[str]
) -> datetime | None:
    """Write the session down with its audit event, in one statement that commits by itself.

    Wrong secrets counted under the keys to `forgive` are forgotten. Returns the grant's curfew.
    Writes nothing and returns None if the grant is not active any more, or is pinned to another
    address.
    """
    until: datetime | None = await db.fetchval(
        _OPEN,
        session.id,
        session.grant_id,
        session.worker_id,
        str(session.client_address),
        session.client_address,
        session.client_application,
        session.started_at,
        session.client_certificate,
        actor,
        event.kind,
        event.data(),
        forgive,
    )
    return until


async def close(db: Db, ended: Sequence[EndedSession], *, actor: str) -> None:
    """Record the ends of sessions, each once, with their audit events, in one statement."""
    events = [SessionClosed(session_id=each.id, reason=each.reason) for each in ended]
    await db.execute(
        _CLOSE,
        [each.id for each in ended],
        [each.ended_at for each in ended],
        [each.reason for each in ended],
        [each.bytes_from_client for each in ended],
        [each.bytes_to_client for each in ended],
        [event.data() for event in events],
        actor,
        SessionClosed.kind,
    )


async def mark_killed(db: Db, ids: list[str], by: str, now: datetime) -> list[tuple[str, str]]:
    """Ask for the end of open sessions: pairs of session and grant id of those that were open."""
    return [(row["id"], row["grant_id"]) for row in await db.fetch(_KILL, ids, by, now)]


async def fetch_killed(db: Db, ids: list[str]) -> dict[str, str]:
    """Return which of the open sessions somebody wants to end, and who."""
    return {row["id"]: row["killed_by"] for row in await db.fetch(_KILLED, ids)}


async def fetch_open(db: Db, grant_id: str) -> list[str]:
    """Return the ids of the grant's open sessions, the oldest first."""
    return [row["id"] for row in await db.fetch(_OPEN_OF_GRANT, grant_id)]


async def came_from(db: Db, grant_ids: list[str], address: Address) -> bool:
    """Say whether a session of one of these grants was ever let in from this address."""
    return bool(await db.fetchval(_CAME_FROM, grant_ids, str(address)))


async def fetch(db: Db, ids: list[str]) -> list[SessionRow]:
    """Return those of these sessions that there are, the oldest first."""
    rows = await db.fetch(_SELECT + " WHERE s.id = ANY ($1) ORDER BY s.id", ids)
    return [_session(row) for row in rows]


async def fetch_of_grant(db: Db, grant_id: str) -> list[SessionRow]:
    """Return all sessions of the grant, the oldest first."""
    rows = await db.fetch(_SELECT + " WHERE s.grant_id = $1 ORDER BY s.id", grant_id)
    return [_session(row) for row in rows]


async def fetch_newest_of_grant(db: Db, grant_id: str, limit: int) -> list[SessionRow]:
    """Return at most `limit` sessions of the grant, newest first."""
    rows = await db.fetch(
        _SELECT + " WHERE s.grant_id = $1 ORDER BY s.id DESC LIMIT $2", grant_id, limit
    )
    return [_session(row) for row in rows]


async def fetch_page(
    db: Db,
    visible: Visible,
    *,
    grant_id: str | None,
    is_open: bool | None,
    before: str | None,
    limit: int,
) -> list[SessionRow]:
    """Return at most `limit` sessions that a person may see, newest first."""
    part = Part(
        equal={} if grant_id is None else {"grant_id": grant_id},
        condition=_OPEN_OR_ENDED[is_open],
        before=before,
        few=grant_id is not None or is_open is True,
    )
    found = await fetch(db, await fetch_ids(db, SESSIONS, visible, part, limit))
    return found[::-1]


async def count(db: Db, grant_id: str) -> Counted:
    row = await db.fetchrow(COUNT, grant_id)
    assert row is not None
    return Counted(row["total"], row["open"])


async def close_lost(db: Db, *, seen_before: datetime, now: datetime) -> list[tuple[str, str]]:
    """Close the sessions of workers not seen since `seen_before`: pairs of session and grant id."""
    rows = await db.fetch(_LOST, seen_before, now)
    await db.execute(_FORGET_WORKERS, seen_before)
    return [(row["id"], row["grant_id"]) for row in rows]


async def save_worker_seen(
    db: Db,
    worker_id: str,
    description: str,
    now: datetime,
    condition: dict[str, Any] | None = None,
) -> None:
    """Note that a process of a proxy lives, and what it says of itself; without a `condition`, what
    it said last still holds."""
    known = condition is not None
    await db.execute(_SEEN, worker_id, description, now, condition or {}, known)


async def fetch_conditions(db: Db) -> list[WorkerCondition]:
    """Return what the processes of the proxies said of themselves last."""
    return [WorkerCondition(**dict(row)) for row in await db.fetch(_CONDITIONS)]


def _session(row: asyncpg.Record) -> SessionRow:
    values = dict(row)
    return SessionRow(person=values.pop("email"), **values)
