"""Every statement on table grants."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from ipaddress import IPv4Interface, IPv6Interface

import asyncpg

from broker.domain.grant import Grant, GrantEvent, GrantKind, GrantState
from broker.domain.network import Address
from broker.domain.parameter import Parameter
from broker.domain.person import Person
from broker.domain.statement.budget import Used
from broker.domain.statement.conditions import conditions_from
from broker.ledger.connection import Db
from broker.ledger.outcome_lists import GRANTS, Part, fetch_ids
from broker.ledger.sight import Visible

COLUMNS = """
    g.id, g.request_id, g.person_id, p.email, p.name AS person_name, g.target, g.database, g.role,
    g.state, g.granted_at, g.expires_at, g.duration, g.end_reason, g.ended_by, g.end_comment,
    g.ended_at, g.attempts, g.next_attempt_at, g.last_error, g.kind, g.member, g.networks,
    g.pin_address, g.pinned_to, g.parameters, g.break_glass, g.sealed, g.conditions
"""
_SELECT = f"""
    SELECT {COLUMNS} FROM curfew.grants g JOIN curfew.people p ON p.id = g.person_id
"""  # noqa: S608  (constant text)
_WITH_LOGIN = f"""
    SELECT {COLUMNS}, l.name AS login, g.rows_sent, g.bytes_sent
      FROM curfew.grants g
      JOIN curfew.people p ON p.id = g.person_id
      LEFT JOIN curfew.logins l ON l.grant_id = g.id
     WHERE g.id = $1
"""  # noqa: S608  (constant text)
_INSERT = """
    INSERT INTO curfew.grants (id, request_id, person_id, target, database, role, state,
                               granted_at, expires_at, next_attempt_at, kind, member, networks,
                               pin_address, duration, parameters, break_glass, sealed,
                               conditions)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19)
"""
_EACH_WITH_LOGIN = f"""
    SELECT {COLUMNS}, l.name AS login, g.rows_sent, g.bytes_sent
      FROM curfew.grants g
      JOIN curfew.people p ON p.id = g.person_id
      LEFT JOIN curfew.logins l ON l.grant_id = g.id
     WHERE g.id = ANY ($1) ORDER BY g.id DESC
"""  # noqa: S608  (constant text)
_HELD = f"""
    SELECT {COLUMNS}, l.name AS login, l.stable_name, g.rows_sent, g.bytes_sent, r.policy,
           (SELECT count(*) FROM curfew.sessions s
             WHERE s.grant_id = g.id AND s.ended_at IS NULL) AS open_sessions
      FROM curfew.grants g
      JOIN curfew.people p ON p.id = g.person_id
      JOIN curfew.requests r ON r.id = g.request_id
      LEFT JOIN curfew.logins l ON l.grant_id = g.id
     WHERE g.person_id = $1
"""  # noqa: S608  (constant text)
# Two texts rather than one with a parameter, so that each has the index that is made for it.
_LIVING_OF = f"{_HELD} AND g.state <> 'ended' ORDER BY g.expires_at, g.id LIMIT $2"
_ENDED_OF = f"""
    {_HELD} AND g.state = 'ended' AND ($2::text IS NULL OR g.id < $2) ORDER BY g.id DESC LIMIT $3
"""
_LOCK_OVERDUE = (
    _SELECT
    + """
      LEFT JOIN curfew.logins l ON l.grant_id = g.id
     WHERE g.state IN ('waiting', 'provisioning', 'active')
       AND (g.expires_at <= $1
            OR (g.state = 'active' AND l.rejected_at IS NOT NULL))
     ORDER BY g.expires_at LIMIT $2 FOR UPDATE OF g SKIP LOCKED
"""
)
_DUE = """
    SELECT id FROM curfew.grants
     WHERE state IN ('provisioning', 'revoking', 'quarantined') AND next_attempt_at <= $1
     ORDER BY next_attempt_at LIMIT $2
"""
_LIVING = """
    SELECT id FROM curfew.grants WHERE id = ANY ($1) AND target = $2 AND state <> 'ended'
"""
_ACTIVE_LOGINS = """
    SELECT g.id, l.oid FROM curfew.grants g JOIN curfew.logins l ON l.grant_id = g.id
     WHERE g.target = $1 AND g.state = 'active' AND l.oid IS NOT NULL
"""
# A sealed ticket lies in a safe for months: its grant counts once somebody has come in with it.
_OVERLAPS = """
    SELECT EXISTS (
        SELECT FROM curfew.grants g
         WHERE target = $1 AND role = $2 AND id <> $3
           AND (state <> 'ended' OR ended_at >= $4)
           AND (NOT sealed OR EXISTS (SELECT FROM curfew.sessions WHERE grant_id = g.id)))
"""
_COUNT_LIVING = """
    SELECT count(*) FROM curfew.grants WHERE person_id = $1 AND state <> 'ended'
"""
_SAVE_ACTIVATED = """
    UPDATE curfew.grants
       SET state = $2, expires_at = $3, duration = $4, next_attempt_at = $5, networks = $6,
           conditions = $7
     WHERE id = $1
"""
_SAVE_CURFEW = "UPDATE curfew.grants SET expires_at = $2, duration = $3 WHERE id = $1"
_SAVE_EXTENDED = """
    UPDATE curfew.grants SET expires_at = $2, duration = $3, conditions = $4 WHERE id = $1
"""
_SAVE = """
    UPDATE curfew.grants
       SET state = $3, end_reason = $4, ended_by = $5, end_comment = $6, ended_at = $7,
           attempts = $8, next_attempt_at = $9, last_error = $10
     WHERE id = $1 AND state = $2
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """A grant as its holder needs it. `login` and `stable_name` are the names by which they come
    in, if it has a login of its own; `policy` is the one that gave it."""

    grant: Grant
    login: str | None
    stable_name: str | None
    used: Used
    policy: str
    open_sessions: int


async def insert(db: Db, grant: Grant) -> None:
    await db.execute(
        _INSERT,
        grant.id,
        grant.request_id,
        grant.person.id,
        grant.target,
        grant.database,
        grant.role,
        grant.state,
        grant.granted_at,
        grant.expires_at,
        grant.next_attempt_at,
        grant.kind,
        grant.member,
        grant.networks,
        grant.pin_address,
        grant.duration,
        [[each.name, each.value] for each in grant.parameters],
        grant.break_glass,
        grant.sealed,
        grant.conditions.to_json(),
    )


async def fetch(db: Db, grant_id: str) -> Grant | None:
    row = await db.fetchrow(_SELECT + " WHERE g.id = $1", grant_id)
    return from_row(row) if row else None


async def fetch_each(db: Db, ids: Collection[str | None]) -> dict[str, Grant]:
    """Return those of these grants that there are, by id."""
    rows = await db.fetch(_SELECT + " WHERE g.id = ANY ($1)", [each for each in ids if each])
    return {row["id"]: from_row(row) for row in rows}


async def fetch_with_login(db: Db, grant_id: str) -> tuple[Grant, str | None, Used] | None:
    """Return the grant, the name of its login, if it has one of its own, and what was used."""
    row = await db.fetchrow(_WITH_LOGIN, grant_id)
    return (from_row(row), row["login"], used_of(row)) if row else None


async def lock(db: Db, grant_id: str) -> Grant | None:
    row = await db.fetchrow(_SELECT + " WHERE g.id = $1 FOR UPDATE OF g", grant_id)
    return from_row(row) if row else None


async def fetch_page(
    db: Db, visible: Visible, *, state: GrantState | None, before: str | None, limit: int
) -> list[tuple[Grant, str | None, Used]]:
    """Return at most `limit` grants that a person may see, newest first, with the names of their
    logins and what was used."""
    part = Part(
        equal={} if state is None else {"state": state},
        before=before,
        few=state not in {None, GrantState.ENDED},
    )
    ids = await fetch_ids(db, GRANTS, visible, part, limit)
    rows = await db.fetch(_EACH_WITH_LOGIN, ids)
    return [(from_row(row), row["login"], used_of(row)) for row in rows]


async def fetch_living_of(db: Db, person_id: str, limit: int) -> list[Held]:
    """Return what the person holds, what ends first at the top."""
    return [_held(row) for row in await db.fetch(_LIVING_OF, person_id, limit)]


async def fetch_ended_of(db: Db, person_id: str, *, before: str | None, limit: int) -> list[Held]:
    """Return what the person held, newest first."""
    return [_held(row) for row in await db.fetch(_ENDED_OF, person_id, before, limit)]


async def lock_overdue(db: Db, now: datetime, limit: int) -> list[Grant]:
    """Return grants whose curfew has come, or whose login the target no longer accepts.

    Their rows stay locked until the caller's transaction ends: two brokers never share a grant,
    and a broker that dies frees its own.
    """
    return [from_row(row) for row in await db.fetch(_LOCK_OVERDUE, now, limit)]


async def fetch_due(db: Db, now: datetime, limit: int) -> list[str]:
    """Return the ids of grants whose login is to be made or removed now, the longest due first."""
    return [row["id"] for row in await db.fetch(_DUE, now, limit)]


async def fetch_living(db: Db, target: str, grant_ids: list[str]) -> set[str]:
    """Return which of the grants are on this target and have not ended."""
    return {row["id"] for row in await db.fetch(_LIVING, grant_ids, target)}


async def fetch_active_logins(db: Db, target: str) -> dict[str, int]:
    """Return the OIDs of the logins of this target's active grants, by grant."""
    return {row["id"]: row["oid"] for row in await db.fetch(_ACTIVE_LOGINS, target)}


async def overlaps(db: Db, grant: Grant) -> bool:
    """Say whether another grant gave the same role at some time of this one's life."""
    return bool(await db.fetchval(_OVERLAPS, grant.target, grant.role, grant.id, grant.granted_at))


async def save_extended(db: Db, grant: Grant) -> None:
    """Store when the grant ends, and what it is held to from now on."""
    await db.execute(
        _SAVE_EXTENDED, grant.id, grant.expires_at, grant.duration, grant.conditions.to_json()
    )


async def save_curfew(db: Db, grant: Grant) -> None:
    """Store when the grant ends."""
    await db.execute(_SAVE_CURFEW, grant.id, grant.expires_at, grant.duration)


async def save_activated(db: Db, grant: Grant) -> None:
    """Store that a locked grant no longer waits."""
    await db.execute(
        _SAVE_ACTIVATED,
        grant.id,
        grant.state,
        grant.expires_at,
        grant.duration,
        grant.next_attempt_at,
        grant.networks,
        grant.conditions.to_json(),
    )


async def count_living(db: Db, person_id: str) -> int:
    """Return how many grants the person has that have not ended."""
    return int(await db.fetchval(_COUNT_LIVING, person_id))


async def save(db: Db, grant: Grant, *, was: GrantState) -> bool:
    """Store `grant` if the ledger still has it in state `was`. Returns whether it had."""
    status = await db.execute(
        _SAVE,
        grant.id,
        was,
        grant.state,
        grant.end_reason,
        grant.ended_by,
        grant.end_comment,
        grant.ended_at,
        grant.attempts,
        grant.next_attempt_at,
        grant.last_error,
    )
    return bool(status == "UPDATE 1")


def from_row(row: asyncpg.Record) -> Grant:
    return Grant(
        id=row["id"],
        request_id=row["request_id"],
        person=Person(row["person_id"], row["email"], row["person_name"]),
        target=row["target"],
        database=row["database"],
        role=row["role"],
        state=GrantState(row["state"]),
        granted_at=row["granted_at"],
        expires_at=row["expires_at"],
        duration=row["duration"],
        end_reason=GrantEvent(row["end_reason"]) if row["end_reason"] else None,
        ended_by=row["ended_by"],
        end_comment=row["end_comment"],
        ended_at=row["ended_at"],
        attempts=row["attempts"],
        next_attempt_at=row["next_attempt_at"],
        last_error=row["last_error"],
        kind=GrantKind(row["kind"]),
        member=row["member"],
        networks=tuple(row["networks"]),
        pin_address=row["pin_address"],
        pinned_to=_address(row["pinned_to"]),
        parameters=tuple(_parameter(*each) for each in row["parameters"]),
        break_glass=row["break_glass"],
        sealed=row["sealed"],
        conditions=conditions_from(row["conditions"]),
    )


def used_of(row: asyncpg.Record) -> Used:
    return Used(row["rows_sent"], row["bytes_sent"])


def _held(row: asyncpg.Record) -> Held:
    return Held(
        grant=from_row(row),
        login=row["login"],
        stable_name=row["stable_name"],
        used=used_of(row),
        policy=row["policy"],
        open_sessions=row["open_sessions"],
    )


def _parameter(name: str, value: str | list[str]) -> Parameter:
    return Parameter(name, value if isinstance(value, str) else tuple(value))


def _address(value: Address | IPv4Interface | IPv6Interface | None) -> Address | None:
    """The driver gives an inet as an interface if it has a prefix length, which ours never has."""
    return value.ip if isinstance(value, IPv4Interface | IPv6Interface) else value
