"""Admin connections to a managed server: TLS, timeouts, SQLSTATE → BrokerError.

A broker login has no rights of its own (NOINHERIT); every connection acts as the admin role, which
makes all logins. So a broker login can be rotated, and a second broker can finish what the first
began.
"""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import asyncpg
from asyncpg.pool import PoolConnectionProxy

from broker.domain.errors import TargetRefused, TargetUnreachable
from broker.domain.server import ServerAddress
from broker.domain.sqltext import ident
from broker.tls import tls_context

AdminDb: TypeAlias = "asyncpg.Connection[asyncpg.Record] | PoolConnectionProxy[asyncpg.Record]"
AdminPool: TypeAlias = "asyncpg.Pool[asyncpg.Record]"

# Connection exceptions; our own login is not let in; shut down, crashed or starting up. What the
# server says then is for operators: it names hosts and logins.
_UNREACHABLE_CLASSES = ("08", "28", "57")
_POOL_SIZE = 4
_CONNECT_TIMEOUT_S = 5.0
# The server gives up first (60 s), so that a client time-out always means a lost connection.
_COMMAND_TIMEOUT_S = 65.0
_SESSION_SETTINGS = {
    "application_name": "pgcurfew broker",
    "search_path": "pg_catalog, pg_temp",
    "lock_timeout": "2s",
    "statement_timeout": "60s",
    "idle_in_transaction_session_timeout": "120s",
}


@dataclass(frozen=True, slots=True)
class AdminLogin:
    """The broker's own login on a target, and the admin role it acts as."""

    user: str
    password: str = field(repr=False)
    role: str = "curfew_admin"


class Target:
    """One managed PostgreSQL server. Made by `open_target`."""

    def __init__(
        self, name: str, admin: AdminLogin, address: ServerAddress, pool: AdminPool
    ) -> None:
        self.name = name
        self._admin = admin
        self._address = address
        self._pool = pool

    @asynccontextmanager
    async def admin(self) -> AsyncIterator[AdminDb]:
        """Borrow a connection to the target's own database, acting as the admin role."""
        with _errors_of(self.name):
            async with self._pool.acquire(timeout=_CONNECT_TIMEOUT_S) as db:
                yield db

    @asynccontextmanager
    async def admin_in(self, database: str) -> AsyncIterator[AdminDb]:
        """Open a connection to another database of the same server."""
        with _errors_of(self.name):
            db = await asyncpg.connect(**_arguments(self._address, self._admin, database))
            try:
                await _become(db, self._admin.role)
                yield db
            finally:
                await db.close(timeout=_CONNECT_TIMEOUT_S)


@asynccontextmanager
async def open_target(
    name: str, address: ServerAddress, admin: AdminLogin
) -> AsyncIterator[Target]:
    """Yield a target whose connections are made when first needed: it may be down now."""

    async def become_admin(db: AdminDb) -> None:
        await _become(db, admin.role)

    pool = asyncpg.create_pool(
        **_arguments(address, admin, address.database),
        min_size=0,
        max_size=_POOL_SIZE,
        init=become_admin,
        reset=_keep_session,
    )
    async with pool:
        yield Target(name, admin, address, pool)


async def _become(db: AdminDb, role: str) -> None:
    await db.execute(f"SET ROLE {ident(role)}")


async def _keep_session(_db: AdminDb) -> None:
    """Leave the session as it is: we change it only with SET LOCAL, and asyncpg has rolled back
    what was open. Its own reset would also undo SET ROLE and our timeouts."""


def _arguments(address: ServerAddress, admin: AdminLogin, database: str) -> dict[str, Any]:
    return {
        "host": address.host,
        "port": address.port,
        "database": database,
        "user": admin.user,
        "password": admin.password,
        "ssl": tls_context(address) or False,
        "timeout": _CONNECT_TIMEOUT_S,
        "command_timeout": _COMMAND_TIMEOUT_S,
        "server_settings": _SESSION_SETTINGS,
    }


@contextmanager
def _errors_of(target: str) -> Iterator[None]:
    """Turn what the driver raises into what the rest of the broker understands."""
    try:
        yield
    except asyncpg.PostgresError as error:
        sqlstate = error.sqlstate or "XX000"
        if sqlstate[:2] in _UNREACHABLE_CLASSES:
            raise TargetUnreachable(target) from error
        raise TargetRefused(target, sqlstate, str(error)) from error
    except (OSError, TimeoutError, asyncpg.InterfaceError) as error:
        raise TargetUnreachable(target) from error
