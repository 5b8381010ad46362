"""Days of statements: each is a partition, made beforehand, and dropped whole when it is over.

What comes for a day without a partition goes to the default ones and stays there: so does what a
spool brings of a day that was dropped, which goes when that day is dropped once more.

Whoever makes or drops days holds the chain of statements, as whoever appends blocks does before
anything else: so the two never wait for each other in a circle, and no block of the day is on its
way. Readers are waited for, but not for long.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import date, datetime, timedelta

from broker.domain.statement.dropped_days import DroppedDay
from broker.ledger.connection import Db

_TABLES = ("statements", "late_outcomes")
_PATIENCE_S = 120.0  # what is left in the default partitions may be a lot
# While a change of partitions waits for readers, everybody else waits behind it.
_LIMIT_WAITING = "SET LOCAL lock_timeout = '2s'"
_LOCK_CHAIN = "SELECT pg_advisory_xact_lock(hashtextextended('curfew.statements', 0))"
_KEEP = "hashtextextended('curfew.statement_days', 0)"
_LOCK_DROPPING = f"SELECT pg_advisory_xact_lock({_KEEP})"

_EXISTS = "SELECT to_regclass($1) IS NOT NULL"
_PARTITIONS = """
    SELECT to_date(right(c.relname, 8), 'YYYYMMDD') AS day
      FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
     WHERE i.inhparent = 'curfew.statements'::regclass AND c.relname ~ '^statements_[0-9]{8}$'
"""
# Steps from day to day through the index, rather than over all blocks.
_DAYS = """
    WITH RECURSIVE days AS (
        SELECT min(day) AS day FROM curfew.statement_blocks
        UNION ALL
        SELECT (SELECT min(day) FROM curfew.statement_blocks WHERE day > days.day)
          FROM days WHERE day IS NOT NULL
    )
    SELECT day FROM days
     WHERE (SELECT max(number) FROM curfew.statement_blocks b WHERE b.day = days.day)
         > coalesce((SELECT max(through) FROM curfew.dropped_days d WHERE d.day = days.day), 0)
"""
_SEALED = """
    SELECT coalesce(sum(b.rows), 0) FROM curfew.statement_blocks b
     WHERE b.day = $1
       AND b.number > coalesce((SELECT max(through) FROM curfew.dropped_days WHERE day = $1), 0)
"""
_NEWEST = "SELECT coalesce(max(number), 0) FROM curfew.statement_blocks"
_INSERT = """
    INSERT INTO curfew.dropped_days (day, through, dropped_at, rows) VALUES ($1, $2, $3, $4)
"""
_DROPPED = "SELECT day, rows, through FROM curfew.dropped_days ORDER BY day, through"


async def ensure(db: Db, first: date, days: int) -> list[date]:
    """Make the partitions of these days that are missing, and return their days. Needs a
    transaction. A day of which the default partitions have rows already stays there."""
    await db.execute(_LIMIT_WAITING)
    await db.execute(_LOCK_CHAIN)
    made = []
    for day in (first + timedelta(days=n) for n in range(days)):
        done = [await _make(db, table, day) for table in _TABLES]
        if any(done):
            made.append(day)
    return made


async def fetch_days(db: Db) -> list[date]:
    """Return the days that have rows, or a partition for them, the oldest first."""
    partitions = {row["day"] for row in await db.fetch(_PARTITIONS)}
    return sorted(partitions | {row["day"] for row in await db.fetch(_DAYS)})


async def drop(db: Db, day: date, now: datetime) -> DroppedDay | None:
    """Take the day's rows out, write down how many its blocks had, and return that; None if they
    had none. Needs a transaction, of the tables' owner."""
    await db.execute(_LIMIT_WAITING)
    await db.execute(_LOCK_DROPPING)  # first, so that a check of the record holds nobody else up
    await db.execute(_LOCK_CHAIN)
    rows = await db.fetchval(_SEALED, day)
    for table in _TABLES:
        await db.execute(f"DROP TABLE IF EXISTS curfew.{_partition(table, day)}")
        await _delete_from_default(db, table, day)
    if rows == 0:
        return None
    dropped = DroppedDay(day=day, rows=int(rows), through=await db.fetchval(_NEWEST))
    await db.execute(_INSERT, day, dropped.through, now, dropped.rows)
    return dropped


async def fetch_dropped(db: Db) -> list[DroppedDay]:
    """Return what was dropped, a day as often as it was."""
    return [DroppedDay(**dict(row)) for row in await db.fetch(_DROPPED)]


@asynccontextmanager
async def keeping(db: Db) -> AsyncIterator[None]:
    """See to it that no day is dropped meanwhile, without a transaction that lasts as long."""
    try:
        # Whoever is cancelled while it waits may have got it all the same.
        await db.execute(f"SELECT pg_advisory_lock_shared({_KEEP})")
        yield
    finally:
        await db.execute(f"SELECT pg_advisory_unlock_shared({_KEEP})")


async def _make(db: Db, table: str, day: date) -> bool:
    name = _partition(table, day)
    if await db.fetchval(_EXISTS, f"curfew.{name}") or await _has_in_default(db, table, day):
        return False
    until = day + timedelta(days=1)
    await db.execute(
        f"CREATE TABLE curfew.{name} PARTITION OF curfew.{table} "
        f"FOR VALUES FROM ('{day}') TO ('{until}')"
    )
    # A trigger for each statement does not fire for who names the partition.
    await db.execute(
        f"CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON curfew.{name} "
        "FOR EACH STATEMENT EXECUTE FUNCTION curfew.refuse_change()"
    )
    return True


async def _has_in_default(db: Db, table: str, day: date) -> bool:
    question = f"SELECT EXISTS (SELECT FROM curfew.{table}_other WHERE day = $1)"  # noqa: S608
    return bool(await db.fetchval(question, day, timeout=_PATIENCE_S))


async def _delete_from_default(db: Db, table: str, day: date) -> None:
    if not await _has_in_default(db, table, day):
        return
    await db.execute(f"ALTER TABLE curfew.{table}_other DISABLE TRIGGER append_only")
    statement = f"DELETE FROM curfew.{table}_other WHERE day = $1"  # noqa: S608
    await db.execute(statement, day, timeout=_PATIENCE_S)
    await db.execute(f"ALTER TABLE curfew.{table}_other ENABLE TRIGGER append_only")


def _partition(table: str, day: date) -> str:
    return f"{table}_{day:%Y%m%d}"
