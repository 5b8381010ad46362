"""Every statement on table logins, and on the view through which proxies read it."""

from dataclasses import dataclass, field
from datetime import datetime

import asyncpg

from broker.domain.credential import Verifier
from broker.domain.grant import Grant
from broker.ledger import grants
from broker.ledger.connection import Db

_SELECT = "SELECT grant_id, name, oid, connection_limit, stored_key FROM curfew.logins"
_INSERT = "INSERT INTO curfew.logins (grant_id, name, connection_limit) VALUES ($1, $2, $3)"
_SAVE_OID = "UPDATE curfew.logins SET oid = $2 WHERE grant_id = $1"
_SAVE_VERIFIER = """
    UPDATE curfew.logins
       SET key_id = $2, salt = $3, iterations = $4, stored_key = $5, server_key = $6,
           handed_out_at = NULL, rejected_at = NULL
     WHERE grant_id = $1
"""
_SAVE_HANDED_OUT = "UPDATE curfew.logins SET handed_out_at = $2 WHERE grant_id = $1"
_FOR_PROXY = """
    SELECT grant_id AS id, request_id, person_id, email, person_name, target, database, role,
           state, granted_at, expires_at, end_reason, ended_by, end_comment, ended_at, attempts,
           next_attempt_at, last_error,
           name, key_id, salt, iterations, stored_key, server_key
      FROM curfew.proxy_logins
"""
# The key is compared because a secret handed out meanwhile has already replaced it, which is no
# reason for alarm.
_MARK_REJECTED = """
    UPDATE curfew.logins SET rejected_at = $3 WHERE grant_id = $1 AND stored_key = $2
"""


@dataclass(frozen=True, slots=True)
class Login:
    """The ephemeral role of a grant. `oid` is unknown until the target has made it.

    `stored_key` is that of the newest secret, or None before the first one.
    """

    grant_id: str
    name: str
    oid: int | None
    connection_limit: int
    stored_key: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class ProxyLogin:
    """What a proxy knows of a login: its grant, and how to verify the user's secret."""

    name: str
    grant: Grant
    key_id: str
    verifier: Verifier


async def insert(db: Db, login: Login) -> None:
    await db.execute(_INSERT, login.grant_id, login.name, login.connection_limit)


async def fetch(db: Db, grant_id: str) -> Login | None:
    row = await db.fetchrow(_SELECT + " WHERE grant_id = $1", grant_id)
    return Login(**dict(row)) if row else None


async def lock(db: Db, grant_id: str) -> Login | None:
    """Return the login; no other broker touches it on the target until the transaction ends."""
    row = await db.fetchrow(_SELECT + " WHERE grant_id = $1 FOR UPDATE", grant_id)
    return Login(**dict(row)) if row else None


async def lock_if_free(db: Db, grant_id: str) -> Login | None:
    """Like `lock`, but returns None at once while somebody else works on the login."""
    row = await db.fetchrow(_SELECT + " WHERE grant_id = $1 FOR UPDATE SKIP LOCKED", grant_id)
    return Login(**dict(row)) if row else None


async def save_oid(db: Db, grant_id: str, oid: int) -> None:
    await db.execute(_SAVE_OID, grant_id, oid)


async def save_verifier(db: Db, grant_id: str, *, key_id: str, verifier: Verifier) -> None:
    await db.execute(
        _SAVE_VERIFIER,
        grant_id,
        key_id,
        verifier.salt,
        verifier.iterations,
        verifier.stored_key,
        verifier.server_key,
    )


async def save_handed_out(db: Db, grant_id: str, now: datetime) -> None:
    await db.execute(_SAVE_HANDED_OUT, grant_id, now)


async def fetch_for_proxy(db: Db, name: str) -> ProxyLogin | None:
    row = await db.fetchrow(_FOR_PROXY + " WHERE name = $1", name)
    return _proxy_login(row) if row else None


async def fetch_grants_for_proxy(db: Db, grant_ids: list[str]) -> list[Grant]:
    rows = await db.fetch(_FOR_PROXY + " WHERE grant_id = ANY ($1)", grant_ids)
    return [grants.from_row(row) for row in rows]


async def mark_rejected(db: Db, grant_id: str, stored_key: bytes, now: datetime) -> None:
    """Record that the target refused the keys derived for this very secret."""
    await db.execute(_MARK_REJECTED, grant_id, stored_key, now)


def _proxy_login(row: asyncpg.Record) -> ProxyLogin:
    return ProxyLogin(
        name=row["name"],
        grant=grants.from_row(row),
        key_id=row["key_id"],
        verifier=Verifier(row["salt"], row["iterations"], row["stored_key"], row["server_key"]),
    )
