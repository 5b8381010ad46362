"""Catalog roles as PostgreSQL has them, judged through the eyes of the admin role."""

import itertools
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace

import asyncpg
import pytest

from broker.domain.catalog import CatalogRole
from broker.domain.parameter import Parameter
from broker.target.connect import AdminDb
from broker.target.roles import fetch_role_facts, fetch_role_faults
from tests.support.stage import PASSWORD, Stage

READER = CatalogRole("orders_reader", "may read", 10)
Superuser = Callable[[str], Awaitable[object]]
_numbers = itertools.count(1)


@asynccontextmanager
async def admin_of(stage: Stage) -> AsyncIterator[AdminDb]:
    db = await stage.server.connect(
        stage.target_database, user="curfew_broker_1", password=PASSWORD
    )
    try:
        await db.execute("SET ROLE curfew_admin; SET search_path = pg_catalog, pg_temp")
        yield db
    finally:
        await db.close()


@asynccontextmanager
async def scratch_role(stage: Stage, options: str = "NOLOGIN") -> AsyncIterator[CatalogRole]:
    """Make a role that the admin role may grant and that may connect; take it away again."""
    name = f"check_{os.getpid()}_{next(_numbers)}"
    granted = (
        "WITH ADMIN TRUE, INHERIT FALSE, SET FALSE"
        if stage.server.major >= 16
        else "WITH ADMIN OPTION"
    )
    database = stage.target_database
    await stage.query(f"CREATE ROLE {name} {options}")
    await stage.query(f"GRANT CONNECT ON DATABASE {database} TO {name}")
    if stage.server.major >= 16 or "SUPERUSER" not in options:
        await stage.query(f"GRANT {name} TO curfew_admin {granted}")
    try:
        yield CatalogRole(name, "", 10)
    finally:
        await stage.query(f"REVOKE CONNECT ON DATABASE {database} FROM {name}")
        await stage.query(f"DROP ROLE {name}")


async def faults_of(stage: Stage, role: CatalogRole) -> tuple[str, ...]:
    async with admin_of(stage) as db:
        return await fetch_role_faults(db, role, stage.target_database)


async def the_fault(stage: Stage, role: CatalogRole) -> str:
    (fault,) = await faults_of(stage, role)
    return fault


async def test_the_roles_of_a_healthy_target_may_be_given(stage: Stage) -> None:
    for name in ("orders_owner", "orders_writer", "orders_reader"):
        assert await faults_of(stage, CatalogRole(name, "", 10)) == ()


async def test_what_is_known_about_a_good_role(stage: Stage) -> None:
    async with admin_of(stage) as db:
        facts, parameters = await fetch_role_facts(db, READER, stage.target_database)
    assert facts.oid == await stage.query("SELECT 'orders_reader'::regrole::oid")
    assert (facts.admin, facts.database) == ("curfew_admin", stage.target_database)
    assert facts.server_version // 10000 == stage.server.major
    assert (facts.grantable, facts.can_connect, facts.public_can_connect) == (True, True, False)
    assert (facts.powers, facts.superuser_members, parameters) == ((), (), ())


async def test_a_role_that_does_not_exist(stage: Stage) -> None:
    assert "does not exist" in await the_fault(stage, CatalogRole('no"where', "", 10))


@pytest.mark.parametrize("attribute", ["LOGIN", "REPLICATION", "BYPASSRLS"])
async def test_a_role_with_an_attribute_that_it_must_not_have(stage: Stage, attribute: str) -> None:
    async with scratch_role(stage, attribute) as role:
        assert f"has {attribute}" in await the_fault(stage, role)


async def test_a_superuser_is_no_catalog_role(stage: Stage) -> None:
    async with scratch_role(stage, "NOLOGIN SUPERUSER") as role:
        assert "has SUPERUSER" in await the_fault(stage, role)


async def test_createrole_counts_where_it_is_as_good_as_superuser(stage: Stage) -> None:
    async with scratch_role(stage, "CREATEROLE") as role:
        assert bool(await faults_of(stage, role)) == (stage.server.major < 16)
        becoming = await faults_of(stage, replace(role, set_role=True))
    assert "has CREATEROLE" in becoming[0]


@pytest.mark.parametrize(
    ("power", "why"),
    [
        ("pg_execute_server_program", "runs programs on the server"),
        ("pg_write_server_files", "writes files on the server"),
        ("pg_read_server_files", "reads files on the server"),
        ("curfew_admin", "the admin role of pgcurfew"),
    ],
)
async def test_a_role_that_reaches_a_dangerous_one_through_another(
    stage: Stage, power: str, why: str
) -> None:
    async with scratch_role(stage) as between, scratch_role(stage) as role:
        if power == "curfew_admin":  # which would be a loop with its ADMIN on the role
            await stage.query(f"REVOKE {role.name}, {between.name} FROM curfew_admin")
        await stage.query(f"GRANT {power} TO {between.name}")
        await stage.query(f"GRANT {between.name} TO {role.name}")
        faults = " ".join(await faults_of(stage, role))
    assert f"is a member of {power} (" in faults
    assert why in faults


async def test_a_role_that_reaches_a_superuser(stage: Stage) -> None:
    async with scratch_role(stage, "SUPERUSER") as boss, scratch_role(stage) as role:
        await stage.query(f"GRANT {boss.name} TO {role.name}")
        assert f"member of {boss.name} (a superuser)" in await the_fault(stage, role)


async def test_a_role_that_a_superuser_is_a_member_of(stage: Stage) -> None:
    async with (
        scratch_role(stage) as role,
        scratch_role(stage) as between,
        scratch_role(stage, "SUPERUSER") as boss,
    ):
        await stage.query(f"GRANT {role.name} TO {between.name}")
        await stage.query(f"GRANT {between.name} TO {boss.name}")
        assert f"granted to superuser {boss.name}" in await the_fault(stage, role)


@pytest.mark.pg(">= 16")
async def test_a_role_that_the_admin_role_may_not_grant(stage: Stage) -> None:
    async with scratch_role(stage) as role:
        await stage.query(f"REVOKE {role.name} FROM curfew_admin")
        assert "may not grant role" in await the_fault(stage, role)
        # Membership without ADMIN is not enough either.
        await stage.query(f"GRANT {role.name} TO curfew_admin")
        assert "may not grant role" in await the_fault(stage, role)


async def test_a_role_without_connect(stage: Stage) -> None:
    async with scratch_role(stage) as role:
        await stage.query(f"REVOKE CONNECT ON DATABASE {stage.target_database} FROM {role.name}")
        said = await the_fault(stage, role)
        assert "may not connect" in said
        await stage.query(said.partition("; ")[2])
        assert await faults_of(stage, role) == ()


async def test_logins_that_do_not_inherit_need_connect_for_everybody(stage: Stage) -> None:
    role = replace(READER, inherit=False)
    assert "does not inherit the right to connect" in await the_fault(stage, role)
    await stage.query(f"GRANT CONNECT ON DATABASE {stage.target_database} TO PUBLIC")
    assert await faults_of(stage, role) == ()


async def test_a_database_that_does_not_exist_takes_nobody(stage: Stage) -> None:
    async with admin_of(stage) as db:
        (fault,) = await fetch_role_faults(db, READER, "nowhere")
    assert "may not connect to database nowhere" in fault


SETTABLE = ("work_mem", "search_path", "statement_timeout", "timezone", "jit")
UNSETTABLE = (
    "log_statement",
    "temp_file_limit",
    "log_connections",
    "shared_buffers",
    "app.flavour",
)


@pytest.mark.sample
@pytest.mark.parametrize("name", [*SETTABLE, *UNSETTABLE])
async def test_what_is_said_about_a_parameter_is_what_postgresql_does(
    stage: Stage, name: str
) -> None:
    value = await stage.query("SELECT coalesce(current_setting($1, true), 'x')", name)
    role = replace(READER, parameters=(Parameter(name, value),))
    said = await faults_of(stage, role)
    async with admin_of(stage) as db:
        attempt = db.transaction()
        await attempt.start()
        await db.execute("CREATE ROLE jit_parameter_check")
        try:
            await db.execute(f"ALTER ROLE jit_parameter_check SET {name} = '{value}'")
            refused = False
        except asyncpg.PostgresError:
            refused = True
        await attempt.rollback()
    assert bool(said) == refused == (name in UNSETTABLE)
    assert all("may not set parameter" in each for each in said)


@pytest.mark.pg(">= 15")
async def test_a_privilege_on_the_parameter_makes_it_settable(stage: Stage) -> None:
    names = ("log_statement", "app.flavour", "shared_buffers")
    role = replace(READER, parameters=tuple(Parameter(name, "x") for name in names))
    for name in names:
        await stage.query(f"GRANT SET ON PARAMETER {name} TO curfew_admin")
    try:
        assert "parameter shared_buffers" in await the_fault(stage, role)
    finally:
        for name in names:
            await stage.query(f"REVOKE SET ON PARAMETER {name} FROM curfew_admin")


@pytest.mark.parametrize(
    ("name", "since"), [("transaction_timeout", 17), ("idle_session_timeout", 14)]
)
async def test_a_parameter_that_is_younger_than_the_server(
    stage: Stage, name: str, since: int
) -> None:
    said = await faults_of(stage, replace(READER, parameters=(Parameter(name, "60000ms"),)))
    assert bool(said) == (stage.server.major < since)
    assert all(f"has no parameter {name}" in each for each in said)
