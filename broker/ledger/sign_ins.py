"""Every statement on tables sign_ins and spent_proofs."""

from datetime import datetime

from broker.domain.identity.sign_in import SignIn
from broker.ledger.connection import Db

_INSERT = """
    INSERT INTO curfew.sign_ins
           (id, person_id, provider, token_id, digest, created_at, expires_at, seen_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
"""
# A sign-in by token ends with the token, and is good for no more.
_FETCH = """
    SELECT s.id, s.person_id, s.provider, s.token_id, s.created_at, s.expires_at, s.seen_at,
           least(s.ended_at, t.revoked_at) AS ended_at, t.scopes
      FROM curfew.sign_ins s LEFT JOIN curfew.tokens t ON t.id = s.token_id
     WHERE s.id = $1 AND s.digest = $2
"""
_SEE = "UPDATE curfew.sign_ins SET seen_at = $2 WHERE id = $1 AND seen_at < $2"
_END = "UPDATE curfew.sign_ins SET ended_at = $2 WHERE id = $1 AND ended_at IS NULL"
_END_ALL = """
    UPDATE curfew.sign_ins SET ended_at = $2
     WHERE person_id = $1 AND ended_at IS NULL AND expires_at > $2
    RETURNING id
"""
_SPEND = "INSERT INTO curfew.spent_proofs (digest, until) VALUES ($1, $2) ON CONFLICT DO NOTHING"
_FORGET = "DELETE FROM curfew.spent_proofs WHERE until < $1"


async def insert(db: Db, sign_in: SignIn, digest: bytes) -> None:
    await db.execute(
        _INSERT,
        sign_in.id,
        sign_in.person_id,
        sign_in.provider,
        sign_in.token_id,
        digest,
        sign_in.created_at,
        sign_in.expires_at,
        sign_in.seen_at,
    )


async def fetch(
    db: Db, sign_in_id: str, digest: bytes
) -> tuple[SignIn, frozenset[str] | None] | None:
    """Return the sign-in whose secret part has this digest, and what it is good for."""
    row = await db.fetchrow(_FETCH, sign_in_id, digest)
    if row is None:
        return None
    values = dict(row)
    scopes = values.pop("scopes")
    return SignIn(**values), None if scopes is None else frozenset(scopes)


async def see(db: Db, sign_in_id: str, now: datetime) -> None:
    await db.execute(_SEE, sign_in_id, now)


async def end(db: Db, sign_in_id: str, now: datetime) -> bool:
    """Return whether there was a sign-in to end."""
    return bool(await db.execute(_END, sign_in_id, now) == "UPDATE 1")


async def end_all(db: Db, person_id: str, now: datetime) -> list[str]:
    """End every sign-in of the person that might still be good; return their ids."""
    return [row["id"] for row in await db.fetch(_END_ALL, person_id, now)]


async def spend(db: Db, digest: bytes, until: datetime, now: datetime) -> bool:
    """Return whether this proof is used for the first time. It is remembered until then."""
    await db.execute(_FORGET, now)
    return bool(await db.execute(_SPEND, digest, until) == "INSERT 0 1")
