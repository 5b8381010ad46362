"""Asks a server who is in which role. Runs on 13 to 18, as anybody."""

from collections.abc import Callable, Sequence
from datetime import datetime

import asyncpg

from broker.domain.login_plan import PREFIX, read_mark
from broker.domain.role.membership import KnownRole, Link, Roster
from broker.target.connect import Target
from broker.target.role_look import attributes_of

_MOST = 20_000  # memberships, and roles
_STATEMENT_TIMEOUT = "8s"
# Up to 15 whether somebody inherits is their own attribute, and whoever is a member may SET ROLE.
_LINKS = """
    SELECT pg_get_userbyid(m.roleid)::text AS group, r.rolname::text AS member,
           pg_get_userbyid(m.grantor)::text AS grantor,
           coalesce((to_jsonb(m) ->> 'inherit_option')::boolean, r.rolinherit) AS inherits,
           coalesce((to_jsonb(m) ->> 'set_option')::boolean, true) AS sets,
           m.admin_option AS admin
      FROM pg_auth_members m JOIN pg_roles r ON r.oid = m.member
     ORDER BY 1, 2, 3 LIMIT $1
"""
# $1: catalog roles, $2: the prefix of our logins, whose comments say whose they are.
_ROLES = """
    SELECT r.rolname::text AS name, r.rolcanlogin, r.rolsuper, r.rolcreaterole, r.rolcreatedb,
           r.rolreplication, r.rolbypassrls, r.oid < 16384 AND r.oid <> 10 AS predefined,
           CASE WHEN isfinite(r.rolvaliduntil) THEN r.rolvaliduntil END AS valid_until,
           CASE WHEN starts_with(r.rolname::text, $2) THEN shobj_description(r.oid, 'pg_authid') END
               AS comment
      FROM pg_roles r
     WHERE r.rolsuper OR r.rolname = ANY ($1::text[])
        OR r.oid IN (SELECT roleid FROM pg_auth_members)
        OR r.oid IN (SELECT member FROM pg_auth_members)
     ORDER BY r.rolname = ANY ($1::text[]) DESC, r.rolsuper DESC, 1 LIMIT $3
"""


async def fetch_roster(
    target: Target, catalog: Sequence[str], now: Callable[[], datetime]
) -> Roster:
    """Return the roles of the server that are in others or have others in them, with the catalog's
    and superusers. Raises TargetUnreachable or TargetRefused."""
    async with target.admin_in(target.address.database) as db, db.transaction(readonly=True):
        await db.execute(f"SET LOCAL statement_timeout = '{_STATEMENT_TIMEOUT}'")
        links = await db.fetch(_LINKS, _MOST + 1)
        roles = await db.fetch(_ROLES, list(catalog), PREFIX, _MOST + 1)
        return Roster(
            roles={row["name"]: _role(row) for row in roles[:_MOST]},
            links=tuple(Link(**dict(row)) for row in links[:_MOST]),
            looked_at=now(),
            complete=len(links) <= _MOST and len(roles) <= _MOST,
        )


def _role(row: asyncpg.Record) -> KnownRole:
    return KnownRole(
        name=row["name"],
        can_login=row["rolcanlogin"],
        attributes=attributes_of(row),
        valid_until=row["valid_until"],
        predefined=row["predefined"],
        mark=read_mark(row["comment"]),
    )
