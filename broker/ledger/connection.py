"""Opening the ledger: our own PostgreSQL database, schema `curfew`.

The modules beside this one hold every statement on one table each; they take a connection and
never open a transaction. The use cases in `broker.service` do, so that a state change and its
audit event commit together.
"""

import json
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import asyncpg
from asyncpg.pool import PoolConnectionProxy

from broker.domain.errors import LedgerUnavailable
from broker.domain.server import ServerAddress
from broker.tls import tls_context

Db: TypeAlias = "asyncpg.Connection[asyncpg.Record] | PoolConnectionProxy[asyncpg.Record]"
Pool: TypeAlias = "asyncpg.Pool[asyncpg.Record]"

# A ledger that does not answer within this is as good as down: callers fail closed.
_CONNECT_TIMEOUT_S = 5.0
_COMMAND_TIMEOUT_S = 10.0
_PLAN_EACH = "SET LOCAL plan_cache_mode = force_custom_plan; SET LOCAL jit = off"

UNREACHABLE = (
    OSError,
    TimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.CannotConnectNowError,
    asyncpg.TooManyConnectionsError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
)


@dataclass(frozen=True, slots=True)
class LedgerLogin:
    """Where the ledger is and whom we log in as."""

    address: ServerAddress
    user: str
    password: str = field(repr=False)


async def connect(login: LedgerLogin, application: str) -> "asyncpg.Connection[asyncpg.Record]":
    """Open one connection, for LISTEN and for tools. Raises LedgerUnavailable."""
    try:
        connection: asyncpg.Connection[asyncpg.Record] = await asyncpg.connect(
            **_arguments(login, application)
        )
    except UNREACHABLE as error:
        raise LedgerUnavailable from error
    await _prepare(connection)
    return connection


@asynccontextmanager
async def open_pool(login: LedgerLogin, application: str, size: int) -> AsyncIterator[Pool]:
    """Open at most `size` connections, made when first needed: the ledger may be down now."""
    pool = asyncpg.create_pool(
        **_arguments(login, application),
        min_size=0,
        max_size=size,
        init=_prepare,
        reset=_keep_session,
    )
    async with pool:
        yield pool


@dataclass(slots=True)
class Commits:
    """Whether a transaction has been committed, or may have been."""

    any: bool = False


_commits: ContextVar[Commits | None] = ContextVar("commits", default=None)


@contextmanager
def noting_commits(commits: Commits) -> Iterator[None]:
    """Note what is committed in here, also by tasks that are begun in here."""
    token = _commits.set(commits)
    try:
        yield
    finally:
        _commits.reset(token)


@asynccontextmanager
async def transaction(pool: Pool) -> AsyncIterator[Db]:
    """Run one ledger transaction. Raises LedgerUnavailable when the ledger is out of reach."""
    try:
        async with pool.acquire(timeout=_CONNECT_TIMEOUT_S) as db, db.transaction():
            yield db
            # Before the COMMIT: a connection that is lost on its answer may have committed.
            if (commits := _commits.get()) is not None:
                commits.any = True
    except UNREACHABLE as error:
        raise LedgerUnavailable from error


@asynccontextmanager
async def autocommit(pool: Pool) -> AsyncIterator[Db]:
    """Borrow a connection whose statements each commit by themselves. Raises LedgerUnavailable."""
    try:
        async with pool.acquire(timeout=_CONNECT_TIMEOUT_S) as db:
            yield db
    except UNREACHABLE as error:
        raise LedgerUnavailable from error


@asynccontextmanager
async def reading(pool: Pool) -> AsyncIterator[Db]:
    """Borrow a connection for single statements that only read. Raises LedgerUnavailable."""
    async with autocommit(pool) as db:
        yield db


@asynccontextmanager
async def searching(pool: Pool) -> AsyncIterator[Db]:
    """Run a transaction that only reads, and plans each statement for what is asked: what was quick
    for the last question may be slow for the next. Raises LedgerUnavailable."""
    async with autocommit(pool) as db, db.transaction(readonly=True):
        await db.execute(_PLAN_EACH)
        yield db


def _arguments(login: LedgerLogin, application: str) -> dict[str, Any]:
    address = login.address
    context: ssl.SSLContext | bool = tls_context(address) or False
    return {
        "host": address.host,
        "port": address.port,
        "database": address.database,
        "user": login.user,
        "password": login.password,
        "ssl": context,
        "timeout": _CONNECT_TIMEOUT_S,
        "command_timeout": _COMMAND_TIMEOUT_S,
        "server_settings": {"application_name": application, "search_path": "curfew, pg_catalog"},
    }


async def _keep_session(_db: Db) -> None:
    """Nothing of ours changes a session's state, so asyncpg need not ask the server to undo any."""


async def _prepare(connection: Db) -> None:
    await connection.set_type_codec(
        "jsonb", schema="pg_catalog", encoder=json.dumps, decoder=json.loads
    )
