"""Removes a login so that nothing is left: no session, no role, no object.

The steps, each safe to repeat after a crash at any point:

    disable ─► end sessions ─► roll back prepared transactions ─► give away what it owns
            ─► revoke memberships ─► drop ─► verify

Disable comes first: from then on no session can begin, so two empty scans prove that none is left.
Sessions end before any step that takes locks, which an open transaction would hold. Dropping comes
last: DROP ROLE succeeds under an open session, which would live on as a ghost.

The login acts as itself where PostgreSQL wants the owner (SET LOCAL ROLE), so the admin role needs
no rights on anybody's data.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import asyncpg

from broker.domain.errors import TargetRefused
from broker.domain.login_plan import (
    PER_MEMBERSHIP_OPTIONS,
    clean_statements,
    disable_statement,
    lend_group_statements,
    read_mark,
)
from broker.domain.sqltext import ident, literal
from broker.target.connect import AdminDb, Target
from broker.target.login import server_version

_DEADLINE_S = 20.0
_GUARD_S = 0.2  # between the two empty scans: a backend may be starting up between them
_POLL_S = 0.02
_TRIES = 4
_FIRST_BACKOFF_S = 0.1

# Somebody else holds a lock, or changed the same catalog row at the same moment. XX000 is what
# PostgreSQL answers for "tuple concurrently updated" and a role dropped under our hands.
_RETRYABLE = ("55P03", "40P01", "40001", "57014", "XX000")
_GONE = "42704"

_BY_OID = """
    SELECT rolname, shobj_description(oid, 'pg_authid') AS comment FROM pg_roles WHERE oid = $1
"""
_BY_NAME = """
    SELECT oid, shobj_description(oid, 'pg_authid') AS comment FROM pg_roles WHERE rolname = $1
"""
_TERMINATE = """
    SELECT pid, wait_event_type, pg_terminate_backend(pid) AS signalled
      FROM pg_stat_activity WHERE usesysid = $1
"""
_PREPARED = "SELECT gid, database FROM pg_prepared_xacts WHERE owner = $1"
# pg_shdepend knows every database of the server, and is readable by everyone.
_DATABASES = """
    SELECT DISTINCT coalesce(d.datname, current_database()) AS name
      FROM pg_shdepend s LEFT JOIN pg_database d ON d.oid = s.dbid
     WHERE s.refclassid = 'pg_authid'::regclass AND s.refobjid = $1
       AND s.classid <> 'pg_auth_members'::regclass
     ORDER BY 1
"""
_GROUPS = """
    SELECT r.rolname FROM pg_auth_members m JOIN pg_roles r ON r.oid = m.roleid
     WHERE m.member = $1
"""
_LEFT = """
    SELECT (SELECT count(*) FROM pg_roles WHERE oid = $1) AS roles,
           (SELECT count(*) FROM pg_stat_activity WHERE usesysid = $1) AS sessions,
           (SELECT count(*) FROM pg_auth_members WHERE $1 IN (roleid, member)) AS memberships,
           (SELECT count(*) FROM pg_shdepend
             WHERE refclassid = 'pg_authid'::regclass AND refobjid = $1
               AND classid <> 'pg_auth_members'::regclass) AS objects,
           (SELECT count(*) FROM pg_prepared_xacts WHERE owner = $2) AS prepared_transactions,
           clock_timestamp() AS checked_at,
           current_setting('server_version') AS server_version
"""


@dataclass(frozen=True, slots=True)
class Doomed:
    """The login to remove. `oid` is None if a crash lost it before the ledger knew.

    `group` is the catalog role it was granted, which inherits all it owns; None if the ledger does
    not know: then the login must own nothing, or stays for a human to look at.
    """

    name: str
    oid: int | None
    group: str | None
    installation: str
    grant_id: str


class RemovalBlocked(TargetRefused):
    """Something holds the login: a backend that does not die, a lock, an object of another's."""

    code = "removal-blocked"

    def __init__(self, target: str, why: str, sqlstate: str = "55006") -> None:
        super().__init__(target, sqlstate, why)


async def remove_login(
    target: Target, doomed: Doomed, *, before_kill: Callable[[], Awaitable[None]]
) -> dict[str, Any]:
    """Remove the login and return the facts of the receipt: what PostgreSQL says is left, zeros.

    `before_kill` runs once no session can begin and before open ones are ended, so that a proxy
    can say goodbye to its clients. Raises TargetUnreachable, or TargetRefused (RemovalBlocked)
    when it must be tried again.
    """
    async with target.admin() as db:
        try:
            async with asyncio.timeout(_DEADLINE_S):
                return await _Removal(target, db, doomed).run(before_kill)
        except TimeoutError:
            raise RemovalBlocked(target.name, "the login could not be removed in time") from None


class _Removal:
    """One try at one login, over one admin connection."""

    def __init__(self, target: Target, db: AdminDb, doomed: Doomed) -> None:
        self._target = target
        self._db = db
        self._doomed = doomed
        self._version = server_version(db)
        self._terminated: set[int] = set()
        self._databases: list[str] = []

    async def run(self, before_kill: Callable[[], Awaitable[None]]) -> dict[str, Any]:
        oid, name = await self._identify()
        if oid is None:
            return await self._verified(0, self._doomed.name)
        if name is not None:
            await self._disable(oid, name)
            await before_kill()
            await self._end_sessions(oid, name)
            await self._roll_back_prepared(name)
            await self._give_away(oid, name)
            await self._revoke_memberships(oid, name)
            await self._drop(name)
        await self._end_ghosts(oid)
        return await self._verified(oid, name or self._doomed.name)

    async def _identify(self) -> tuple[int | None, str | None]:
        """Return the login's OID and name as they are now. No name: it is gone."""
        if self._doomed.oid is not None:
            row = await self._db.fetchrow(_BY_OID, self._doomed.oid)
            if row is None:
                return self._doomed.oid, None
            oid, name = self._doomed.oid, str(row["rolname"])
        else:
            row = await self._db.fetchrow(_BY_NAME, self._doomed.name)
            if row is None:
                return None, None
            oid, name = int(row["oid"]), self._doomed.name
        mark = read_mark(row["comment"])
        ours = (self._doomed.installation, self._doomed.grant_id)
        if mark is None or (mark.installation, mark.grant_id) != ours:
            raise RemovalBlocked(
                self._target.name, f"role {name} no longer carries this grant's mark"
            )
        return oid, name

    async def _disable(self, oid: int, name: str) -> None:
        """Close the door. The login may hold its own catalog row in an open or a prepared
        transaction, so ending those is part of it."""
        while True:
            try:
                async with self._db.transaction():
                    await self._db.execute("SET LOCAL lock_timeout = '400ms'")
                    await self._db.execute(disable_statement(name))
            except asyncpg.PostgresError as error:
                if error.sqlstate not in _RETRYABLE:
                    raise
                await self._terminate(oid, name)
                await self._roll_back_prepared(name)
            else:
                return

    async def _end_sessions(self, oid: int, name: str) -> None:
        empty_scans = 0
        while empty_scans < 2:
            if await self._terminate(oid, name):
                empty_scans = 0
                await asyncio.sleep(_POLL_S)
            else:
                empty_scans += 1
                if empty_scans < 2:
                    await asyncio.sleep(_GUARD_S)

    async def _terminate(self, oid: int, name: str) -> int:
        """Signal every session of the login; return how many there still were."""
        async with self._db.transaction():
            await self._db.execute(f"SET LOCAL ROLE {ident(name)}")
            rows = await self._db.fetch(_TERMINATE, oid)
        self._terminated.update(row["pid"] for row in rows)
        return len(rows)

    async def _roll_back_prepared(self, name: str) -> None:
        """Only the owner may, and only in the transaction's own database."""
        for row in await self._db.fetch(_PREPARED, name):
            async with self._target.admin_in(row["database"]) as db:
                await db.execute(f"SET ROLE {ident(name)}")
                await db.execute(f"ROLLBACK PREPARED {literal(row['gid'])}")

    async def _give_away(self, oid: int, name: str) -> None:
        databases = [row["name"] for row in await self._db.fetch(_DATABASES, oid)]
        if not databases:
            return
        if self._doomed.group is None:
            raise RemovalBlocked(
                self._target.name,
                f"role {name} owns objects in {', '.join(databases)} and its grant is unknown",
            )
        self._databases = databases
        for statement in lend_group_statements(name, self._doomed.group, self._version):
            # Each on its own: on 16 and later an open GRANT of a group blocks every other one.
            await self._patiently(statement)
        for database in databases:
            await self._clean(database, name, self._doomed.group)

    async def _clean(self, database: str, name: str, group: str) -> None:
        async with self._target.admin_in(database) as db:
            for attempt in range(_TRIES):
                try:
                    async with db.transaction():
                        for statement in clean_statements(name, group):
                            await db.execute(statement)
                except asyncpg.PostgresError as error:
                    await _back_off_or_raise(error, attempt)
                else:
                    return

    async def _revoke_memberships(self, oid: int, name: str) -> None:
        for row in await self._db.fetch(_GROUPS, oid):
            await self._patiently(f"REVOKE {ident(row['rolname'])} FROM {ident(name)}")

    async def _drop(self, name: str) -> None:
        try:
            await self._patiently(f"DROP ROLE {ident(name)}")
        except asyncpg.PostgresError as error:
            if error.sqlstate != _GONE:
                raise

    async def _patiently(self, statement: str) -> None:
        for attempt in range(_TRIES):
            try:
                await self._db.execute(statement)
            except asyncpg.PostgresError as error:
                await _back_off_or_raise(error, attempt)
            else:
                return

    async def _end_ghosts(self, oid: int) -> None:
        """End sessions that outlived their role, for example when somebody else dropped it."""
        for attempt in range(_TRIES):
            left = await self._db.fetchrow(_LEFT, oid, self._doomed.name)
            assert left is not None
            if not left["sessions"]:
                return
            async with self._db.transaction():
                if self._version < PER_MEMBERSHIP_OPTIONS:
                    await self._db.execute("SET LOCAL ROLE pg_signal_backend")
                await self._db.fetch(_TERMINATE, oid)
            await asyncio.sleep(_FIRST_BACKOFF_S * 2**attempt)
        raise RemovalBlocked(self._target.name, "a session of the dropped login does not end")

    async def _verified(self, oid: int, name: str) -> dict[str, Any]:
        left = await self._db.fetchrow(_LEFT, oid, name)
        assert left is not None
        remains = {
            key: left[key]
            for key in ("roles", "sessions", "memberships", "objects", "prepared_transactions")
        }
        if any(remains.values()):
            found = ", ".join(f"{count} {what}" for what, count in remains.items() if count)
            raise RemovalBlocked(self._target.name, f"still there: {found}")
        return {
            "target": self._target.name,
            "login": name,
            "oid": oid or None,
            "left": remains,
            "sessions_terminated": len(self._terminated),
            "databases_cleaned": self._databases,
            "checked_at": left["checked_at"].isoformat(),
            "server_version": left["server_version"],
        }


async def _back_off_or_raise(error: asyncpg.PostgresError, attempt: int) -> None:
    if error.sqlstate not in _RETRYABLE or attempt == _TRIES - 1:
        raise error
    await asyncio.sleep(_FIRST_BACKOFF_S * 2**attempt)
