"""Removes a login so that nothing is left: no session, no role, no object.

The steps, each safe to repeat after a crash at any point:

    disable ─► end sessions ─► roll back prepared transactions ─► give away what it owns
            ─► revoke memberships ─► drop

Disable comes first: from then on no session can begin, so two empty scans prove that none is left.
Sessions end before any step that takes locks, which an open transaction would hold. Dropping comes
last: DROP ROLE succeeds under an open session, which would live on as a ghost.

What something holds is quarantined: it cannot log in, has no password and no membership, and its
name and comment say so. A later try goes on from there.

The login acts as itself where PostgreSQL wants the owner (SET LOCAL ROLE), so the admin role needs
no rights on anybody's data.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TypeAlias

import asyncpg

from broker.domain.login_plan import LoginMark, quarantine_name, read_mark
from broker.domain.receipt import Step
from broker.domain.sqltext import ident, literal
from broker.target.blocked import RemovalBlocked, blocked_by
from broker.target.connect import AdminDb, Target, Turn
from broker.target.ownership import give_to_role, run_as_login, working_in
from broker.target.patience import RETRYABLE, TRIES, back_off
from broker.target.sessions import end_sessions, terminate

_DEADLINE_S = 20.0
_QUARANTINE_DEADLINE_S = 10.0
_GONE = "42704"

_BY_OID = """
    SELECT oid, rolname, shobj_description(oid, 'pg_authid') AS comment FROM pg_roles
     WHERE oid = $1
"""
_BY_NAME = """
    SELECT oid, rolname, shobj_description(oid, 'pg_authid') AS comment FROM pg_roles
     WHERE rolname = $1
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
_ROLES = """
    SELECT r.rolname FROM pg_auth_members m JOIN pg_roles r ON r.oid = m.roleid
     WHERE m.member = $1 ORDER BY 1
"""

_GIVEN = """
    SELECT r.rolname AS role, g.rolname AS grantor
      FROM pg_auth_members m
      JOIN pg_roles r ON r.oid = m.roleid
      JOIN pg_roles g ON g.oid = m.grantor
     WHERE m.member = $1 ORDER BY 1, 2
"""

# Runs statements in a database as the login, all or none; returns why they failed, or "".
RunAsLogin: TypeAlias = Callable[[str, Sequence[str]], Awaitable[str]]


@dataclass(frozen=True, slots=True)
class Doomed:
    """The login to remove. `oid` is None if a crash lost it before the ledger knew.

    `role` is the catalog role it was granted, which inherits all it owns; None if the ledger does
    not know: then it is the only role that the login has, or a human must look at what it owns.
    `mark` is what its comment must say; None for a login of somebody else's, which the settings
    let us remove.
    """

    name: str
    oid: int | None
    role: str | None
    mark: LoginMark | None


@dataclass(frozen=True, slots=True)
class Hooks:
    """What the caller does while a login goes.

    `turn` is held around role DDL. `before_kill` runs once no session can begin and before open
    ones are ended, so that a proxy can say goodbye to its clients. `before_cleaning` runs once
    nobody acts as the login any more and it still owns what it made.
    """

    turn: Turn
    before_kill: Callable[[], Awaitable[None]]
    before_cleaning: Callable[[RunAsLogin], Awaitable[None]]


@dataclass(slots=True)
class Removed:
    """What was done to remove a login. `oid` is None if it never existed."""

    oid: int | None
    name: str
    steps: list[Step] = field(default_factory=list)
    sessions_ended: int = 0
    databases_cleaned: list[str] = field(default_factory=list)


async def remove_login(target: Target, doomed: Doomed, hooks: Hooks) -> Removed:
    """Remove the login. That it is gone is for `read_lines` to prove.

    Raises TargetUnreachable, or RemovalBlocked when it must be tried again.
    """
    async with target.admin() as db:
        return await _Removal(target, db, doomed, hooks).run()


class _Removal:
    """One try at one login, over one admin connection."""

    def __init__(self, target: Target, db: AdminDb, doomed: Doomed, hooks: Hooks) -> None:
        self._target = target
        self._db = db
        self._ddl = target.ddl(db)
        self._doomed = doomed
        self._hooks = hooks
        self._role = doomed.role
        self._name = doomed.name
        self._done = Removed(doomed.oid, doomed.name)
        self._lent = False
        self._doing = "looking for it"

    async def run(self) -> Removed:
        exists = await self._identify()
        oid = self._done.oid
        if oid is None:
            return self._done
        try:
            async with asyncio.timeout(_DEADLINE_S):
                if exists:
                    await self._remove(oid)
                else:
                    await self._end_sessions(oid)  # a ghost outlives its role
        except TimeoutError:
            await self._quarantine(oid)
        except RemovalBlocked as error:
            await self._quarantine(oid, error)
        return self._done

    async def _remove(self, oid: int) -> None:
        await self._disable(oid)
        await self._adopt()
        await self._hooks.before_kill()
        await self._end_sessions(oid)
        await self._roll_back_prepared()
        await self._hooks.before_cleaning(self._run_as_login)
        await self._give_away(oid)
        await self._revoke_memberships(oid)
        await self._drop()
        if await terminate(self._target, self._db, oid):
            await self._end_sessions(oid)

    async def _identify(self) -> bool:
        """Find out which role it is now. Returns False if it is gone."""
        row = (
            await self._db.fetchrow(_BY_NAME, self._doomed.name)
            if self._doomed.oid is None
            else await self._db.fetchrow(_BY_OID, self._doomed.oid)
        )
        if row is None:
            return False
        wanted, mark = self._doomed.mark, read_mark(row["comment"])
        ours = wanted is None or (
            mark is not None
            and (mark.installation, mark.grant_id) == (wanted.installation, wanted.grant_id)
        )
        if not ours:
            raise RemovalBlocked(
                self._target.name,
                f"role {row['rolname']} no longer carries this grant's mark in its comment: "
                "see who changed it, then drop the role by hand",
            )
        self._name = row["rolname"]
        self._done.oid, self._done.name = int(row["oid"]), self._name
        if self._role is None:
            roles = [each["rolname"] for each in await self._db.fetch(_ROLES, row["oid"])]
            self._role = roles[0] if len(roles) == 1 else None
        return True

    async def _disable(self, oid: int) -> None:
        """Close the door. The login may hold its own catalog row in an open or a prepared
        transaction, so ending those is part of it."""
        self._doing = "disabling it"
        statement = self._ddl.disable(self._name)
        while True:
            try:
                async with self._hooks.turn(), self._db.transaction():
                    await self._db.execute("SET LOCAL lock_timeout = '400ms'")
                    await self._db.execute(statement)
            except asyncpg.PostgresError as error:
                if error.sqlstate not in RETRYABLE:
                    raise self._blocked(error, statement) from error
                await self._adopt()
                await terminate(self._target, self._db, oid)
                await self._roll_back_prepared()
            else:
                self._note(statement)
                return

    async def _adopt(self) -> None:
        """Let the admin role act as the login."""
        for statement in self._ddl.adopt(self._name):
            await self._patiently(statement)

    async def _end_sessions(self, oid: int) -> None:
        self._doing = "ending its sessions"
        ended = await end_sessions(self._target, self._db, oid)
        count = ended.primary + ended.standbys
        self._done.sessions_ended += count
        if count:
            self._note(f"SELECT pg_terminate_backend(pid) -- {count} of OID {oid}")

    async def _roll_back_prepared(self) -> None:
        """Only the owner may, and only in the transaction's own database."""
        for row in await self._db.fetch(_PREPARED, self._name):
            statement = f"ROLLBACK PREPARED {literal(row['gid'])}"
            async with working_in(self._target, row["database"]) as db:
                await db.execute(f"SET ROLE {ident(self._name)}")
                try:
                    await db.execute(statement)
                except asyncpg.UndefinedObjectError:
                    continue  # another broker was quicker
                self._note(statement, row["database"])

    async def _give_away(self, oid: int) -> None:
        self._doing = "giving away what it owns"
        databases = [row["name"] for row in await self._db.fetch(_DATABASES, oid)]
        if not databases:
            return
        await self._lend()
        assert self._role is not None
        for database in databases:
            for statement in await give_to_role(self._target, database, self._name, self._role):
                self._note(statement, database)
        self._done.databases_cleaned = databases

    async def _lend(self) -> None:
        """Give the login, which nobody can use, what it needs to give its things to its role."""
        if self._lent:
            return
        if self._role is None:
            raise RemovalBlocked(
                self._target.name,
                f"role {self._name} owns something, and nobody knows to which role it should go: "
                "REASSIGN OWNED and DROP OWNED by hand",
            )
        for statement in self._ddl.lend_role(self._name, self._role):
            # Each on its own: on 16 and later an open GRANT of a role blocks every other one.
            await self._patiently(statement)
        self._lent = True

    async def _run_as_login(self, database: str, statements: Sequence[str]) -> str:
        await self._lend()
        refusal = await run_as_login(self._target, database, self._name, statements)
        if not refusal:
            for statement in statements:
                self._note(statement, database)
        return refusal

    async def _revoke_memberships(self, oid: int) -> None:
        roles = tuple(row["rolname"] for row in await self._db.fetch(_ROLES, oid))
        for statement in self._ddl.revoke_memberships(self._name, roles):
            await self._patiently(statement)

    async def _drop(self) -> None:
        self._doing = "dropping it"
        await self._patiently(self._ddl.drop(self._name))

    async def _patiently(self, statement: str) -> None:
        """Run role DDL, again if somebody is in its way. Gone already is as good as done."""
        for attempt in range(TRIES):
            try:
                async with self._hooks.turn():
                    await self._db.execute(statement)
            except asyncpg.PostgresError as error:
                if error.sqlstate == _GONE:
                    return
                await back_off(self._target, error, attempt, statement)
            else:
                self._note(statement)
                return

    async def _quarantine(self, oid: int, cause: RemovalBlocked | None = None) -> None:
        """Take away what access there is, mark the role, and raise RemovalBlocked.

        Unless it is gone: then what was in our way was another broker that removed it. On a fresh
        connection, as a deadline may have left ours in the middle of something.
        """
        quarantined = False
        why = cause.why if cause is not None else ""
        async with self._target.admin_in(self._target.address.database) as self._db:
            try:
                async with asyncio.timeout(_QUARANTINE_DEADLINE_S):
                    if not await self._identify():
                        await self._end_sessions(oid)
                        return
                    await self._adopt()
                    why = why or await self._what_holds(oid)
                    await self._disable(oid)
                    await self._revoke_memberships(oid)
                    why += await self._what_others_gave(oid)
                    await self._mark(why)
                    quarantined = True
            except (RemovalBlocked, TimeoutError) as error:
                why += f"; nor could it be quarantined: {str(error) or 'it took too long'}"
        sqlstate = cause.sqlstate if cause is not None else "55006"
        raise RemovalBlocked(self._target.name, why, sqlstate, quarantined=quarantined) from cause

    async def _mark(self, why: str) -> None:
        mark = self._doomed.mark
        if mark is None:
            return
        new_name = quarantine_name(mark.grant_id)
        statements = self._ddl.quarantine(self._name, new_name, mark.comment(quarantined=why))
        for statement in statements:
            await self._patiently(statement)

    async def _what_others_gave(self, oid: int) -> str:
        """Name the memberships that only those who gave them can take away (16 and later)."""
        name = ident(self._name)
        given = [
            f"REVOKE {ident(row['role'])} FROM {name} GRANTED BY {ident(row['grantor'])}"
            for row in await self._db.fetch(_GIVEN, oid)
        ]
        return f"; others gave it memberships, so run: {'; '.join(given)}" if given else ""

    async def _what_holds(self, oid: int) -> str:
        doing = self._doing
        still = await terminate(self._target, self._db, oid)
        if not still:
            return f"it could not be removed in time: {doing}"
        backends = ", ".join(f"{pid} ({doing})" for pid, doing in still.items())
        return f"these backends do not end: {backends}; see to the processes on the server"

    def _blocked(self, error: asyncpg.PostgresError, statement: str) -> RemovalBlocked:
        return blocked_by(self._target.name, error, statement, self._target.address.database)

    def _note(self, statement: str, database: str | None = None) -> None:
        where = database or self._target.address.database
        self._done.steps.append(Step(datetime.now(UTC), where, statement))
