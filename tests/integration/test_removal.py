"""Removal under a hostile login: whatever it leaves or holds, nothing of it stays."""

import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TypeAlias

import asyncpg
import pytest

from broker.domain.grant import GrantState
from broker.reaper import do_what_is_due
from broker.service.broker import Broker
from broker.service.grants import GrantDetails
from broker.target import ownership, patience, removal
from tests.support.people import get_grant, get_person
from tests.support.stage import DEV, Stage

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

_QUARANTINED = """
    SELECT rolname, rolcanlogin, rolconnlimit, rolpassword,
           (SELECT count(*) FROM pg_auth_members m WHERE m.member = r.oid) AS memberships
      FROM pg_authid r WHERE shobj_description(oid, 'pg_authid') LIKE $1
"""


@asynccontextmanager
async def superuser(stage: Stage, database: str | None = None) -> AsyncIterator[Connection]:
    connection = await stage.server.connect(database or stage.target_database)
    try:
        yield connection
    finally:
        await connection.close()


async def give_back(broker: Broker, details: GrantDetails) -> GrantDetails:
    return await broker.relinquish(details.grant.id, await get_person(broker, DEV))


async def retry(broker: Broker, details: GrantDetails) -> GrantDetails:
    """Do what is due once every back-off is over."""
    later = datetime.now(UTC) + timedelta(minutes=10)
    await do_what_is_due(Broker(replace(broker.context, now=lambda: later)))
    return await broker.grants.get(details.grant.id, await get_person(broker, DEV))


async def open_alarms(stage: Stage) -> list[str]:
    async with superuser(stage, stage.ledger_database) as db:
        rows = await db.fetch("SELECT message FROM curfew.alarms WHERE cleared_at IS NULL")
        return [row["message"] for row in rows]


_DEEDS = (
    "ALTER ROLE CURRENT_USER PASSWORD 'my own'",
    "ALTER ROLE CURRENT_USER SET work_mem = '1MB'",
    "ALTER ROLE CURRENT_USER IN DATABASE {database} SET work_mem = '1MB'",
    "ALTER ROLE CURRENT_USER SET role = 'orders_owner'",
    "SELECT lo_create(0)",
    "CREATE TABLE shop.made_{n} (id serial PRIMARY KEY);"
    "CREATE VIEW shop.seen_{n} AS TABLE shop.made_{n}",
    "CREATE SCHEMA mine_{n}; CREATE TYPE mine_{n}.mood AS ENUM ('fine');"
    "CREATE DOMAIN mine_{n}.d AS text",
    "CREATE FUNCTION shop.f_{n}() RETURNS int LANGUAGE sql SECURITY DEFINER AS 'SELECT 1'",
    "CREATE TABLE shop.made_{n} (id int); GRANT SELECT ON shop.made_{n} TO orders_reader",
    "ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO PUBLIC",
    "ALTER DEFAULT PRIVILEGES IN SCHEMA shop GRANT SELECT ON TABLES TO orders_reader",
    "CREATE TABLE shop.made_{n} (id int); ALTER TABLE shop.made_{n} ENABLE ROW LEVEL SECURITY; "
    "CREATE POLICY only_me_{n} ON shop.made_{n} TO CURRENT_USER USING (true)",
    "CREATE POLICY only_me_{n} ON shop.orders TO CURRENT_USER USING (true)",
    "GRANT SELECT ON shop.orders TO CURRENT_USER",
    "CREATE PUBLICATION everything_{n} FOR TABLE shop.orders",
    "CREATE SERVER elsewhere_{n} FOREIGN DATA WRAPPER anything; "
    "CREATE USER MAPPING FOR CURRENT_USER SERVER elsewhere_{n} OPTIONS (password 'x')",
    "CREATE USER MAPPING FOR CURRENT_USER SERVER shared OPTIONS (password 'x')",
    "BEGIN; CREATE TABLE shop.made_{n} (id int); PREPARE TRANSACTION '{database}_1'",
    "BEGIN; ALTER ROLE CURRENT_USER SET work_mem = '1MB'; PREPARE TRANSACTION '{database}_2'",
    "BEGIN; LOCK TABLE shop.orders; INSERT INTO shop.orders VALUES (1000, 'held')",
    "BEGIN; ALTER ROLE CURRENT_USER SET work_mem = '2MB'",
    "CREATE TEMP TABLE here (id int); BEGIN; DECLARE c CURSOR WITH HOLD FOR TABLE shop.orders",
    "LISTEN anything; SELECT pg_advisory_lock(42)",
    "CREATE FUNCTION shop.on_change_{n}() RETURNS trigger LANGUAGE plpgsql AS "
    "'BEGIN RETURN new; END'; CREATE TRIGGER spy_{n} BEFORE INSERT ON shop.orders "
    "FOR EACH ROW EXECUTE FUNCTION shop.on_change_{n}()",
)


async def test_whatever_a_login_does_it_is_removed_in_one_go(stage: Stage) -> None:
    async with superuser(stage) as main:
        await main.execute(
            f"GRANT CREATE ON DATABASE {stage.target_database} TO orders_owner;"
            "CREATE FOREIGN DATA WRAPPER anything;"
            "GRANT USAGE ON FOREIGN DATA WRAPPER anything TO orders_owner;"
            "CREATE SERVER shared FOREIGN DATA WRAPPER anything;"
            "GRANT USAGE ON FOREIGN SERVER shared TO orders_owner"
        )
    survived = []
    async with stage.broker() as broker:
        dev = await get_person(broker, DEV)
        for number, deed in enumerate(_DEEDS):
            details = await get_grant(broker, "orders_owner")
            session = await stage.connect_as(details.login)
            await session.execute(deed.format(n=number, database=stage.target_database))
            ended = await give_back(broker, details)
            session.terminate()
            if ended.grant.state is not GrantState.ENDED:
                survived.append((deed, ended.grant.last_error))
            elif not (await broker.grants.get_receipt(details.grant.id, dev)).facts["proved"]:
                survived.append((deed, "not proved"))
    assert survived == []
    assert await stage.logins_left() == []
    assert await open_alarms(stage) == []


async def test_a_login_cannot_hide_behind_its_group(stage: Stage) -> None:
    """Under SET ROLE a session keeps the group's rights after REVOKE, and even after DROP ROLE."""
    stage.write_settings(targets=stage.role_settings(set_role=True))
    async with stage.broker() as broker:
        details = await get_grant(broker, "orders_owner")
        session = await stage.connect_as(details.login)
        assert await session.fetchval("SELECT current_user::text") == "orders_owner"
        await session.execute("CREATE TABLE shop.of_the_group (id int)")
        await session.execute("SET ROLE NONE")
        await session.execute("CREATE TABLE shop.of_the_login (id int); SELECT lo_create(0)")
        await session.execute("SET ROLE orders_owner")
        ended = await give_back(broker, details)
        with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError)):
            await session.fetchval("SELECT count(*) FROM shop.orders")
    assert ended.grant.state is GrantState.ENDED
    owners = await stage.query(
        "SELECT array_agg(DISTINCT tableowner::text) FROM pg_tables WHERE tablename LIKE 'of_the%'"
    )
    assert owners == ["orders_owner"]


@pytest.mark.pg("<= 14")
async def test_a_login_that_was_shared_onward_is_shared_no_more(stage: Stage) -> None:
    """Up to 14 a role is its own administrator: it can make others its members."""
    other = f"other_{stage.target_database}"
    async with superuser(stage) as main:
        await main.execute(f"CREATE ROLE {other}")
    async with stage.broker() as broker:
        details = await get_grant(broker)
        session = await stage.connect_as(details.login)
        await session.execute(f'GRANT "{details.login}" TO {other}')
        ended = await give_back(broker, details)
    assert ended.grant.state is GrantState.ENDED
    assert (
        await stage.query(f"SELECT count(*) FROM pg_auth_members WHERE member = '{other}'::regrole")
        == 0
    )
    async with superuser(stage) as main:
        await main.execute(f"DROP ROLE {other}")


@pytest.mark.pg(">= 16")
async def test_subscriptions_of_a_login_go_to_its_group(stage: Stage) -> None:
    async with superuser(stage) as main:
        await main.execute(
            f"GRANT CREATE ON DATABASE {stage.target_database} TO orders_owner;"
            "GRANT pg_create_subscription TO orders_owner"
        )
    async with stage.broker() as broker:
        details = await get_grant(broker, "orders_owner")
        session = await stage.connect_as(details.login)
        await session.execute(
            "CREATE SUBSCRIPTION copied CONNECTION 'host=127.0.0.1 password=x dbname=nowhere' "
            "PUBLICATION p WITH (connect = false, slot_name = NONE, password_required = true)"
        )
        ended = await give_back(broker, details)
    assert ended.grant.state is GrantState.ENDED
    async with superuser(stage) as main:
        owner = await main.fetchval("SELECT subowner::regrole::text FROM pg_subscription")
        await main.execute(
            "DROP SUBSCRIPTION copied; REVOKE pg_create_subscription FROM orders_owner"
        )
    assert owner == "orders_owner"


async def test_a_table_that_somebody_else_holds_is_waited_for_in_quarantine(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ownership, "TRIES", 1)
    monkeypatch.setattr(patience, "TRIES", 1)
    async with stage.broker() as broker, superuser(stage) as other:
        details = await get_grant(broker, "orders_owner")
        session = await stage.connect_as(details.login)
        await session.execute("CREATE TABLE shop.made (id int)")
        async with other.transaction():
            await other.execute("LOCK TABLE shop.made")
            held = await give_back(broker, details)
            async with superuser(stage) as main:
                role = await main.fetchrow(_QUARANTINED, f"%{details.grant.id}%")
            alarms = await open_alarms(stage)
        assert held.grant.state is GrantState.QUARANTINED
        ended = await retry(broker, details)
    name = f"jit_quarantined_{details.grant.id.removeprefix('grt_')}"
    assert role is not None
    assert tuple(role.values()) == (name, False, 0, None, 0)
    assert len(alarms) == 1
    assert "canceling statement due to lock timeout" in alarms[0]
    assert ended.grant.state is GrantState.ENDED
    assert await open_alarms(stage) == []


async def test_a_backend_that_does_not_die_is_named_and_gone_once_it_can_die(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(removal, "_DEADLINE_S", 1.0)
    async with stage.broker() as broker:
        details = await get_grant(broker)
        session = await stage.connect_as(details.login)
        pid = await session.fetchval("SELECT pg_backend_pid()")
        with _stopped(pid):
            held = await give_back(broker, details)
            alarms = await open_alarms(stage)
        assert held.grant.state is GrantState.QUARANTINED
        assert f"these backends do not end: {pid}" in alarms[0]
        ended = await retry(broker, details)
        session.terminate()
    assert ended.grant.state is GrantState.ENDED
    assert await open_alarms(stage) == []


async def test_a_database_that_takes_no_connections_is_named_and_waited_for(stage: Stage) -> None:
    closed = f"closed_{stage.target_database}"
    async with superuser(stage) as main:
        await main.execute(f"CREATE DATABASE {closed}")
    try:
        async with stage.broker() as broker:
            details = await get_grant(broker)
            session = await stage.connect_as(details.login, closed)
            await session.execute("SELECT lo_create(0)")
            await session.close()
            async with superuser(stage) as main:
                await main.execute(f"ALTER DATABASE {closed} ALLOW_CONNECTIONS false")
            held = await give_back(broker, details)
            alarms = await open_alarms(stage)
            async with superuser(stage) as main:
                await main.execute(f"ALTER DATABASE {closed} ALLOW_CONNECTIONS true")
            ended = await retry(broker, details)
    finally:
        async with superuser(stage) as main:
            await main.execute(f"DROP DATABASE {closed} WITH (FORCE)")
    assert held.grant.state is GrantState.QUARANTINED
    assert f"database {closed} cannot be worked in" in alarms[0]
    assert "not currently accepting connections" in alarms[0]
    assert ended.grant.state is GrantState.ENDED


async def test_an_admin_that_lost_a_privilege_says_who_must_run_what(stage: Stage) -> None:
    """In the middle of a grant's life: the removal names the statement, keeps trying, alarms."""
    async with stage.broker() as broker:
        details = await get_grant(broker, "orders_owner")
        async with superuser(stage) as main:
            await main.execute("ALTER ROLE curfew_admin NOCREATEROLE")
            try:
                held = await give_back(broker, details)
                alarms = await open_alarms(stage)
            finally:
                await main.execute("ALTER ROLE curfew_admin CREATEROLE")
        assert held.grant.state is GrantState.REVOKING
        assert f'ALTER ROLE "{details.login}" NOLOGIN' in alarms[0]
        assert "a superuser must give the privilege back (pgcurfew doctor orders" in alarms[0]
        assert (await retry(broker, details)).grant.state is GrantState.ENDED
    assert await open_alarms(stage) == []


async def test_a_login_whose_mark_was_taken_away_is_left_to_a_human(stage: Stage) -> None:
    """We never drop a role that does not say that it is ours."""
    async with stage.broker() as broker:
        details = await get_grant(broker)
        await stage.query(f"""COMMENT ON ROLE "{details.login}" IS 'the reporting user'""")
        held = await give_back(broker, details)
        assert held.grant.state is GrantState.REVOKING
        assert "no longer carries this grant's mark" in (await open_alarms(stage))[0]
        await stage.query(f'DROP OWNED BY "{details.login}"')
        await stage.query(f'DROP ROLE "{details.login}"')
        assert (await retry(broker, details)).grant.state is GrantState.ENDED


async def test_a_renamed_login_is_still_removed(stage: Stage) -> None:
    async with stage.broker() as broker:
        details = await get_grant(broker)
        await stage.query(f'ALTER ROLE "{details.login}" RENAME TO jit_somebody_else')
        ended = await give_back(broker, details)
    assert ended.grant.state is GrantState.ENDED
    assert await stage.query("SELECT count(*) FROM pg_roles WHERE rolname LIKE 'jit_some%'") == 0


async def test_the_ghost_of_a_login_that_somebody_dropped_is_ended(stage: Stage) -> None:
    stage.write_settings(targets=stage.role_settings(set_role=True))
    async with stage.broker() as broker:
        details = await get_grant(broker, "orders_owner")
        session = await stage.connect_as(details.login)
        await session.fetchval("SELECT 1")
        await stage.query(f'DROP ROLE "{details.login}"')
        assert await session.fetchval("SELECT count(*) FROM shop.orders") == 100
        await broker.reconciliation.reconcile(broker.context.targets["orders"])
        ended = await retry(broker, details)
        with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError)):
            await session.fetchval("SELECT count(*) FROM shop.orders")
    assert ended.grant.state is GrantState.ENDED
    assert ended.grant.end_reason == "vanished"
    assert "gone from the target, and not by us" in (await open_alarms(stage))[0]


class _stopped:  # noqa: N801  (reads as a phrase)
    """Stop a process, as a debugger or a dying disk would."""

    def __init__(self, pid: int) -> None:
        self._pid = pid

    def __enter__(self) -> None:
        os.kill(self._pid, signal.SIGSTOP)

    def __exit__(self, *_: object) -> None:
        with suppress(ProcessLookupError):
            os.kill(self._pid, signal.SIGCONT)
