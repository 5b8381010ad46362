"""The audit trail: append only. A row is written in the transaction of the change it records."""

from datetime import datetime

from broker.domain.events import Event
from broker.ledger.connection import Db

_APPEND = """
    INSERT INTO curfew.audit_events (at, actor, kind, request_id, grant_id, session_id, data)
    VALUES ($1, $2, $3, $4, $5, $6, $7)
"""


async def append(db: Db, event: Event, *, actor: str, now: datetime) -> None:
    """Record `event`. `actor` is an e-mail address or person.SYSTEM."""
    await db.execute(
        _APPEND,
        now,
        actor,
        event.kind,
        event.request_id,
        event.grant_id,
        event.session_id,
        event.data(),
    )
