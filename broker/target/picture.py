"""Takes pictures of a target's catalog.

Each query is one round trip, takes no lock that anybody else could hold up, and needs no right but
to connect. Not to be seen this way: passwords, unless bootstrap has made the function that gives
their marks; options of user mappings; connection strings of subscriptions; contents, of tables as
of large objects; privileges on parameters; who withdrew what from PUBLIC on functions and types.
"""

from datetime import datetime

import asyncpg

from broker.domain.login_plan import PREFIX
from broker.domain.picture import FindingKind, Item, Picture, merge
from broker.target.connect import AdminDb, Target
from broker.target.picture_database_sql import DATABASE
from broker.target.picture_sql import SERVER

_TRIES = 3
_GONE_MEANWHILE = "XX000"  # cache lookup failed: dropped between the scan and naming it
# A role's setting or name from a database with another encoding, or anything from one with none,
# may be no UTF-8. Nobody must be able to keep a grant from ending with that.
_NOT_UTF_8 = (UnicodeDecodeError, asyncpg.CharacterNotInRepertoireError)

# As the admin role we run only what a superuser made: anybody else's function of that name, in a
# schema of that name, would act with our rights.
_MARKS_READABLE = """
    SELECT count(*) = 1
      FROM pg_proc p
      JOIN pg_namespace n ON n.oid = p.pronamespace
      JOIN pg_roles o ON o.oid = p.proowner
      JOIN pg_roles s ON s.oid = n.nspowner
     WHERE n.nspname = 'curfew' AND p.proname = 'password_marks' AND p.pronargs = 0
       AND p.prosecdef AND o.rolsuper AND s.rolsuper
       AND has_schema_privilege(n.oid, 'USAGE') AND has_function_privilege(p.oid, 'EXECUTE')
"""
_MARKS = """
    SELECT quote_ident(m.name) AS name, m.name AS role, m.kind, m.mark
      FROM curfew.password_marks() AS m(name, kind, mark)
"""


async def take_picture(target: Target, *databases: str) -> Picture:
    """Return a picture of the server and of these databases.

    Raises TargetUnreachable or TargetRefused.
    """
    async with target.admin() as db:
        pictures = [await picture_of_server(db)]
        here = await db.fetchval("SELECT current_database()")
        if here in databases:
            pictures.append(await picture_of_database(db))
    for database in sorted({*databases} - {here}):
        async with target.admin_in(database) as db:
            pictures.append(await picture_of_database(db))
    return merge(*pictures)


async def picture_of_server(db: AdminDb) -> Picture:
    """Return what belongs to no database: roles, memberships, settings, databases, passwords.

    Passwords can be seen only from the database that bootstrap was run in, the target's own.
    """
    try:
        header, *rows = await _rows(db, SERVER)
    except _NOT_UTF_8:
        return await _picture_of_nothing(db)
    items = [_item(row, None) for row in rows]
    readable = await db.fetchval(_MARKS_READABLE)
    if readable:
        items += [_password(row) for row in await db.fetch(_MARKS)]
    unseen = frozenset() if readable else frozenset({FindingKind.PASSWORD})
    return merge(Picture(_moment(header), tuple(items), unseen=unseen))


async def picture_of_database(db: AdminDb) -> Picture:
    """Return what the database that `db` is connected to holds."""
    try:
        header, *rows = await _rows(db, DATABASE)
    except _NOT_UTF_8:
        return await _picture_of_nothing(db)
    database = str(header["identity"])
    unseen = frozenset(FindingKind(row["identity"]) for row in rows if row["kind"] == "unseen")
    items = tuple(_item(row, database) for row in rows if row["kind"] != "unseen")
    return merge(Picture(_moment(header), items, frozenset({database}), unseen))


async def _rows(db: AdminDb, query: str) -> list[asyncpg.Record]:
    for _ in range(_TRIES - 1):
        try:
            return await db.fetch(query)
        except asyncpg.PostgresError as error:
            if error.sqlstate != _GONE_MEANWHILE:
                raise
    return await db.fetch(query)


async def _picture_of_nothing(db: AdminDb) -> Picture:
    now = await db.fetchval("SELECT clock_timestamp()")
    return Picture(now, (), unseen=frozenset(FindingKind))


def _moment(header: asyncpg.Record) -> datetime:
    return datetime.fromisoformat(header["details"])


def _item(row: asyncpg.Record, database: str | None) -> Item:
    kind = FindingKind(row["kind"])
    roles = row["roles"]
    if kind is not FindingKind.MEMBERSHIP:
        roles = (role for role in roles if role.startswith(PREFIX))
    return Item(
        kind=kind,
        database=database,
        identity=row["identity"],
        owner=row["owner"],
        details=row["details"] or "",
        digest=row["digest"],
        roles=tuple(roles),
        undo=tuple(row["undo"]),
    )


def _password(row: asyncpg.Record) -> Item:
    return Item(
        kind=FindingKind.PASSWORD,
        database=None,
        identity=f"password of {row['name']}",
        details=row["kind"],
        digest=row["mark"] or "",
        roles=tuple(role for role in (row["role"],) if role.startswith(PREFIX)),
    )
