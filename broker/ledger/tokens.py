"""Every statement on table tokens."""

from datetime import datetime

import asyncpg

from broker.domain.identity.directory import Recorded
from broker.domain.token import Token, TokenKind
from broker.ledger import people
from broker.ledger.connection import Db

_INSERT = """
    INSERT INTO curfew.tokens
        (id, person_id, digest, kind, label, scopes, created_by, created_at, expires_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
"""
_TOKENS = """
    SELECT t.id, p.email, t.kind, t.label, t.scopes, t.created_by, t.created_at, t.expires_at,
           t.revoked_at, t.last_used_at
      FROM curfew.tokens t JOIN curfew.people p ON p.id = t.person_id
"""
_PAGE = (
    _TOKENS
    + """
     WHERE ($1::text IS NULL OR t.person_id = $1) AND ($2::text IS NULL OR t.id < $2)
     ORDER BY t.id DESC LIMIT $3
"""
)
_HELD = f"""
    SELECT t.id AS token_id, t.kind AS token_kind, t.label, t.scopes, t.created_by, t.created_at,
           t.expires_at, t.revoked_at, t.last_used_at, {people.COLUMNS}
      FROM curfew.tokens t JOIN curfew.people p ON p.id = t.person_id
     WHERE t.digest = $1
"""  # noqa: S608
_REVOKE = """
    UPDATE curfew.tokens SET revoked_at = $3
     WHERE id = $1 AND ($2::text IS NULL OR person_id = $2) AND revoked_at IS NULL
"""
_REVOKE_SIGN_INS = """
    UPDATE curfew.tokens SET revoked_at = $2
     WHERE person_id = $1 AND kind = 'sign_in' AND revoked_at IS NULL AND expires_at > $2
    RETURNING id
"""
# Several uses at once are noted once: the second waits for the first, and then finds it.
_NOTE_USE = """
    UPDATE curfew.tokens SET last_used_at = $2
     WHERE id = $1 AND last_used_at IS NOT DISTINCT FROM $3
"""


async def insert(db: Db, token: Token, *, person_id: str, digest: bytes) -> None:
    await db.execute(
        _INSERT,
        token.id,
        person_id,
        digest,
        token.kind,
        token.label,
        None if token.scopes is None else sorted(token.scopes),
        token.created_by,
        token.created_at,
        token.expires_at,
    )


async def fetch_all(db: Db) -> list[Token]:
    return [_token(row) for row in await db.fetch(_TOKENS + " ORDER BY t.id")]


async def fetch_page(db: Db, person_id: str | None, after: str | None, limit: int) -> list[Token]:
    """Return tokens of one person, or of all, the newest first."""
    return [_token(row) for row in await db.fetch(_PAGE, person_id, after, limit)]


async def fetch(db: Db, token_id: str) -> Token | None:
    row = await db.fetchrow(_TOKENS + " WHERE t.id = $1", token_id)
    return _token(row) if row else None


async def fetch_held(db: Db, digest: bytes) -> tuple[Token, Recorded] | None:
    """Return the token, dead or alive, and whose it is."""
    row = await db.fetchrow(_HELD, digest)
    if row is None:
        return None
    return _token(row, id_="token_id", kind="token_kind"), people.recorded(row)


async def revoke(db: Db, token_id: str, person_id: str | None, now: datetime) -> bool:
    """Return whether there was a living token to revoke, of this person if one is named."""
    return bool(await db.execute(_REVOKE, token_id, person_id, now) == "UPDATE 1")


async def revoke_sign_ins(db: Db, person_id: str, now: datetime) -> list[str]:
    """Make the tokens useless that the person's command lines signed in for; return their ids."""
    return [row["id"] for row in await db.fetch(_REVOKE_SIGN_INS, person_id, now)]


async def note_use(db: Db, token: Token, now: datetime) -> None:
    await db.execute(_NOTE_USE, token.id, now, token.last_used_at)


def _token(row: asyncpg.Record, *, id_: str = "id", kind: str = "kind") -> Token:
    return Token(
        id=row[id_],
        email=row["email"],
        kind=TokenKind(row[kind]),
        label=row["label"],
        scopes=None if row["scopes"] is None else frozenset(row["scopes"]),
        created_by=row["created_by"],
        created_at=row["created_at"],
        expires_at=row["expires_at"],
        revoked_at=row["revoked_at"],
        last_used_at=row["last_used_at"],
    )
