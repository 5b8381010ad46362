"""What policies say about statements, held by the proxy: some are refused, budgets end, and a
COMMIT that changed much waits for somebody."""

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import asyncpg
import psycopg
import pytest
from psycopg import errors

from tests.support.command_line import run_pgcurfew
from tests.support.servers import Server
from tests.support.service import PATIENCE_S, Access, Service, run_service
from tests.support.stage import DEV, REVIEWER, set_up_apart

pytestmark = pytest.mark.newest


def _policy(role: str, **statements: Any) -> dict[str, Any]:
    return {"resources": [{"target": "orders", "role": role}], "statements": statements}


@pytest.fixture(scope="module")
def strict(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """Readers have a budget, writers a commit gate, and owners may not change the schema."""
    with (
        set_up_apart(server, tmp_path_factory.mktemp("strict")) as stage,
        run_service(stage, (DEV, REVIEWER)) as service,
    ):
        stage.write_policies(
            _policy("orders_reader", budget={"rows": 500, "bytes": "1MB"}),
            _policy("orders_writer", commit_gate={"rows": 3, "within": "20s", "by": "person"}),
            _policy("orders_owner", refuse=["ddl", "unbounded_write"]),
        )
        service.reload("policies: version")
        yield service


class TestRefused:
    async def test_a_statement_of_a_refused_kind_never_reaches_the_target(
        self, strict: Service
    ) -> None:
        access = await strict.get_access("orders_owner")
        with access.connect() as session:
            with pytest.raises(
                errors.InsufficientPrivilege, match="statements that change the sch"
            ):
                session.execute("CREATE TABLE shop.mine (id int)")
            assert session.execute("SELECT to_regclass('shop.mine')").fetchone() == (None,)

    async def test_a_transaction_is_aborted_as_after_any_error(self, strict: Service) -> None:
        access = await strict.get_access("orders_owner")
        with access.connect() as session:
            session.execute("BEGIN")
            with pytest.raises(errors.InsufficientPrivilege):
                session.execute("DELETE FROM shop.orders")
            with pytest.raises(errors.InFailedSqlTransaction):
                session.execute("SELECT 1")
            session.execute("ROLLBACK")
            assert session.execute("SELECT count(*) > 0 FROM shop.orders").fetchone() == (True,)

    @pytest.mark.parametrize(
        "hidden",
        [
            "/* SELECT */ dRoP tAbLe shop.orders",
            "SELECT 1; DROP TABLE shop.orders",
            "EXPLAIN ANALYZE DELETE FROM shop.orders",
            "WITH gone AS (DELETE FROM shop.orders RETURNING *) SELECT count(*) FROM gone",
            "PREPARE later AS DELETE FROM shop.orders",
        ],
    )
    async def test_it_is_found_wherever_it_hides(self, strict: Service, hidden: str) -> None:
        access = await strict.get_access("orders_owner")
        with access.connect() as session:
            with pytest.raises(errors.InsufficientPrivilege):
                session.execute(hidden)
            assert session.execute("SELECT count(*) > 0 FROM shop.orders").fetchone() == (True,)

    async def test_the_extended_protocol_is_no_way_round(self, strict: Service) -> None:
        """A driver that prepares everything, pipelines, and goes on after an error."""
        access = await strict.get_access("orders_owner")
        with access.connect() as session:

            def drop_in_between() -> None:
                with session.pipeline():
                    session.execute("SELECT 1")
                    session.execute("DROP TABLE shop.orders", prepare=True)
                    session.execute("SELECT 2")

            with pytest.raises(errors.InsufficientPrivilege):
                drop_in_between()
            assert session.execute("SELECT 3", prepare=True).fetchone() == (3,)
        connection = await asyncpg.connect(**_asyncpg(access))
        try:
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.fetch("DELETE FROM shop.orders")
            assert await connection.fetchval("SELECT $1::int", 4) == 4
        finally:
            await connection.close()

    async def test_it_is_on_record_as_refused(self, strict: Service) -> None:
        access = await strict.get_access("orders_owner")
        with access.connect() as session, pytest.raises(errors.InsufficientPrivilege):
            session.execute("DROP TABLE shop.refused_by_the_proxy")
        where = "text LIKE 'DROP TABLE shop.refused_by_the_proxy%'"
        sql = f"SELECT ending || ' ' || sqlstate FROM curfew.statements WHERE {where}"
        assert await _until(strict, sql, lambda found: found is not None) == "refused 42501"


class TestBudget:
    async def test_it_is_announced_and_then_ends_the_session(self, strict: Service) -> None:
        access = await strict.get_access()
        with access.connect() as session:
            said: list[str] = []
            session.add_notice_handler(lambda notice: said.append(str(notice.message_primary)))
            assert len(session.execute("SELECT generate_series(1, 420)").fetchall()) == 420
            session.execute("SELECT 1")
            assert [each for each in said if "84% of the budget" in each]
            with pytest.raises(psycopg.Error, match="used up: 500 rows, and no more"):
                session.execute("SELECT generate_series(1, 1000000)").fetchall()
        with pytest.raises(psycopg.OperationalError) as refusal:
            access.connect()
        assert "is used up" in str(refusal.value)
        assert "pgcurfew extend" in str(refusal.value)

    async def test_it_is_of_all_sessions_of_the_grant_together(self, strict: Service) -> None:
        access = await strict.get_access()
        with access.connect() as first:
            first.execute("SELECT generate_series(1, 300)").fetchall()
            await _until(
                strict,
                f"SELECT rows_sent FROM curfew.grants WHERE id = '{access.grant.id}'",
                lambda rows: rows >= 300,
            )
            with access.connect() as second, pytest.raises(psycopg.Error, match="used up"):
                second.execute("SELECT generate_series(1, 250)").fetchall()

    async def test_bytes_count_too(self, strict: Service) -> None:
        access = await strict.get_access()
        with access.connect() as session, pytest.raises(psycopg.Error, match="1MB, and no more"):
            session.execute("SELECT repeat('x', 3000000)").fetchall()

    async def test_so_do_rows_of_copy(self, strict: Service) -> None:
        access = await strict.get_access()
        with access.connect() as session, session.cursor() as cursor:
            everything = "COPY (SELECT generate_series(1, 1000)) TO STDOUT"
            with pytest.raises(psycopg.Error, match="500 rows, and no more"):  # noqa: SIM117
                with cursor.copy(everything) as copy:
                    assert len(list(copy)) <= 500


class TestCommitGate:
    async def test_a_small_change_is_committed_at_once(self, strict: Service) -> None:
        access = await strict.get_access("orders_writer")
        with access.connect() as session:
            session.execute("BEGIN")
            session.execute("UPDATE shop.orders SET item = 'small' WHERE id <= 3")
            session.execute("COMMIT")
            found = session.execute("SELECT count(*) FROM shop.orders WHERE item = 'small'")
            assert found.fetchone() == (3,)

    async def test_a_large_one_waits_until_the_person_confirms_it(self, strict: Service) -> None:
        access = await strict.get_access("orders_writer")
        with access.connect() as session:
            said: list[str] = []
            session.add_notice_handler(lambda notice: said.append(str(notice.message_primary)))
            session.execute("BEGIN")
            session.execute("UPDATE shop.orders SET item = 'large' WHERE id <= 5")
            committing = _apart(session, "COMMIT")
            held = await _held(strict, access)
            assert not committing.done()
            result = run_pgcurfew(strict.environment(DEV), "commits", "confirm", held)
            assert result.returncode == 0, result.stderr
            await committing
            assert "COMMIT is held: the transaction changed 5 rows" in said[0]
            found = session.execute("SELECT count(*) FROM shop.orders WHERE item = 'large'")
            assert found.fetchone() == (5,)

    async def test_drivers_that_prepare_their_commit_are_held_as_well(
        self, strict: Service
    ) -> None:
        access = await strict.get_access("orders_writer")
        connection = await asyncpg.connect(**_asyncpg(access))
        try:
            await connection.execute("BEGIN")
            await connection.fetch("UPDATE shop.orders SET item = $1 WHERE id <= 6", "prepared")
            async with asyncio.TaskGroup() as tasks:
                committing = tasks.create_task(connection.fetch("COMMIT"))
                held = await _held(strict, access)
                assert not committing.done()
                run_pgcurfew(strict.environment(DEV), "commits", "confirm", held)
            count = "SELECT count(*) FROM shop.orders WHERE item = 'prepared'"
            assert await connection.fetchval(count) == 6
        finally:
            await connection.close()

    async def test_one_that_is_not_confirmed_is_rolled_back(self, strict: Service) -> None:
        access = await strict.get_access("orders_writer")
        with access.connect() as session:
            session.execute("BEGIN")
            session.execute("UPDATE shop.orders SET item = 'never'")
            committing = _apart(session, "COMMIT")
            held = await _held(strict, access)
            run_pgcurfew(strict.environment(DEV), "commits", "roll-back", held)
            with pytest.raises(psycopg.Error, match="the transaction was rolled back"):
                await committing
        changed = "SELECT count(*) FROM shop.orders WHERE item = 'never'"
        assert await strict.stage.query(changed) == 0

    async def test_a_change_outside_a_transaction_could_not_be_held(self, strict: Service) -> None:
        access = await strict.get_access("orders_writer")
        with access.connect() as session:
            for change in ("UPDATE shop.orders SET item = 'x'", "DO $$BEGIN END$$"):
                with pytest.raises(errors.NoActiveSqlTransaction, match="begin a transaction"):
                    session.execute(change)
            with pytest.raises(errors.NoActiveSqlTransaction):
                session.execute("UPDATE shop.orders SET item = %s", ("x",), prepare=True)
            assert session.execute("SELECT 1").fetchone() == (1,)

    async def test_a_pipeline_is_held_at_its_commit(self, strict: Service) -> None:
        """What it changed is not answered for before the COMMIT comes."""
        access = await strict.get_access("orders_writer")
        with access.connect() as session:

            def change() -> None:
                with session.pipeline():
                    session.execute("BEGIN")
                    session.execute("UPDATE shop.orders SET item = 'piped' WHERE id <= 7")
                    session.execute("COMMIT")

            running = asyncio.get_running_loop().run_in_executor(None, change)
            held = await _held(strict, access)
            run_pgcurfew(strict.environment(DEV), "commits", "confirm", held)
            await running
        changed = "SELECT count(*) FROM shop.orders WHERE item = 'piped'"
        assert await strict.stage.query(changed) == 7


def _apart(session: Any, sql: str) -> "asyncio.Future[Any]":
    return asyncio.get_running_loop().run_in_executor(None, session.execute, sql)


async def _held(service: Service, access: Access) -> str:
    sql = f"""SELECT id FROM curfew.held_commits
               WHERE grant_id = '{access.grant.id}' AND decision IS NULL"""
    return str(await _until(service, sql, lambda found: found is not None))


async def _until(service: Service, sql: str, holds: Callable[[Any], bool]) -> Any:
    """Ask the ledger until the answer holds."""
    async with asyncio.timeout(PATIENCE_S):
        while not holds(found := await service.stage.query_ledger(sql)):
            await asyncio.sleep(0.05)
    return found


def _asyncpg(access: Access) -> dict[str, Any]:
    import ssl  # noqa: PLC0415

    credential = access.credential
    return {
        "host": credential.host,
        "port": credential.port,
        "user": credential.user,
        "password": credential.password,
        "database": credential.dbname,
        "ssl": ssl.create_default_context(cafile=str(access.root)),
    }
