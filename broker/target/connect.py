"""Admin connections to a managed server: TLS, timeouts, SQLSTATE → BrokerError.

A broker login has no rights of its own (NOINHERIT); every connection acts as the admin role, which
makes all logins. So a broker login can be rotated, and a second broker can finish what the first
began.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, TypeAlias

import asyncpg
from asyncpg.pool import PoolConnectionProxy

from broker.domain.errors import TargetRefused, TargetUnreachable
from broker.domain.role_ddl import DirectDdl, RestrictedDdl, RoleDdl
from broker.domain.server import ServerAddress
from broker.domain.sqltext import ident
from broker.tls import tls_context

AdminConnection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
AdminDb: TypeAlias = "AdminConnection | PoolConnectionProxy[asyncpg.Record]"
# Waits for its turn at role DDL on a target, and is held while it lasts.
Turn: TypeAlias = Callable[[], AbstractAsyncContextManager[None]]
AdminPool: TypeAlias = "asyncpg.Pool[asyncpg.Record]"

# Connection exceptions; our own login is not let in; shut down, crashed or starting up. What the
# server says then is for operators: it names hosts and logins.
_UNREACHABLE_CLASSES = ("08", "28", "57")
_QUERY_CANCELED = "57014"  # our own statement_timeout
_POOL_SIZE = 4
_CONNECT_TIMEOUT_S = 5.0
# For one of our own connections to be free: that we have much to do is not the target's fault.
_TURN_TIMEOUT_S = 20.0
# The server gives up first (60 s), so that a client time-out always means a lost connection.
_COMMAND_TIMEOUT_S = 65.0
_SESSION_SETTINGS = {
    "application_name": "pgcurfew broker",
    "search_path": "pg_catalog, pg_temp",
    "lock_timeout": "2s",
    "statement_timeout": "60s",
    "idle_in_transaction_session_timeout": "120s",
    "jit": "off",  # our catalog queries are long, and quick
}


class AdminPassword(Protocol):
    """Where the password of the broker's own login is kept."""

    def candidates(self) -> tuple[str, ...]:
        """Return the passwords that may be valid now, the likeliest first: two of them while one
        takes the other's place."""


@dataclass(frozen=True, slots=True)
class FixedPassword:
    """One password, known to whoever asks."""

    password: str = field(repr=False)

    def candidates(self) -> tuple[str, ...]:
        return (self.password,)


@dataclass(frozen=True, slots=True)
class AdminLogin:
    """The broker's own login on a target, and the admin role it acts as.

    `restricted`: the admin role has no CREATEROLE, only functions that make and remove logins.
    """

    user: str
    password: AdminPassword
    role: str = "curfew_admin"
    restricted: bool = False


class Target:
    """One managed PostgreSQL server, and its standbys. Made by `open_target`."""

    def __init__(
        self,
        name: str,
        admin: AdminLogin,
        address: ServerAddress,
        standbys: tuple[ServerAddress, ...],
        pool: AdminPool,
    ) -> None:
        self.name = name
        self.admin_login = admin
        self.address = address
        self.standbys = standbys
        self._pool = pool

    @asynccontextmanager
    async def admin(self) -> AsyncIterator[AdminDb]:
        """Borrow a connection to the target's own database, acting as the admin role."""
        with errors_of(self.name):
            async with self._pool.acquire(timeout=_TURN_TIMEOUT_S) as db:
                yield db

    @asynccontextmanager
    async def admin_in(self, database: str) -> AsyncIterator[AdminConnection]:
        """Open a connection to another database of the same server."""
        async with self.admin_at(replace(self.address, database=database)) as db:
            yield db

    @asynccontextmanager
    async def admin_at(self, address: ServerAddress) -> AsyncIterator[AdminConnection]:
        """Open a connection to a standby."""
        async with self.broker_at(address) as db:
            await _become(db, self.admin_login.role)
            yield db

    @asynccontextmanager
    async def broker_at(
        self, address: ServerAddress, *, password: AdminPassword | None = None
    ) -> AsyncIterator[AdminConnection]:
        """Open a connection that does not act as the admin role: the broker's bare login."""
        login = self.admin_login
        with errors_of(self.name):
            db = await _connect(address, replace(login, password=password or login.password))
            try:
                yield db
            finally:
                await db.close(timeout=_CONNECT_TIMEOUT_S)

    def ddl(self, db: AdminDb) -> RoleDdl:
        """Return the statements that this admin role may use on this server."""
        return RestrictedDdl() if self.admin_login.restricted else DirectDdl(server_version(db))


@asynccontextmanager
async def open_target(
    name: str,
    address: ServerAddress,
    admin: AdminLogin,
    standbys: tuple[ServerAddress, ...] = (),
) -> AsyncIterator[Target]:
    """Yield a target whose connections are made when first needed: it may be down now."""

    async def connect(*_args: Any, **_kwargs: Any) -> AdminConnection:
        async with asyncio.timeout(_CONNECT_TIMEOUT_S):
            db = await _connect(address, admin)
            try:
                await _become(db, admin.role)
            except BaseException:
                db.terminate()
                raise
        return db

    pool = asyncpg.create_pool(
        connect=connect, min_size=0, max_size=_POOL_SIZE, reset=_keep_session
    )
    async with pool:
        yield Target(name, admin, address, standbys, pool)


async def _connect(address: ServerAddress, admin: AdminLogin) -> AdminConnection:
    """Log in with whichever password is valid. While it is being replaced, the one that was just
    read may have died: then there is a newer one to read."""
    tried: set[str] = set()
    while True:
        untried = [each for each in admin.password.candidates() if each not in tried]
        try:
            tried.add(untried[0])
            return await asyncpg.connect(**_arguments(address, admin.user, untried[0]))
        except asyncpg.InvalidPasswordError:
            if not set(admin.password.candidates()) - tried:
                raise


async def _become(db: AdminDb, role: str) -> None:
    await db.execute(f"SET ROLE {ident(role)}")


async def _keep_session(_db: AdminDb) -> None:
    """Leave the session as it is: we change it only with SET LOCAL, and asyncpg has rolled back
    what was open. Its own reset would also undo SET ROLE and our timeouts."""


def _arguments(address: ServerAddress, user: str, password: str) -> dict[str, Any]:
    return {
        "host": address.host,
        "port": address.port,
        "database": address.database,
        "user": user,
        "password": password,
        "ssl": tls_context(address) or False,
        "timeout": _CONNECT_TIMEOUT_S,
        "command_timeout": _COMMAND_TIMEOUT_S,
        "server_settings": _SESSION_SETTINGS,
    }


def server_version(db: AdminDb) -> int:
    """Return the version as server_version_num has it: 150018 for 15.18."""
    version: asyncpg.ServerVersion = db.get_server_version()
    return int(version.major) * 10000 + int(version.minor)


@contextmanager
def errors_of(target: str) -> Iterator[None]:
    """Turn what the driver raises into what the rest of the broker understands."""
    try:
        yield
    except asyncpg.PostgresError as error:
        sqlstate = error.sqlstate or "XX000"
        if sqlstate[:2] in _UNREACHABLE_CLASSES and sqlstate != _QUERY_CANCELED:
            raise TargetUnreachable(target) from error
        raise TargetRefused(target, sqlstate, str(error)) from error
    except (OSError, TimeoutError, asyncpg.InterfaceError) as error:
        raise TargetUnreachable(target) from error
