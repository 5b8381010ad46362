"""Every statement on table bans: wrong secrets, counted by address and by user name."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from broker.ledger.connection import Db

# Sorted, so that two proxies never wait for each other's rows. A count whose window or ban is over
# begins anew.
_COUNT = """
    INSERT INTO curfew.bans AS b (key, failures, first_failure_at, banned_until)
    SELECT key, 1, $2::timestamptz,
           CASE WHEN $4::integer <= 1 THEN $2::timestamptz + $5::interval END
      FROM unnest($1::text[]) AS key ORDER BY key
    ON CONFLICT (key) DO UPDATE
       SET (failures, first_failure_at, banned_until) = (
           SELECT counted.failures, counted.since,
                  CASE WHEN b.banned_until > $2 THEN b.banned_until
                       WHEN counted.failures >= $4 THEN $2 + $5::interval END
             FROM (SELECT CASE WHEN stale THEN 1 ELSE b.failures + 1 END AS failures,
                          CASE WHEN stale THEN $2 ELSE b.first_failure_at END AS since
                     FROM (SELECT coalesce(b.first_failure_at <= $2 - $3::interval
                                           OR b.banned_until <= $2, false)) AS age (stale))
                  AS counted)
    RETURNING key, failures, banned_until
"""
_LIVE = """
    SELECT key, failures, banned_until FROM curfew.bans
     WHERE banned_until > $1 ORDER BY banned_until DESC LIMIT $2
"""
_LIFT = "DELETE FROM curfew.bans WHERE key = $1 AND banned_until > $2"
_FORGET = """
    DELETE FROM curfew.bans
     WHERE first_failure_at <= $1 AND (banned_until IS NULL OR banned_until <= $2)
"""
_LONGEST_LIST = 10_000


@dataclass(frozen=True, slots=True)
class ThrottleRules:
    """So many wrong secrets within `window` lead to a ban for `ban`."""

    failures: int
    window: timedelta
    ban: timedelta


@dataclass(frozen=True, slots=True)
class Ban:
    """Nobody gets in by this key until then. `failures` led to it."""

    key: str
    failures: int
    until: datetime


async def count_failure(db: Db, keys: list[str], rules: ThrottleRules, now: datetime) -> list[Ban]:
    """Count a wrong secret under every key; return the bans that it led to."""
    rows = await db.fetch(_COUNT, keys, now, rules.window, rules.failures, rules.ban)
    return [
        Ban(row["key"], row["failures"], row["banned_until"])
        for row in rows
        if row["banned_until"] == now + rules.ban
    ]


async def fetch_live(db: Db, now: datetime) -> list[Ban]:
    rows = await db.fetch(_LIVE, now, _LONGEST_LIST)
    return [Ban(row["key"], row["failures"], row["banned_until"]) for row in rows]


async def lift(db: Db, key: str, now: datetime) -> bool:
    """Return whether there was a ban to lift."""
    return bool(await db.execute(_LIFT, key, now) == "DELETE 1")


async def forget(db: Db, *, counted_before: datetime, now: datetime) -> None:
    """Drop counts that can no longer lead to anything."""
    await db.execute(_FORGET, counted_before, now)
