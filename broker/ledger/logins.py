"""Every statement on table logins, and on the view through which proxies read it."""

from dataclasses import dataclass, field
from datetime import datetime

import asyncpg

from broker.domain.credential import Verifier
from broker.domain.grant import Grant
from broker.domain.statement.budget import NOTHING, Used
from broker.ledger import grants
from broker.ledger.connection import Db

_SELECT = """
    SELECT grant_id, name, oid, connection_limit, stable_name, stored_key FROM curfew.logins
"""
_INSERT = """
    INSERT INTO curfew.logins (grant_id, name, connection_limit, stable_name)
    SELECT g.id, $2, $3, concat_ws('.', p.handle, g.target, g.role)
      FROM curfew.grants g JOIN curfew.people p ON p.id = g.person_id
     WHERE g.id = $1
"""
_SAVE_OID = "UPDATE curfew.logins SET oid = $2 WHERE grant_id = $1"
_SAVE_VERIFIER = """
    UPDATE curfew.logins l
       SET key_id = $4, salt = $5, iterations = $6, stored_key = $7, server_key = $8,
           rejected_at = NULL
      FROM curfew.grants g
     WHERE l.grant_id = $1 AND g.id = l.grant_id AND g.person_id = $2
       AND g.state = 'active' AND g.expires_at > $3 AND l.oid IS NOT NULL AND NOT g.sealed
"""
_MADE = """
    SELECT l.grant_id, l.name, l.oid, l.connection_limit, l.stable_name, l.stored_key
      FROM curfew.logins l JOIN curfew.grants g ON g.id = l.grant_id
     WHERE g.target = $1 AND (g.state <> 'ended' OR g.ended_at >= $2)
"""
_OF_GRANTS = "SELECT * FROM curfew.proxy_logins WHERE id = ANY ($1)"
# A login by its own name, or by the stable one: then living ones first, those for the database that
# the client names before others, and the newest of what is left. Nobody comes in by the name of a
# sealed one: a ticket's secret opens nothing without the ticket, and its clock.
_BY_USER = """
    SELECT * FROM (SELECT * FROM curfew.proxy_logins WHERE name = $1
                   UNION ALL
                   SELECT * FROM curfew.proxy_logins WHERE stable_name = $1) AS found
     WHERE NOT sealed
     ORDER BY name = $1 DESC, state = 'active' DESC, database = $2 DESC, id DESC LIMIT $3
"""
# The key is compared because a secret handed out meanwhile has already replaced it, which is no
# reason for alarm.
_MARK_REJECTED = """
    UPDATE curfew.logins SET rejected_at = $3 WHERE grant_id = $1 AND stored_key = $2
"""
# Of a sealed one the ledger knows no key, and there is never another.
_MARK_SEALED_REJECTED = """
    UPDATE curfew.logins SET rejected_at = $2 WHERE grant_id = $1 AND stored_key IS NULL
"""


@dataclass(frozen=True, slots=True)
class Login:
    """The ephemeral role of a grant. `oid` is unknown until the target has made it.

    `stable_name` leads to the person's living grant of the same role, whichever that is.
    `stored_key` is that of the newest secret, or None before the first one.
    """

    grant_id: str
    name: str
    oid: int | None
    connection_limit: int
    stable_name: str
    stored_key: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class ProxyLogin:
    """What a proxy knows of a login: its grant, how to verify the user's secret, and what the
    grant's sessions have used of its budgets."""

    name: str
    connection_limit: int
    grant: Grant
    key_id: str
    verifier: Verifier
    used: Used = NOTHING


async def insert(db: Db, grant_id: str, *, name: str, connection_limit: int) -> None:
    await db.execute(_INSERT, grant_id, name, connection_limit)


async def fetch(db: Db, grant_id: str) -> Login | None:
    row = await db.fetchrow(_SELECT + " WHERE grant_id = $1", grant_id)
    return Login(**dict(row)) if row else None


async def fetch_made(db: Db, target: str, since: datetime) -> list[Login]:
    """Return the logins of grants on this target that had not ended by `since`."""
    return [Login(**dict(row)) for row in await db.fetch(_MADE, target, since)]


async def lock(db: Db, grant_id: str) -> Login | None:
    """Return the login; no other broker touches it on the target until the transaction ends."""
    row = await db.fetchrow(_SELECT + " WHERE grant_id = $1 FOR UPDATE", grant_id)
    return Login(**dict(row)) if row else None


async def lock_if_free(db: Db, grant_id: str) -> Login | None:
    """Like `lock`, but returns None at once while somebody else works on the login, or if the
    grant has none."""
    row = await db.fetchrow(_SELECT + " WHERE grant_id = $1 FOR UPDATE SKIP LOCKED", grant_id)
    return Login(**dict(row)) if row else None


async def save_oid(db: Db, grant_id: str, oid: int) -> None:
    await db.execute(_SAVE_OID, grant_id, oid)


async def save_verifier(
    db: Db, grant_id: str, person_id: str, *, key_id: str, verifier: Verifier, now: datetime
) -> bool:
    """Let the person's newest secret be the one of this verifier. Returns False if the grant is
    not theirs, or not usable."""
    status = await db.execute(
        _SAVE_VERIFIER,
        grant_id,
        person_id,
        now,
        key_id,
        verifier.salt,
        verifier.iterations,
        verifier.stored_key,
        verifier.server_key,
    )
    return bool(status == "UPDATE 1")


async def fetch_for_proxy(db: Db, user: str, database: str, limit: int) -> list[ProxyLogin]:
    """Return the logins that a client may mean by `user` and `database`, the likeliest first."""
    return [_proxy_login(row) for row in await db.fetch(_BY_USER, user, database, limit)]


async def fetch_grants_for_proxy(db: Db, grant_ids: list[str]) -> list[Grant]:
    return [grants.from_row(row) for row in await db.fetch(_OF_GRANTS, grant_ids)]


async def mark_rejected(db: Db, grant_id: str, stored_key: bytes, now: datetime) -> None:
    """Record that the target refused the keys derived for this very secret."""
    await db.execute(_MARK_REJECTED, grant_id, stored_key, now)


async def mark_sealed_rejected(db: Db, grant_id: str, now: datetime) -> None:
    """Record that the target refused the keys derived for a sealed ticket."""
    await db.execute(_MARK_SEALED_REJECTED, grant_id, now)


def _proxy_login(row: asyncpg.Record) -> ProxyLogin:
    return ProxyLogin(
        name=row["name"],
        connection_limit=row["connection_limit"],
        grant=grants.from_row(row),
        key_id=row["key_id"],
        verifier=Verifier(row["salt"], row["iterations"], row["stored_key"], row["server_key"]),
        used=grants.used_of(row),
    )
