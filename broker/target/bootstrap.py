"""Runs the bootstrap script on a managed server, once, with somebody else's powers.

Its connection string is that of a superuser or a master, given for this one run and kept nowhere.
"""

from dataclasses import dataclass, replace
from urllib.parse import parse_qs, urlsplit

import asyncpg

from broker.domain.bootstrap.script import (
    ALREADY_LIMITED,
    LIMITED_FROM,
    BootstrapPlan,
    bootstrap_body,
)
from broker.domain.errors import Invalid, TargetRefused
from broker.domain.server import ServerAddress
from broker.target.connect import errors_of, server_version
from broker.tls import tls_context

_CONNECT_TIMEOUT_S = 10.0
_COMMAND_TIMEOUT_S = 70.0
_SETTINGS = {
    "application_name": "pgcurfew bootstrap",
    "search_path": "pg_catalog, pg_temp",
    "lock_timeout": "10s",
    "statement_timeout": "60s",
    "client_min_messages": "notice",
}


class NotNeeded(Invalid):
    """The restricted form, on a server where CREATEROLE is limited anyway."""

    code = "not-needed"


class NotADsn(Invalid):
    code = "not-a-dsn"

    def __init__(self) -> None:
        # It may hold a password, so it is not repeated.
        super().__init__("not a connection string: write postgresql://USER:PASSWORD@HOST:PORT/")


@dataclass(frozen=True, slots=True)
class Said:
    """What the server said while the script ran. `warning`: something remains to be done."""

    text: str
    warning: bool


@dataclass(frozen=True, slots=True)
class Applied:
    user: str
    server: str
    database: str
    said: tuple[Said, ...]


async def apply_bootstrap(dsn: str, address: ServerAddress, plan: BootstrapPlan) -> Applied:
    """Run the script in one transaction, in the target's own database whatever the DSN names.

    TLS is as the settings say for the target, unless the DSN says otherwise (sslmode). Raises
    NotADsn, NotNeeded, TargetUnreachable or TargetRefused.
    """
    said: list[Said] = []

    def listen(_connection: object, message: asyncpg.PostgresLogMessage) -> None:
        warning = message.severity_en == "WARNING"
        said.append(Said(str(message.message), warning))

    with errors_of(plan.target):
        try:
            db = await _connect(dsn, replace(address, database=plan.database))
        except ValueError:  # asyncpg's own, which may repeat the DSN
            raise NotADsn from None
        except asyncpg.InvalidAuthorizationSpecificationError as error:
            raise TargetRefused(plan.target, error.sqlstate or "28000", str(error)) from error
        try:
            if plan.restricted and server_version(db) >= LIMITED_FROM:
                raise NotNeeded(ALREADY_LIMITED)
            db.add_log_listener(listen)
            async with db.transaction():
                await db.execute(bootstrap_body(plan))
            user = await db.fetchval("SELECT current_user::text")
            version = await db.fetchval("SELECT current_setting('server_version')")
        finally:
            await db.close(timeout=_CONNECT_TIMEOUT_S)
    return Applied(str(user), f"PostgreSQL {version}", plan.database, tuple(said))


async def _connect(dsn: str, address: ServerAddress) -> "asyncpg.Connection[asyncpg.Record]":
    parts = urlsplit(dsn)
    if parts.scheme not in ("postgresql", "postgres"):
        raise NotADsn
    own_tls = "sslmode" in parse_qs(parts.query)
    return await asyncpg.connect(
        dsn,
        database=address.database,
        ssl=None if own_tls else tls_context(address) or False,
        timeout=_CONNECT_TIMEOUT_S,
        command_timeout=_COMMAND_TIMEOUT_S,
        server_settings=_SETTINGS,
    )
