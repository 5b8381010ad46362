"""The audit trail: append only. A row is written in the transaction of the change it records."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from broker.domain.events import Event
from broker.ledger.connection import Db

_APPEND = """
    INSERT INTO curfew.audit_events (at, actor, kind, request_id, grant_id, session_id, data)
    VALUES ($1, $2, $3, $4, $5, $6, $7)
"""
_NEWEST = "SELECT data FROM curfew.audit_events WHERE kind = $1 ORDER BY seq DESC LIMIT 1"
_SELECT = """
    SELECT seq, at, actor, kind, request_id, grant_id, session_id, data FROM curfew.audit_events
"""
# Of each filter that is given. Left out otherwise, rather than compared with NULL, so that each
# combination has a plan of its own.
_CONDITIONS = {
    "before": "seq < {}",
    "grant_id": "grant_id = {}",
    "request_id": "request_id = {}",
    "kind": "kind = {}",
    "since": "at >= {}",
    "person": """(actor = {0}
        OR request_id IN (SELECT r.id FROM curfew.requests r JOIN curfew.people p
                              ON p.id IN (r.person_id, r.requester_id) WHERE p.email = {0})
        OR grant_id IN (SELECT g.id FROM curfew.grants g JOIN curfew.people p
                            ON p.id = g.person_id WHERE p.email = {0}))""",
}

# Of requests, and of a grant what is about no request; of each kind the newest ones.
_LIFE = """
    SELECT seq, at, actor, kind, request_id, grant_id, session_id, data, of_kind
      FROM (SELECT e.*, count(*) OVER of_its_kind AS of_kind,
                   row_number() OVER (PARTITION BY kind ORDER BY seq DESC) AS place
              FROM curfew.audit_events e
             WHERE (request_id = ANY ($1) OR (grant_id = $2 AND request_id IS NULL))
               AND kind <> ALL ($3)
            WINDOW of_its_kind AS (PARTITION BY kind)) AS placed
     WHERE place <= $4 ORDER BY seq
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditFilter:
    """Which events are wanted; None means whichever. Of a `person`: what they did, and what was
    done to requests and grants of theirs."""

    grant_id: str | None = None
    request_id: str | None = None
    person: str | None = None
    kind: str | None = None
    since: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditRow:
    seq: int
    at: datetime
    actor: str
    kind: str
    request_id: str | None
    grant_id: str | None
    session_id: str | None
    data: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Life:
    """Events, in their order, and how many older ones of a kind are not among them."""

    rows: Sequence[AuditRow]
    left_out: Mapping[str, int]


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


async def fetch_newest(db: Db, kind: str) -> dict[str, Any] | None:
    """Return the data of the newest event of this kind."""
    data: dict[str, Any] | None = await db.fetchval(_NEWEST, kind)
    return data


async def fetch_page(
    db: Db, wanted: AuditFilter, *, before: int | None, limit: int
) -> list[AuditRow]:
    """Return at most `limit` events, newest first, of those that came before number `before`."""
    given = {
        name: value
        for name, value in {**asdict(wanted), "before": before}.items()
        if value is not None
    }
    conditions = [
        _CONDITIONS[name].format(f"${number}") for number, name in enumerate(given, start=2)
    ]
    where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
    rows = await db.fetch(f"{_SELECT}{where} ORDER BY seq DESC LIMIT $1", limit, *given.values())
    return [AuditRow(**dict(row)) for row in rows]


async def fetch_life(
    db: Db,
    request_ids: Collection[str],
    grant_id: str | None,
    *,
    without: Collection[str],
    most_of_a_kind: int,
) -> Life:
    """Return what happened to requests and to a grant, of each kind the newest. Kinds to do
    `without` are left out without a word."""
    found = await db.fetch(_LIFE, list(request_ids), grant_id, list(without), most_of_a_kind)
    totals = {row["kind"]: row["of_kind"] for row in found}
    rows = [
        AuditRow(**{name: value for name, value in row.items() if name != "of_kind"})
        for row in found
    ]
    return Life(
        rows,
        {kind: all_ - most_of_a_kind for kind, all_ in totals.items() if all_ > most_of_a_kind},
    )
