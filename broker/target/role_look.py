"""Looks at what roles may do in a database, as broker.domain.role understands it.

A look takes one connection of its own, so that it never holds up a grant, and is bounded: in time
by the server, and in memory by how much of an answer is taken.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import TypeAlias

import asyncpg

from broker.domain.login_plan import PREFIX
from broker.domain.role.facts import (
    Ability,
    Above,
    Alike,
    Attribute,
    Future,
    Look,
    RoleOnServer,
    SensitiveAlike,
    StandingMember,
    Thing,
)
from broker.domain.role.sensitive import tags_pattern, words_pattern
from broker.target import role_sql as ask
from broker.target.connect import AdminDb, Target, server_version

# A look at so many files is quick; beyond, what VACUUM counted last must do.
_MOST_MEASURED = 2000
# A look must not hang on somebody's lock; sizes are then as VACUUM counted them.
_LOCK_TIMEOUT = "200ms"
_STATEMENT_TIMEOUT = "8s"
_LOCKED = asyncpg.LockNotAvailableError
_ATTRIBUTES = {
    "rolsuper": Attribute.SUPERUSER,
    "rolcreaterole": Attribute.CREATEROLE,
    "rolcreatedb": Attribute.CREATEDB,
    "rolreplication": Attribute.REPLICATION,
    "rolbypassrls": Attribute.BYPASSRLS,
}
_Row: TypeAlias = asyncpg.Record


async def look_at_roles(
    target: Target,
    database: str,
    roles: Sequence[str],
    tags: Sequence[str],
    now: Callable[[], datetime],
) -> Look:
    """Return what these roles may do in the database; those that are not there are left out.

    `tags` name sensitive columns. Raises TargetUnreachable or TargetRefused.
    """
    async with target.admin_in(database) as db, db.transaction(readonly=True):
        await db.execute(
            f"SET LOCAL lock_timeout = '{_LOCK_TIMEOUT}';"
            f"SET LOCAL statement_timeout = '{_STATEMENT_TIMEOUT}'"
        )
        found = await db.fetch(ask.ROLES, list(roles))
        oids = [row["oid"] for row in found]
        things = [
            await _relations(db, oids),
            *[
                await db.fetch(each, oids)
                for each in (ask.COLUMNS, ask.FUNCTIONS, ask.SCHEMAS, ask.OTHERS)
            ],
        ]
        sensitive = await db.fetch(ask.SENSITIVE, oids, tags_pattern(tags), words_pattern())
        answers = (*things, sensitive)
        return Look(
            database=database,
            server_version=server_version(db),
            looked_at=now(),
            roles=await _roles(target, db, found),
            alike=tuple(_alike(row) for rows in things for row in rows[: ask.MOST_KINDS]),
            sensitive=tuple(_sensitive(row) for row in sensitive[: ask.MOST_KINDS]),
            complete=all(len(rows) <= ask.MOST_KINDS for rows in answers),
        )


async def _relations(db: AdminDb, oids: Sequence[int]) -> list[asyncpg.Record]:
    major = server_version(db) // 10000
    if await db.fetchval(ask.COUNT_TABLES) <= _MOST_MEASURED:
        try:
            async with db.transaction():
                return await db.fetch(ask.relations(major, measured=True), oids)
        except _LOCKED:
            pass
    return await db.fetch(ask.relations(major, measured=False), oids)


async def _roles(target: Target, db: AdminDb, found: Sequence[_Row]) -> tuple[RoleOnServer, ...]:
    oids = [row["oid"] for row in found]
    login = target.admin_login
    above = _by_number(await db.fetch(ask.ABOVE, oids))
    below = _by_number(await db.fetch(ask.LOGIN_MEMBERS, oids, [login.user, login.role], PREFIX))
    futures = _by_number(await db.fetch(ask.FUTURES, oids))
    return tuple(
        RoleOnServer(
            name=row["name"],
            attributes=attributes_of(row),
            above=tuple(_above(each) for each in above[n]),
            members=tuple(_member(each) for each in below[n]),
            member_count=below[n][0]["in_all"] if below[n] else 0,
            futures=tuple(_future(each) for each in futures[n]),
        )
        for n, row in enumerate(found, 1)
    )


def _by_number(rows: Sequence[_Row]) -> Mapping[int, list[_Row]]:
    found: dict[int, list[_Row]] = defaultdict(list)
    for row in rows:
        found[row["n"]].append(row)
    return found


def _abilities(row: _Row) -> tuple[Ability, ...]:
    return tuple(map(Ability, row["abilities"]))


def _alike(row: _Row) -> Alike:
    more = {
        name: row[name]
        for name in ("rows", "rows_unknown", "size", "size_unknown", "row_security")
        if name in row.keys()  # noqa: SIM118  (a Record's `in` looks at its values)
    }
    return Alike(
        thing=Thing(row["thing"]),
        schema=row["schema"],
        abilities=_abilities(row),
        count=row["count"],
        names=tuple(row["names"]),
        **more,
    )


def _sensitive(row: _Row) -> SensitiveAlike:
    return SensitiveAlike(
        abilities=_abilities(row), count=row["count"], names=tuple(row["names"]), why=row["why"]
    )


def attributes_of(row: _Row) -> frozenset[Attribute]:
    return frozenset(attribute for column, attribute in _ATTRIBUTES.items() if row[column])


def _above(row: _Row) -> Above:
    return Above(
        name=row["name"],
        direct=row["direct"],
        inherits=row["inherits"],
        sets=row["sets"],
        admin=row["admin"],
        attributes=attributes_of(row),
        predefined=row["predefined"],
    )


def _member(row: _Row) -> StandingMember:
    return StandingMember(
        name=row["name"],
        direct=row["direct"],
        superuser=row["superuser"],
        valid_until=row["valid_until"],
    )


def _future(row: _Row) -> Future:
    return Future(
        maker=row["maker"],
        schema=row["schema"],
        things=row["things"],
        privileges=tuple(row["privileges"]),
    )
