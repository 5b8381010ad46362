"""Finds what looks like a login of pgcurfew on a target, and tells ours from the rest: by the names
*and* by the marks in their comments, so that nobody else's role is ever taken for one."""

from collections.abc import Iterable
from dataclasses import dataclass

from broker.domain.login_plan import PREFIX, LoginMark, read_mark
from broker.target.connect import Target

_PREFIXED = """
    SELECT oid, rolname, shobj_description(oid, 'pg_authid') AS comment
      FROM pg_roles WHERE starts_with(rolname, $1) ORDER BY rolname
"""
_THERE = "SELECT oid FROM pg_roles WHERE oid = ANY ($1::oid[])"


@dataclass(frozen=True, slots=True)
class FoundLogin:
    """A role whose name begins as our logins' do. Without a mark, somebody made it by hand."""

    oid: int
    name: str
    mark: LoginMark | None


async def find_logins(target: Target) -> list[FoundLogin]:
    """Return every role on the target that may be a login of ours or of another pgcurfew."""
    async with target.admin() as db:
        rows = await db.fetch(_PREFIXED, PREFIX)
    return [FoundLogin(int(row["oid"]), row["rolname"], read_mark(row["comment"])) for row in rows]


async def find_missing(target: Target, oids: Iterable[int]) -> set[int]:
    """Return which of these roles the target does not have."""
    wanted = set(oids)
    async with target.admin() as db:
        rows = await db.fetch(_THERE, list(wanted))
    return wanted - {int(row["oid"]) for row in rows}
