"""Real clients through the proxy: they get in with plain connection parameters, do what their role
allows, and understand what they are told."""

import asyncio
import shutil
import ssl
from datetime import timedelta

import asyncpg
import psycopg
import pytest
from psycopg import errors

from tests.support.service import Access, Service, wait_for
from tests.support.stage import DEV, REVIEWER

# Long enough to be approved and connected on a busy machine, short enough to wait for.
CURFEW = timedelta(seconds=5)

needs_psql = pytest.mark.skipif(shutil.which("psql") is None, reason="psql is not installed")


async def _asyncpg(access: Access, **overrides: object) -> "asyncpg.Connection[asyncpg.Record]":
    credential = access.credential
    values = {
        "host": credential.host,
        "port": credential.port,
        "user": credential.user,
        "password": credential.password,
        "database": credential.dbname,
        "ssl": ssl.create_default_context(cafile=access.root),
        **overrides,
    }
    connection: asyncpg.Connection[asyncpg.Record] = await asyncpg.connect(**values)  # type: ignore[call-overload]
    return connection


@needs_psql
async def test_psql_reads_over_verified_tls(service: Service) -> None:
    access = await service.get_access()
    done = access.psql("-c", "SELECT current_user, count(*) FROM shop.orders", "-c", "\\conninfo")
    assert done.stderr == ""
    assert done.stdout.splitlines()[0] == f"{access.credential.user}|100"
    assert "SSL" in done.stdout


@needs_psql
async def test_psql_does_not_take_another_server_for_the_proxy(service: Service) -> None:
    access = await service.get_access()
    done = access.psql("-c", "SELECT 1", host="elsewhere.invalid", hostaddr="127.0.0.1")
    assert done.returncode == 2
    assert "does not match host name" in done.stderr


async def test_a_reader_cannot_write_and_a_writer_can(service: Service) -> None:
    with (await service.get_access()).connect() as reader:
        with pytest.raises(errors.InsufficientPrivilege):
            reader.execute("DELETE FROM shop.orders")
        with pytest.raises(errors.InsufficientPrivilege):
            reader.execute("CREATE TABLE shop.mine (id int)")
        with pytest.raises(errors.InsufficientPrivilege):
            reader.execute("SET ROLE orders_owner")
    with (await service.get_access("orders_writer")).connect() as writer:
        assert writer.execute("UPDATE shop.orders SET item = item").rowcount == 100


async def test_psycopg_copies_pipelines_and_scrolls(service: Service) -> None:
    with (await service.get_access("orders_writer")).connect() as connection:
        connection.execute("CREATE TEMP TABLE numbers (n int)")
        with connection.cursor().copy("COPY numbers FROM STDIN") as copy:
            for number in range(10_000):
                copy.write_row((number,))
        with connection.pipeline():
            sums = [connection.execute("SELECT sum(n) FROM numbers") for _ in range(20)]
        assert {cursor.fetchone() for cursor in sums} == {(49_995_000,)}
        with connection.transaction(), connection.cursor("scrolling") as cursor:
            cursor.execute("SELECT n FROM numbers ORDER BY n")
            assert cursor.fetchmany(2) == [(0,), (1,)]
        with connection.cursor().copy("COPY numbers TO STDOUT") as copy:
            assert sum(1 for _ in copy.rows()) == 10_000


async def test_asyncpg_prepares_copies_and_listens(service: Service) -> None:
    connection = await _asyncpg(await service.get_access("orders_writer"))
    try:
        statement = await connection.prepare("SELECT item FROM shop.orders WHERE id = $1")
        assert await statement.fetchval(7) == "item 7"
        heard: asyncio.Queue[str] = asyncio.Queue()
        await connection.add_listener("here", lambda *args: heard.put_nowait(str(args[3])))
        await connection.execute("NOTIFY here, 'news'")
        assert await asyncio.wait_for(heard.get(), 10) == "news"
        await connection.execute("CREATE TEMP TABLE numbers (n int)")
        records = [(number,) for number in range(1000)]
        await connection.copy_records_to_table("numbers", records=records)
        assert await connection.fetchval("SELECT count(*) FROM numbers") == 1000
    finally:
        await connection.close()


async def test_a_large_value_comes_through_whole(service: Service) -> None:
    with (await service.get_access()).connect() as connection:
        row = connection.execute("SELECT repeat('x', 50000000)").fetchone()
        assert row == ("x" * 50_000_000,)


async def test_the_clients_own_settings_arrive_and_its_name_carries_the_grant(
    service: Service,
) -> None:
    access = await service.get_access()
    with access.connect(
        application_name="reports", options="-c statement_timeout=12345 -c TimeZone=Asia/Tokyo"
    ) as connection:
        row = connection.execute(
            "SELECT current_setting('statement_timeout'), current_setting('TimeZone'), "
            "current_setting('application_name')"
        ).fetchone()
    assert row == ("12345ms", "Asia/Tokyo", f"{access.grant.id} 127.0.0.1 reports")


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"options": "-c role=orders_owner"}, 'parameter "role" cannot be set'),
        ({"options": "--session-authorization=postgres"}, '"session_authorization" cannot'),
        ({"replication": "database"}, "replication connections are not available"),
    ],
)
async def test_what_would_change_who_acts_is_refused_with_a_reason(
    service: Service, parameters: dict[str, str], message: str
) -> None:
    access = await service.get_access()
    with pytest.raises(psycopg.OperationalError, match=message):
        access.connect(**parameters)


async def test_a_query_is_cancelled_by_the_client(service: Service) -> None:
    """Both ways that clients send it: over TLS, and in the clear as older ones do."""
    with (await service.get_access()).connect() as connection:
        for cancel in (connection.cancel_safe, connection.cancel):
            loop = asyncio.get_running_loop()
            running = loop.run_in_executor(None, connection.execute, "SELECT pg_sleep(30)")
            await service.until_a_backend_runs("SELECT pg_sleep(30)", running)
            await loop.run_in_executor(None, cancel)
            with pytest.raises(errors.QueryCanceled):
                await running
        assert connection.execute("SELECT 1").fetchone() == (1,)


async def test_a_key_that_is_nobodys_cancels_nothing(service: Service) -> None:
    with (await service.get_access()).connect() as connection:
        loop = asyncio.get_running_loop()
        running = loop.run_in_executor(None, connection.execute, "SELECT pg_sleep(1), 'slept'")
        await service.until_a_backend_runs("SELECT pg_sleep(1), 'slept'", running)
        _reader, writer = await asyncio.open_connection("127.0.0.1", service.proxy_port)
        writer.write(bytes.fromhex("00000010 04d2162e 00000001 00000002"))
        await writer.drain()
        writer.close()
        assert [row[1] for row in await running] == ["slept"]


async def test_sessions_are_on_record_while_they_last_and_after(service: Service) -> None:
    access = await service.get_access()
    async with service.client(DEV) as dev:
        with access.connect(application_name="reports") as connection:
            connection.execute("SELECT 1")
            (row,) = (await dev.list_sessions(grant_id=access.grant.id, status="open")).items
            assert (row.person, row.client_address) == (DEV, "127.0.0.1")
            assert row.client_application == "reports"
            assert row.ended_at is None

        async def ended() -> bool:
            return bool((await dev.list_sessions(grant_id=access.grant.id, status="ended")).items)

        async with asyncio.timeout(10):
            while not await ended():
                await asyncio.sleep(0.02)
        (row,) = (await dev.list_sessions(grant_id=access.grant.id)).items
    assert row.end_reason == "closed by the client"
    assert (row.bytes_from_client or 0) > 0
    assert (row.bytes_to_client or 0) > 0


async def test_the_login_is_the_grants_and_shows_in_the_targets_own_views(
    service: Service,
) -> None:
    access = await service.get_access()
    with access.connect():
        names = await service.stage.query(
            "SELECT usename || ' ' || application_name FROM pg_stat_activity WHERE usename = $1",
            access.credential.user,
        )
    assert names.startswith(f"{access.grant.login} {access.grant.id} 127.0.0.1")


async def test_many_sessions_of_one_grant_until_its_limit(service: Service) -> None:
    access = await service.get_access()
    connections = [access.connect() for _ in range(10)]
    try:
        with pytest.raises(psycopg.OperationalError, match=r"for grant .*: at most 10"):
            access.connect()
    finally:
        for connection in connections:
            connection.close()


async def test_the_curfew_ends_an_open_session_with_words_for_people(service: Service) -> None:
    access = await service.get_access(duration=CURFEW)
    with access.connect() as connection, pytest.raises(errors.AdminShutdown) as ended:
        connection.execute("SELECT pg_sleep(30)")
    message = ended.value.diag
    assert message.sqlstate == "57P01"
    assert (message.message_primary or "").startswith(
        f"access ended: grant {access.grant.id} expired at 20"
    )
    assert message.message_hint == "Ask again: pgcurfew request orders orders_reader --for 1h"
    with pytest.raises(psycopg.OperationalError, match="no live grant"):
        access.connect()


async def test_a_revoked_grant_ends_its_sessions_and_says_who_did_it(service: Service) -> None:
    access = await service.get_access()
    loop = asyncio.get_running_loop()
    with access.connect() as connection:
        running = loop.run_in_executor(None, connection.execute, "SELECT pg_sleep(32)")
        await service.until_a_backend_runs("SELECT pg_sleep(32)", running)
        async with service.client(REVIEWER) as reviewer:
            ended = await reviewer.revoke(access.grant.id, reason="wrong database")
        assert ended.state == "ended"
        with pytest.raises(errors.AdminShutdown, match=f"revoked by {REVIEWER}: wrong database"):
            await running


async def test_a_session_that_streams_ends_between_two_rows(service: Service) -> None:
    """The last message never lands inside a row, where the client would take it for data."""
    access = await service.get_access(duration=CURFEW)
    with access.connect() as connection:
        seen = 0

        def read_all() -> None:
            nonlocal seen
            endless = "SELECT generate_series(1, 1000000000), repeat('x', 1000)"
            with connection.cursor().copy(f"COPY ({endless}) TO STDOUT") as copy:
                for row in copy.rows():
                    seen += 1
                    assert row == (str(seen), "x" * 1000)

        with pytest.raises(errors.AdminShutdown, match="access ended"):
            read_all()
    assert seen > 0


async def test_an_idle_session_is_told_at_its_next_query(service: Service) -> None:
    access = await service.get_access()
    with access.connect() as connection:
        async with service.client(DEV) as dev:
            assert (await dev.relinquish(access.grant.id)).state == "ended"
        with pytest.raises(errors.AdminShutdown, match="was relinquished"):
            connection.execute("SELECT 1")


async def test_a_dead_worker_takes_only_its_own_sessions_and_is_replaced(
    service: Service,
) -> None:
    access = await service.get_access()
    (worker,) = service.workers()
    with access.connect() as connection:
        service.kill(worker)
        with pytest.raises(psycopg.OperationalError):
            connection.execute("SELECT 1")
    wait_for(lambda: bool(service.workers()) and service.workers() != [worker])
    wait_for(service.proxy_answers)
    with access.connect() as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
