"""Bring the ledger to the newest revision, and give the proxies exactly what they need in it."""

from dataclasses import dataclass
from pathlib import Path

import asyncpg
from alembic import command
from alembic.config import Config
from sqlalchemy import URL, Connection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import create_async_engine

from broker.domain.errors import Conflict, LedgerUnavailable
from broker.domain.sqltext import ident, literal
from broker.ledger.connection import UNREACHABLE, LedgerLogin, connect
from broker.ledger.revision import newest_revision
from broker.tls import tls_context

_SCRIPTS = Path(__file__).parent / "migrations"

# A proxy reads logins through one view, writes its own sessions and appends to the audit trail.
_PROXY_PRIVILEGES = (
    "GRANT USAGE ON SCHEMA curfew TO {role}",
    "GRANT SELECT ON curfew.proxy_logins TO {role}",
    "GRANT SELECT (grant_id, stored_key), UPDATE (rejected_at) ON curfew.logins TO {role}",
    "GRANT SELECT (id, state, expires_at, pin_address, pinned_to, rows_sent, bytes_sent), "
    "UPDATE (pinned_to, rows_sent, bytes_sent) ON curfew.grants TO {role}",
    "GRANT SELECT, INSERT, UPDATE (decision, decided_by, decided_at) ON curfew.held_commits "
    "TO {role}",
    "GRANT SELECT, INSERT, UPDATE, DELETE ON curfew.bans TO {role}",
    "GRANT SELECT, INSERT, UPDATE (ended_at, end_reason, bytes_from_client, bytes_to_client) "
    "ON curfew.sessions TO {role}",
    "GRANT SELECT, INSERT, UPDATE, DELETE ON curfew.workers TO {role}",
    "GRANT INSERT ON curfew.audit_events TO {role}",
    "GRANT SELECT (id) ON curfew.tickets TO {role}",
    "GRANT INSERT (ticket_id, worker_id, used_at, until, client_address) ON curfew.ticket_uses "
    "TO {role}",
    "GRANT SELECT, INSERT, UPDATE (lines) ON curfew.ticket_journals TO {role}",
    # What is on record they can only add to; of statements they cannot even read their own.
    "GRANT SELECT, INSERT, UPDATE ON curfew.spools TO {role}",
    "GRANT SELECT (number, hash), INSERT ON curfew.statement_blocks TO {role}",
    "GRANT INSERT ON curfew.statements, curfew.late_outcomes TO {role}",
    "GRANT SELECT ON curfew.sink_sessions TO {role}",
)


class ProxyRoleMissing(Conflict):
    """The proxies' own ledger role does not exist, and only an administrator may make it."""

    code = "proxy-role-missing"

    def __init__(self, role: str) -> None:
        super().__init__(
            f"the ledger has no role {role!r} for the proxies; as its administrator, run: "
            f"CREATE ROLE {ident(role)} LOGIN PASSWORD {literal('…')}; then migrate again"
        )


@dataclass(frozen=True, slots=True)
class Migration:
    """What `migrate` did."""

    revision: str
    proxy_role: str


async def migrate(login: LedgerLogin, proxy_role: str) -> Migration:
    """Apply what is missing; safe to run again. Raises LedgerUnavailable or Conflict."""
    url = URL.create(
        "postgresql+asyncpg",
        username=login.user,
        password=login.password,
        host=login.address.host,
        port=login.address.port,
        database=login.address.database,
    )
    engine = create_async_engine(url, connect_args={"ssl": tls_context(login.address) or False})
    try:
        async with engine.begin() as connection:
            await connection.run_sync(_upgrade)
    except DBAPIError as error:
        raise Conflict(f"the ledger refused a migration: {error.orig}") from error
    except UNREACHABLE as error:
        raise LedgerUnavailable from error
    finally:
        await engine.dispose()
    await _empower_proxies(login, proxy_role)
    return Migration(newest_revision(), proxy_role)


async def _empower_proxies(login: LedgerLogin, role: str) -> None:
    connection = await connect(login, "pgcurfew migrate")
    try:
        async with connection.transaction():
            for statement in _PROXY_PRIVILEGES:
                await connection.execute(statement.format(role=ident(role)))
    except asyncpg.UndefinedObjectError as error:
        raise ProxyRoleMissing(role) from error
    finally:
        await connection.close()


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(_SCRIPTS))
    config.set_main_option("path_separator", "os")
    return config


def _upgrade(connection: Connection) -> None:
    config = _config()
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
