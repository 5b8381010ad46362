"""Ends the sessions of a login, on the primary and on every standby, until there are none.

`pg_terminate_backend` only signals; a backend may be starting up while we look. So the end is
proved by two empty scans some time apart, after the login can no longer log in.
"""

import asyncio
from dataclasses import dataclass

import asyncpg

from broker.domain.errors import TargetRefused, TargetUnreachable
from broker.domain.role_ddl import PER_MEMBERSHIP_OPTIONS
from broker.domain.server import ServerAddress
from broker.domain.sqltext import ident
from broker.target.blocked import RemovalBlocked, blocked_by
from broker.target.connect import AdminDb, Target, server_version

_GUARD_S = 0.2  # between the two empty scans
_POLL_S = 0.02

# By OID, never by name: pg_stat_activity shows the name of whoever a superuser's session plays.
_TERMINATE = """
    SELECT pid, concat_ws('/', state, wait_event_type, wait_event) AS doing,
           pg_terminate_backend(pid) AS signalled
      FROM pg_stat_activity WHERE usesysid = $1
"""
_MAY_LOG_IN = "SELECT rolcanlogin FROM pg_roles WHERE oid = $1"
_ROLE_NAME = "SELECT rolname FROM pg_roles WHERE oid = $1"


@dataclass(frozen=True, slots=True)
class Ended:
    """How many backends were signalled, and where."""

    primary: int = 0
    standbys: int = 0


async def end_sessions(target: Target, db: AdminDb, oid: int) -> Ended:
    """End every session of the login on the primary and on all standbys.

    Runs until none is left: put it under a deadline. Raises RemovalBlocked for a standby that
    cannot be asked.
    """
    try:
        async with asyncio.TaskGroup() as tasks:
            here = tasks.create_task(_end_here(target, db, oid))
            there = [
                tasks.create_task(_end_on_standby(target, standby, oid))
                for standby in target.standbys
            ]
    except ExceptionGroup as group:
        raise group.exceptions[0] from None
    return Ended(len(here.result()), sum(len(each.result()) for each in there))


async def terminate(target: Target, db: AdminDb, oid: int) -> dict[int, str]:
    """Signal every session of the login: what each was doing, by process id.

    Acts as the login, which may end its own sessions; if that is gone, as pg_signal_backend.
    """
    while True:
        try:
            return await _terminate_as_login(db, oid)
        except asyncpg.InvalidParameterValueError:
            continue  # another broker dropped or renamed it after we had read its name
        except asyncpg.InsufficientPrivilegeError as error:
            statement = _TERMINATE.replace("$1", str(oid))
            raise blocked_by(target.name, error, statement, target.address.database) from error


async def _terminate_as_login(db: AdminDb, oid: int) -> dict[int, str]:
    async with db.transaction():
        login = await db.fetchval(_ROLE_NAME, oid)
        if login is not None:
            await db.execute(f"SET LOCAL ROLE {ident(login)}")
        elif server_version(db) < PER_MEMBERSHIP_OPTIONS:
            await db.execute("SET LOCAL ROLE pg_signal_backend")
        return {row["pid"]: row["doing"] for row in await db.fetch(_TERMINATE, oid)}


async def _end_here(target: Target, db: AdminDb, oid: int) -> set[int]:
    signalled: set[int] = set()
    empty_scans = 0
    while empty_scans < 2:
        found = await terminate(target, db, oid)
        signalled |= set(found)
        empty_scans = 0 if found else empty_scans + 1
        if empty_scans < 2:
            await asyncio.sleep(_POLL_S if found else _GUARD_S)
    return signalled


async def _end_on_standby(target: Target, standby: ServerAddress, oid: int) -> set[int]:
    """Wait until the standby has replayed that the login is disabled, then end its sessions."""
    where = f"standby {standby.host}:{standby.port}"
    try:
        async with target.admin_at(standby) as db:
            while await db.fetchval(_MAY_LOG_IN, oid):
                # What holds replay up may be a session of the login itself.
                await terminate(target, db, oid)
                await asyncio.sleep(_POLL_S)
            return await _end_here(target, db, oid)
    except RemovalBlocked:
        raise
    except TargetUnreachable as error:
        raise RemovalBlocked(
            target.name, f"{where} cannot be reached, so its sessions cannot be ended"
        ) from error
    except TargetRefused as error:
        raise RemovalBlocked(target.name, f"{where}: {error.__cause__ or error}") from error
