"""Every statement on table alarms: what a human has to look at, until it is over."""

from dataclasses import dataclass
from datetime import datetime

from broker.ledger.connection import Db
from broker.ledger.sight import DECIDED, Visible

# The open alarm of a key stays the same one; only its text follows what is known now.
_RAISE = """
    INSERT INTO curfew.alarms (id, key, target, grant_id, message, raised_at)
    VALUES ($1, $2, $3, $4, $5, $6)
    ON CONFLICT (key) WHERE cleared_at IS NULL DO UPDATE SET message = excluded.message
    RETURNING id = $1 AS is_new
"""
_CLEAR = """
    UPDATE curfew.alarms SET cleared_at = $2 WHERE key = $1 AND cleared_at IS NULL
    RETURNING id, grant_id
"""
# Among them those about no grant, which are about a target, and those about grants whose policy is
# gone or names nobody.
_FOR_THEM = f"""
    SELECT a.id
      FROM curfew.alarms a
      LEFT JOIN curfew.grants g ON g.id = a.grant_id
      LEFT JOIN curfew.requests r ON r.id = g.request_id
     WHERE {DECIDED} OR $5 OR ($6 AND (r.policy = ANY ($7)) IS NOT TRUE)
"""  # noqa: S608  (constant text)
_CLEAR_ONE = f"""
    UPDATE curfew.alarms SET cleared_at = $9
     WHERE id = $8 AND cleared_at IS NULL AND id IN ({_FOR_THEM})
    RETURNING id, key, target, grant_id, message, raised_at, cleared_at
"""  # noqa: S608  (constant text)
_PAGE = f"""
    SELECT id, key, target, grant_id, message, raised_at, cleared_at FROM curfew.alarms
     WHERE ($8::boolean OR cleared_at IS NULL) AND ($9::text IS NULL OR id < $9)
       AND id IN ({_FOR_THEM})
     ORDER BY id DESC LIMIT $10
"""  # noqa: S608  (constant text)
_OPEN_OF_GRANT = f"""
    SELECT id, key, target, grant_id, message, raised_at, cleared_at FROM curfew.alarms
     WHERE cleared_at IS NULL AND grant_id = $8 AND id IN ({_FOR_THEM})
     ORDER BY id DESC
"""  # noqa: S608  (constant text)
_COUNT_OPEN = f"""
    SELECT count(*) FROM curfew.alarms WHERE cleared_at IS NULL AND id IN ({_FOR_THEM})
"""  # noqa: S608  (constant text)
_OPEN_ON_TARGET = """
    SELECT a.key, a.id
      FROM curfew.alarms a LEFT JOIN curfew.grants g ON g.id = a.grant_id
     WHERE a.cleared_at IS NULL AND coalesce(a.target, g.target) = $1
     ORDER BY a.id DESC LIMIT $2
"""
_OPEN_KEYS = """
    SELECT key FROM curfew.alarms WHERE cleared_at IS NULL AND starts_with(key, $1)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Alarm:
    """`key` names what is wrong, so that the same trouble is one alarm however often it is seen."""

    id: str
    key: str
    target: str | None
    grant_id: str | None
    message: str
    raised_at: datetime
    cleared_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Audience:
    """Whom alarms are for: what they decide about and, if `general`, what is about no grant under a
    policy that is `looked_after` by those whom it names."""

    visible: Visible
    general: bool
    looked_after: list[str]

    @property
    def arguments(self) -> tuple[object, ...]:
        everything = self.visible.everything
        return *self.visible.deciding, everything, self.general, self.looked_after


async def insert(db: Db, alarm: Alarm) -> bool:
    """Store the alarm, or its newer text in the open one. Returns whether it is new."""
    return bool(
        await db.fetchval(
            _RAISE,
            alarm.id,
            alarm.key,
            alarm.target,
            alarm.grant_id,
            alarm.message,
            alarm.raised_at,
        )
    )


async def clear(db: Db, key: str, now: datetime) -> tuple[str, str | None] | None:
    """Close the open alarm of this key. Returns its id and that of the grant that it is about, or
    None if there is no such alarm."""
    row = await db.fetchrow(_CLEAR, key, now)
    return (row["id"], row["grant_id"]) if row else None


async def clear_one(db: Db, alarm_id: str, audience: Audience, now: datetime) -> Alarm | None:
    """Close one open alarm. Returns None if there is none of this id for them."""
    row = await db.fetchrow(_CLEAR_ONE, *audience.arguments, alarm_id, now)
    return Alarm(**dict(row)) if row else None


async def fetch(
    db: Db, audience: Audience, *, cleared_too: bool, before: str | None, limit: int
) -> list[Alarm]:
    """Return the alarms that are for them, newest first."""
    rows = await db.fetch(_PAGE, *audience.arguments, cleared_too, before, limit)
    return [Alarm(**dict(row)) for row in rows]


async def fetch_open_of_grant(db: Db, audience: Audience, grant_id: str) -> list[Alarm]:
    """Return the open alarms about a grant that are for them, newest first."""
    rows = await db.fetch(_OPEN_OF_GRANT, *audience.arguments, grant_id)
    return [Alarm(**dict(row)) for row in rows]


async def count_open(db: Db, audience: Audience) -> int:
    """Return how many open alarms are for them."""
    return int(await db.fetchval(_COUNT_OPEN, *audience.arguments))


async def fetch_open_keys(db: Db, prefix: str) -> set[str]:
    return {row["key"] for row in await db.fetch(_OPEN_KEYS, prefix)}


async def fetch_open_on_target(db: Db, target: str, limit: int) -> dict[str, str]:
    """Return the ids of open alarms about a target and its grants by key, the newest `limit`."""
    return {row["key"]: row["id"] for row in await db.fetch(_OPEN_ON_TARGET, target, limit)}
