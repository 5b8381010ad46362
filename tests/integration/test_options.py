"""What the settings say about a catalog role is what its logins are."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import pytest

from broker.domain.errors import RoleUnusable
from tests.support.people import get_grant, get_person, wish
from tests.support.stage import DEV, Stage


@asynccontextmanager
async def session_of(
    stage: Stage, **options: Any
) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    """A session of a login of orders_owner, which has these options."""
    stage.write_settings(targets=stage.role_settings(**options))
    async with stage.broker() as broker:
        details = await get_grant(broker, "orders_owner")
        session = await stage.connect_as(details.login)
        try:
            yield session
        finally:
            await session.close()
            await broker.relinquish(details.grant.id, await get_person(broker, DEV))
    assert await stage.logins_left() == []


async def test_parameters_of_a_role_are_what_its_sessions_begin_with(stage: Stage) -> None:
    options: dict[str, Any] = {
        "read_only": True,
        "statement_timeout": "90s",
        "idle_in_transaction_timeout": "5m",
        "search_path": ["shop", "$user"],
        "settings": {"work_mem": "64MB", "DateStyle": "ISO, DMY", "jit": False},
    }
    wanted = {
        "default_transaction_read_only": "on",
        "statement_timeout": "90s",
        "idle_in_transaction_session_timeout": "5min",
        "search_path": 'shop, "$user"',
        "work_mem": "64MB",
        "datestyle": "ISO, DMY",
        "jit": "off",
    }
    if stage.server.major >= 17:
        options["transaction_timeout"], wanted["transaction_timeout"] = "10m", "10min"
    async with session_of(stage, **options) as session:
        found = {name: await session.fetchval(f"SHOW {name}") for name in wanted}
        with pytest.raises(asyncpg.ReadOnlySQLTransactionError):
            await session.execute("INSERT INTO orders VALUES (1000, 'x')")
    assert found == wanted


async def test_with_set_role_what_a_login_makes_is_the_roles_at_once(stage: Stage) -> None:
    async with session_of(stage, set_role=True) as session:
        await session.execute("CREATE TABLE shop.made (id int)")
        who = await session.fetchval("SELECT current_user::text || ' ' || session_user")
    assert who.startswith("orders_owner jit_dev_orders_owner_")
    owner = await stage.query("SELECT tableowner FROM pg_tables WHERE tablename = 'made'")
    assert owner == "orders_owner"


async def test_without_inherit_a_login_has_nothing_until_it_sets_the_role(stage: Stage) -> None:
    await stage.query(f"GRANT CONNECT ON DATABASE {stage.target_database} TO PUBLIC")
    async with session_of(stage, inherit=False) as session:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await session.fetchval("SELECT count(*) FROM shop.orders")
        await session.execute("SET ROLE orders_owner")
        assert await session.fetchval("SELECT count(*) FROM shop.orders") == 100


async def test_a_login_has_no_more_sessions_than_the_settings_say(stage: Stage) -> None:
    async with session_of(stage, connection_limit=1) as session:
        login = await session.fetchval("SELECT session_user::text")
        with pytest.raises(asyncpg.TooManyConnectionsError):
            await stage.connect_as(login)


@pytest.mark.sample
@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"log_statement": "none"}, "may not set parameter log_statement"),
        ({"session_replication_role": "replica"}, "session_replication_role"),
        ({"max_connections": 5}, "max_connections"),
        ({"no_such_parameter": 1}, "has no parameter no_such_parameter"),
        ({"app.tenant": "x"}, r"app\.tenant"),
    ],
)
async def test_a_parameter_that_the_admin_may_not_set_is_refused_before_anything_is_made(
    stage: Stage, settings: dict[str, Any], reason: str
) -> None:
    stage.write_settings(targets=stage.role_settings(settings=settings))
    async with stage.broker() as broker:
        with pytest.raises(RoleUnusable, match=reason):
            await broker.asking.ask(wish("orders_owner"), await get_person(broker, DEV))


@pytest.mark.pg(">= 15")
async def test_from_15_on_an_admin_may_be_allowed_a_parameter_that_sessions_cannot_undo(
    stage: Stage,
) -> None:
    await stage.query("GRANT SET ON PARAMETER log_statement TO curfew_admin")
    try:
        async with session_of(stage, settings={"log_statement": "all"}) as session:
            assert await session.fetchval("SHOW log_statement") == "all"
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await session.execute("SET log_statement = 'none'")
    finally:
        await stage.query("REVOKE SET ON PARAMETER log_statement FROM curfew_admin")
