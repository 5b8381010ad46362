"""Every statement on tables people and tokens."""

from dataclasses import dataclass
from datetime import datetime

import asyncpg

from broker.domain.person import Person
from broker.ledger.connection import Db

_UPSERT = """
    INSERT INTO curfew.people (id, email, name, created_at) VALUES ($1, $2, $3, $4)
    ON CONFLICT (email) DO UPDATE SET name = excluded.name
    RETURNING id, email, name
"""
_INSERT = """
    INSERT INTO curfew.tokens (id, person_id, digest, label, created_at, expires_at)
    VALUES ($1, $2, $3, $4, $5, $6)
"""
_TOKENS = """
    SELECT t.id, p.email, t.label, t.created_at, t.expires_at, t.revoked_at
      FROM curfew.tokens t JOIN curfew.people p ON p.id = t.person_id
"""
_HOLDER = """
    SELECT p.id, p.email, p.name
      FROM curfew.tokens t JOIN curfew.people p ON p.id = t.person_id
     WHERE t.digest = $1 AND t.revoked_at IS NULL
       AND (t.expires_at IS NULL OR t.expires_at > $2)
"""
_REVOKE = """
    UPDATE curfew.tokens SET revoked_at = $2 WHERE id = $1 AND revoked_at IS NULL
"""


@dataclass(frozen=True, slots=True)
class Token:
    """A bearer token as the ledger knows it: by digest, which is never read back."""

    id: str
    email: str
    label: str
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None


async def upsert(db: Db, person: Person, now: datetime) -> Person:
    """Make the person known, or bring their name up to date. Returns who the ledger knows."""
    row = await db.fetchrow(_UPSERT, person.id, person.email, person.name, now)
    assert row is not None
    return _person(row)


async def insert_token(db: Db, token: Token, *, person_id: str, digest: bytes) -> None:
    await db.execute(
        _INSERT,
        token.id,
        person_id,
        digest,
        token.label,
        token.created_at,
        token.expires_at,
    )


async def fetch_tokens(db: Db) -> list[Token]:
    return [Token(**dict(row)) for row in await db.fetch(_TOKENS + " ORDER BY t.id")]


async def fetch_token(db: Db, token_id: str) -> Token | None:
    row = await db.fetchrow(_TOKENS + " WHERE t.id = $1", token_id)
    return Token(**dict(row)) if row else None


async def revoke_token(db: Db, token_id: str, now: datetime) -> bool:
    """Return whether there was a living token to revoke."""
    return bool(await db.execute(_REVOKE, token_id, now) == "UPDATE 1")


async def fetch_token_holder(db: Db, digest: bytes, now: datetime) -> Person | None:
    row = await db.fetchrow(_HOLDER, digest, now)
    return _person(row) if row else None


def _person(row: asyncpg.Record) -> Person:
    return Person(id=row["id"], email=row["email"], name=row["name"])
