"""Gives a catalog role to a role that a person has, for a time, and takes it back.

Never takes away what we did not give. Up to 15 there is one row per role and member, whoever
granted it; from 16 on one per grantor, and a REVOKE takes only our own.
https://www.postgresql.org/docs/current/catalog-pg-auth-members.html
"""

from dataclasses import dataclass, field
from datetime import UTC, datetime

import asyncpg

from broker.domain.errors import TargetRefused
from broker.domain.receipt import Line, Step
from broker.domain.role_ddl import PER_MEMBERSHIP_OPTIONS
from broker.target.blocked import RemovalBlocked, blocked_by
from broker.target.connect import AdminDb, Target, Turn, server_version

_MEMBER = "SELECT oid, rolcanlogin, rolsuper FROM pg_roles WHERE rolname = $1"
_HELD = """
    SELECT coalesce(g.rolname, 'a role that is gone') AS grantor
      FROM pg_auth_members m
      LEFT JOIN pg_roles g ON g.oid = m.grantor
     WHERE m.roleid = (SELECT oid FROM pg_roles WHERE rolname = $1)
       AND m.member = (SELECT oid FROM pg_roles WHERE rolname = $2)
"""
_OURS = """
    SELECT count(*) FROM pg_auth_members m
     WHERE m.roleid = (SELECT oid FROM pg_roles WHERE rolname = $1)
       AND m.member = (SELECT oid FROM pg_roles WHERE rolname = $2)
       AND (current_setting('server_version_num')::int < 160000
            OR m.grantor = (SELECT oid FROM pg_roles WHERE rolname = current_user))
"""
# Up to 15, and where it may SET ROLE, a session may have become the role, which no REVOKE undoes.
# Else only one that is in the middle of something still acts on what it had; which those are,
# PostgreSQL tells pg_read_all_stats, and without that all are ended.
_TERMINATE = """
    SELECT pid, pg_terminate_backend(pid) FROM pg_stat_activity
     WHERE usesysid = (SELECT oid FROM pg_roles WHERE rolname = $1)
       AND ($2 OR state IS DISTINCT FROM 'idle')
"""


@dataclass(frozen=True, slots=True)
class Given:
    """A role, and the role that is its member while the grant lives."""

    role: str
    member: str
    inherit: bool


@dataclass(slots=True)
class TakenBack:
    steps: list[Step] = field(default_factory=list)
    sessions_ended: int = 0


async def require_absent(target: Target, given: Given) -> None:
    """Raise TargetRefused unless the member exists, may log in, and does not have the role yet."""
    async with target.admin() as db:
        member = await db.fetchrow(_MEMBER, given.member)
        if member is None:
            raise TargetRefused(target.name, "42704", f"role {given.member} does not exist")
        if member["rolsuper"]:
            raise TargetRefused(
                target.name, "42501", f"role {given.member} is a superuser and needs no membership"
            )
        if not member["rolcanlogin"]:
            raise TargetRefused(target.name, "22023", f"role {given.member} cannot log in")
        held = await db.fetchrow(_HELD, given.role, given.member)
    if held is not None:
        raise TargetRefused(
            target.name,
            "42710",
            f"role {given.member} is a member of {given.role} already, by {held['grantor']}: "
            "a grant would add nothing, and its end must not take that away",
        )


async def give(target: Target, given: Given, turn: Turn) -> int:
    """Make the member a member, and return its OID. Safe to run again."""
    async with target.admin() as db:
        statement = target.ddl(db).grant_membership(given.role, given.member, inherit=given.inherit)
        async with turn():
            await db.execute(statement)
        member = await db.fetchrow(_MEMBER, given.member)
        if member is None:
            raise TargetRefused(target.name, "42704", f"role {given.member} does not exist")
        return int(member["oid"])


async def take_back(target: Target, given: Given, turn: Turn) -> TakenBack:
    """Revoke the membership, and end the sessions that may still act on it.

    Raises TargetUnreachable, or RemovalBlocked when it must be tried again.
    """
    done = TakenBack()
    async with target.admin() as db:
        if await db.fetchval(_OURS, given.role, given.member):
            statement = target.ddl(db).revoke_membership(given.role, given.member)
            try:
                async with turn():
                    await db.execute(statement)
            except asyncpg.PostgresError as error:
                raise blocked_by(target.name, error, statement, target.address.database) from error
            done.steps.append(Step(datetime.now(UTC), target.address.database, statement))
        done.sessions_ended = await _end_sessions(target, db, given)
    return done


async def read_lines(target: Target, given: Given) -> list[Line]:
    """Return what the target says is left of the membership."""
    async with target.admin() as db:
        count = await db.fetchval(_OURS, given.role, given.member)
        return [
            Line(
                claim=f"{given.member} is no member of {given.role} by this grant",
                count=count,
                question=_OURS,
                read_at=datetime.now(UTC),
            )
        ]


async def _end_sessions(target: Target, db: AdminDb, given: Given) -> int:
    old = server_version(db) < PER_MEMBERSHIP_OPTIONS
    try:
        async with db.transaction():
            if old:
                await db.execute("SET LOCAL ROLE pg_signal_backend")
            rows = await db.fetch(_TERMINATE, given.member, old or not given.inherit)
    except asyncpg.InsufficientPrivilegeError as error:
        raise RemovalBlocked(
            target.name,
            f"the sessions of {given.member} cannot be ended: GRANT pg_signal_backend TO "
            f"{target.admin_login.role} (pgcurfew doctor {target.name})",
        ) from error
    return len(rows)
