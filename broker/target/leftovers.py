"""Finds the logins that pgcurfew made on a target, whatever became of their names."""

from dataclasses import dataclass

from broker.domain.login_plan import read_mark
from broker.target.connect import Target

_MARKED = """
    SELECT oid, rolname, shobj_description(oid, 'pg_authid') AS comment
      FROM pg_roles WHERE shobj_description(oid, 'pg_authid') LIKE '{"pgcurfew"%'
"""


@dataclass(frozen=True, slots=True)
class FoundLogin:
    oid: int
    name: str
    grant_id: str


async def find_logins(target: Target, installation: str) -> list[FoundLogin]:
    """Return every login on the target that carries this installation's mark."""
    async with target.admin() as db:
        rows = await db.fetch(_MARKED)
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
