"""Every statement on table policy_versions: what was in force, from when on. Append only."""

from dataclasses import dataclass
from datetime import datetime

import asyncpg

from broker.domain.version import Version, VersionKind, Written
from broker.ledger.connection import Db

# Stops whoever else wants to append, and nobody who reads, until the transaction ends.
_LOCK = "LOCK TABLE curfew.policy_versions IN SHARE ROW EXCLUSIVE MODE"
_SELECT = """
    SELECT number, kind, text, environment, loaded_at, loaded_by FROM curfew.policy_versions
"""
_NEWEST = _SELECT + " WHERE kind = $1 ORDER BY number DESC LIMIT 1"
_ONE = _SELECT + " WHERE number = $1"
_BEFORE = _SELECT + " WHERE kind = $1 AND number < $2 ORDER BY number DESC LIMIT 1"
_AT = _SELECT + " WHERE kind = $1 AND loaded_at <= $2 ORDER BY number DESC LIMIT 1"
_PAGE = """
    SELECT number, kind, digest, loaded_at, loaded_by FROM curfew.policy_versions
     WHERE kind = ANY ($1) AND ($2::bigint IS NULL OR number < $2)
     ORDER BY number DESC LIMIT $3
"""
_INSERT = """
    INSERT INTO curfew.policy_versions (kind, digest, text, environment, loaded_at, loaded_by)
    VALUES ($1, $2, $3, $4, $5, $6) RETURNING number
"""


@dataclass(frozen=True, slots=True)
class Listed:
    """A version in a list, without its text."""

    number: int
    kind: VersionKind
    digest: bytes
    loaded_at: datetime
    loaded_by: str


async def lock_to_append(db: Db) -> None:
    """Let nobody else append until the caller's transaction ends: brokers that start at once must
    see each other's version before they write the same once more."""
    await db.execute(_LOCK)


async def insert(db: Db, written: Written, *, now: datetime, loaded_by: str) -> Version:
    number = await db.fetchval(
        _INSERT,
        written.kind,
        written.digest,
        written.text,
        written.environment,
        now,
        loaded_by,
    )
    return Version(number, written, now, loaded_by)


async def fetch_newest(db: Db, kind: VersionKind) -> Version | None:
    row = await db.fetchrow(_NEWEST, kind)
    return _version(row) if row else None


async def fetch(db: Db, number: int) -> Version | None:
    row = await db.fetchrow(_ONE, number)
    return _version(row) if row else None


async def fetch_at(db: Db, kind: VersionKind, at: datetime) -> Version | None:
    """Return what was in force at a time."""
    row = await db.fetchrow(_AT, kind, at)
    return _version(row) if row else None


async def fetch_before(db: Db, version: Version) -> Version | None:
    """Return the version of the same kind that this one took the place of."""
    row = await db.fetchrow(_BEFORE, version.written.kind, version.number)
    return _version(row) if row else None


async def fetch_page(
    db: Db, kinds: list[VersionKind], *, before: int | None, limit: int
) -> list[Listed]:
    """Return versions of these kinds, newest first."""
    rows = await db.fetch(_PAGE, kinds, before, limit)
    return [
        Listed(
            row["number"],
            VersionKind(row["kind"]),
            row["digest"],
            row["loaded_at"],
            row["loaded_by"],
        )
        for row in rows
    ]


def _version(row: asyncpg.Record) -> Version:
    written = Written(VersionKind(row["kind"]), row["text"], tuple(row["environment"]))
    return Version(row["number"], written, row["loaded_at"], row["loaded_by"])
