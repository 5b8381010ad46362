"""A ledger that was in use before people had kinds and tokens had to end."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from alembic import command
from sqlalchemy import URL, Connection
from sqlalchemy.ext.asyncio import create_async_engine

from broker.domain.server import ServerAddress, TlsMode
from broker.ledger.connection import LedgerLogin
from broker.ledger.migrate import _config, migrate
from tests.support.stage import PASSWORD, Stage

pytestmark = pytest.mark.newest

_BEFORE = """
    INSERT INTO curfew.people (id, email, name, created_at, handle) VALUES
        ('per_1', 'dev@example.com', 'Dev', now(), 'dev'),
        ('per_2', 'job@ci.machine', 'Job', now(), 'job');
    INSERT INTO curfew.tokens (id, person_id, digest, label, created_at, expires_at, revoked_at)
    VALUES ('tok_1', 'per_1', 'a', '', now(), now() + interval '1 hour', NULL),
           ('tok_2', 'per_1', 'b', '', now(), NULL, NULL);
    INSERT INTO curfew.audit_events (at, actor, kind, data)
    VALUES (now(), 'operator:ann', 'token.created', '{"token_id": "tok_1"}')
"""


@asynccontextmanager
async def ledger_at(stage: Stage, revision: str) -> AsyncIterator[LedgerLogin]:
    """Yield a ledger of its own at an older revision."""
    name = f"{stage.ledger_database}_older"
    await stage.query(f"CREATE DATABASE {name} OWNER curfew")
    try:
        server = stage.server
        address = ServerAddress(server.host, server.port, name, TlsMode.DISABLE)
        login = LedgerLogin(address, "curfew", PASSWORD)
        await _upgrade(login, revision)
        yield login
    finally:
        await stage.query(f"DROP DATABASE {name} WITH (FORCE)")


async def _upgrade(login: LedgerLogin, revision: str) -> None:
    def upgrade(connection: Connection) -> None:
        config = _config()
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
        for statement in _BEFORE.split(";"):
            connection.exec_driver_sql(statement)

    url = URL.create(
        "postgresql+asyncpg",
        username=login.user,
        password=login.password,
        host=login.address.host,
        port=login.address.port,
        database=login.address.database,
    )
    engine = create_async_engine(url)
    try:
        async with engine.begin() as connection:
            await connection.run_sync(upgrade)
    finally:
        await engine.dispose()


async def test_people_and_tokens_get_their_kinds_and_every_token_an_end(stage: Stage) -> None:
    async with ledger_at(stage, "0004") as login:
        await migrate(login, "curfew_proxy")
        ledger = await stage.server.connect(login.address.database)
        try:
            people = await ledger.fetch("SELECT id, kind, groups FROM curfew.people ORDER BY id")
            assert [tuple(each) for each in people] == [
                ("per_1", "human", []),
                ("per_2", "machine", []),
            ]
            tokens = await ledger.fetch(
                "SELECT kind, scopes, created_by, expires_at > now() AS lives, "
                "expires_at < now() + interval '2 hours' AS soon FROM curfew.tokens ORDER BY id"
            )
            assert [tuple(each) for each in tokens] == [
                ("personal", None, "operator:ann", True, True),
                ("personal", None, "system", True, False),
            ]
        finally:
            await ledger.close()
