"""Finds the logins that pgcurfew made on a target: by their names *and* by the mark in their
comments, so that nobody else's role is ever taken for one."""

from dataclasses import dataclass

from broker.domain.login_plan import PREFIX, read_mark
from broker.target.connect import Target

_MARKED = """
    SELECT oid, rolname, shobj_description(oid, 'pg_authid') AS comment
      FROM pg_roles WHERE starts_with(rolname, $1)
"""


@dataclass(frozen=True, slots=True)
class FoundLogin:
    oid: int
    name: str
    grant_id: str


async def find_logins(target: Target, installation: str) -> list[FoundLogin]:
    """Return every login on the target that carries this installation's mark."""
    async with target.admin() as db:
        rows = await db.fetch(_MARKED, PREFIX)
    found = []
    for row in rows:
        mark = read_mark(row["comment"])
        if mark is not None and mark.installation == installation:
            found.append(FoundLogin(int(row["oid"]), row["rolname"], mark.grant_id))
    return found


async def ping(target: Target) -> str:
    """Return the server's version. Raises TargetUnreachable or TargetRefused."""
    async with target.admin() as db:
        return str(await db.fetchval("SELECT current_setting('server_version')"))
