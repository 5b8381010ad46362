"""Every statement on tables tickets, ticket_uses and ticket_journals.

Brokers seal tickets and draw conclusions from their use; proxies report uses, and the sessions that
they have in their journals.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import assert_never

import asyncpg

from broker.domain.events import SessionOpened, SessionRefused, TicketUsed
from broker.domain.grant import GrantState
from broker.domain.person import SYSTEM
from broker.domain.ticket_record import (
    TicketRecord,
    TicketRefused,
    TicketSessionClosed,
    TicketSessionOpened,
    TicketUse,
)
from broker.ledger import audit, sessions
from broker.ledger.connection import Db
from broker.ledger.sessions import EndedSession

_INSERT = """
    INSERT INTO curfew.tickets (id, grant_id, key_id, access, expires_at, sealed_at, sealed_by)
    VALUES ($1, $2, $3, $4, $5, $6, $7)
"""
_SELECT = """
    SELECT t.id, t.grant_id, p.email AS person, g.target, g.database, g.role, g.state, t.key_id,
           t.access, t.expires_at, t.sealed_at, t.sealed_by, u.used_at, u.until,
           u.client_address AS used_from
      FROM curfew.tickets t
      JOIN curfew.grants g ON g.id = t.grant_id
      JOIN curfew.people p ON p.id = g.person_id
      LEFT JOIN LATERAL (
           SELECT used_at, until, client_address FROM curfew.ticket_uses
            WHERE ticket_id = t.id ORDER BY used_at LIMIT 1) AS u ON true
"""
_INSERT_USE = """
    INSERT INTO curfew.ticket_uses (ticket_id, worker_id, used_at, until, client_address)
    SELECT id, $2, $3, $4, $5 FROM curfew.tickets WHERE id = $1
    ON CONFLICT DO NOTHING
"""
_LOCK_USES = """
    SELECT u.ticket_id, t.grant_id, u.worker_id, u.used_at, u.until, u.client_address,
           (SELECT count(*) FROM curfew.ticket_uses o WHERE o.ticket_id = u.ticket_id) AS uses
      FROM curfew.ticket_uses u JOIN curfew.tickets t ON t.id = u.ticket_id
     WHERE u.followed_at IS NULL
     ORDER BY u.used_at LIMIT $1 FOR UPDATE OF u SKIP LOCKED
"""
_SAVE_FOLLOWED = """
    UPDATE curfew.ticket_uses SET followed_at = $4
     WHERE ticket_id = $1 AND worker_id = $2 AND used_at = $3
"""
# The row stays locked: whoever reports the same journal waits, and then finds less to do.
_LOCK_JOURNAL = """
    INSERT INTO curfew.ticket_journals AS j (worker_id, lines) VALUES ($1, 0)
    ON CONFLICT (worker_id) DO UPDATE SET lines = j.lines
    RETURNING lines
"""
_SAVE_JOURNAL = "UPDATE curfew.ticket_journals SET lines = $2 WHERE worker_id = $1"
_OPEN = """
    INSERT INTO curfew.sessions (id, grant_id, worker_id, client_address, client_application,
                                 started_at, client_certificate)
    SELECT $1, id, $3, $4, $5, $6, $7 FROM curfew.grants WHERE id = $2
"""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedTicket:
    """A ticket as the ledger knows it, with its first use if it had one."""

    id: str
    grant_id: str
    person: str
    target: str
    database: str
    role: str
    state: GrantState
    key_id: str
    access: timedelta
    expires_at: datetime
    sealed_at: datetime
    sealed_by: str
    used_at: datetime | None = None
    until: datetime | None = None
    used_from: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportedUse:
    """A use of a ticket that no broker has acted upon. `uses` is how many the ticket has had."""

    ticket_id: str
    grant_id: str
    worker_id: str
    used_at: datetime
    until: datetime
    client_address: str
    uses: int


async def insert(db: Db, ticket: SealedTicket) -> None:
    await db.execute(
        _INSERT,
        ticket.id,
        ticket.grant_id,
        ticket.key_id,
        ticket.access,
        ticket.expires_at,
        ticket.sealed_at,
        ticket.sealed_by,
    )


async def fetch(db: Db, ticket_id: str) -> SealedTicket | None:
    row = await db.fetchrow(_SELECT + " WHERE t.id = $1", ticket_id)
    return _ticket(row) if row else None


async def fetch_all(db: Db) -> list[SealedTicket]:
    """Return every ticket there ever was, the oldest first."""
    return [_ticket(row) for row in await db.fetch(_SELECT + " ORDER BY t.id")]


async def lock_unfollowed(db: Db, limit: int) -> list[ReportedUse]:
    """Return uses that no broker has acted upon; two brokers never share one."""
    return [ReportedUse(**dict(row)) for row in await db.fetch(_LOCK_USES, limit)]


async def save_followed(db: Db, use: ReportedUse, now: datetime) -> None:
    await db.execute(_SAVE_FOLLOWED, use.ticket_id, use.worker_id, use.used_at, now)


async def report_use(db: Db, use: TicketUse) -> None:
    """Write a use down with its audit event, unless it is there already."""
    status = await db.execute(
        _INSERT_USE, use.ticket_id, use.worker_id, use.used_at, use.until, str(use.address)
    )
    if status != "INSERT 0 1":
        return
    event = TicketUsed(
        grant_id=use.grant_id,
        ticket_id=use.ticket_id,
        client_address=str(use.address),
        until=use.until,
        worker=use.worker_id,
    )
    await audit.append(db, event, actor=use.person, now=use.used_at)


async def report_journal(db: Db, worker_id: str, records: Sequence[TicketRecord]) -> None:
    """Write down what this worker's journal says and the ledger has not taken yet.

    In the caller's transaction: how much was taken is committed with it, so that nothing is taken
    twice, whoever dies when.
    """
    taken = await db.fetchval(_LOCK_JOURNAL, worker_id)
    for record in records[taken:]:
        await _take(db, worker_id, record)
    await db.execute(_SAVE_JOURNAL, worker_id, max(taken, len(records)))


async def _take(db: Db, worker_id: str, record: TicketRecord) -> None:
    match record:
        case TicketSessionOpened():
            await _open(db, worker_id, record)
        case TicketSessionClosed():
            ended = EndedSession(
                id=record.session_id,
                reason=record.reason,
                bytes_from_client=record.bytes_from_client,
                bytes_to_client=record.bytes_to_client,
                ended_at=record.at,
            )
            await sessions.close(db, [ended], actor=SYSTEM)
        case TicketRefused():
            refused = SessionRefused(
                grant_id=record.grant_id,
                client_address=str(record.address),
                reason=record.reason,
            )
            await audit.append(db, refused, actor=record.person, now=record.at)
        case _:
            assert_never(record)


async def _open(db: Db, worker_id: str, record: TicketSessionOpened) -> None:
    status = await db.execute(
        _OPEN,
        record.session_id,
        record.grant_id,
        worker_id,
        str(record.address),
        record.application,
        record.at,
        record.certificate,
    )
    if status != "INSERT 0 1":
        # A ledger restored from before the ticket was sealed. The rest must not wait for that.
        _log.error("the ledger does not know grant %s: %s", record.grant_id, record)
        return
    opened = SessionOpened(
        session_id=record.session_id,
        grant_id=record.grant_id,
        client_address=str(record.address),
        client_application=record.application,
        worker=worker_id,
    )
    await audit.append(db, opened, actor=record.person, now=record.at)


def _ticket(row: asyncpg.Record) -> SealedTicket:
    return SealedTicket(**{**dict(row), "state": GrantState(row["state"])})
