"""PostgreSQL's other programs, and pgcli."""

import asyncio
import contextlib
import os
import pty
import queue
import sysconfig
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path

import pytest
from pgcli.completion_refresher import CompletionRefresher
from pgcli.pgcompleter import PGCompleter
from pgcli.pgexecute import PGExecute
from pgspecial.main import PGSpecial
from psycopg.conninfo import make_conninfo

from tests.compatibility.programs import NEWEST, Program, find_program
from tests.support.service import Access, clean_environment

pytestmark = pytest.mark.newest

_IN_SHOP = {"options": "-c search_path=shop"}


@pytest.fixture
def newest(
    request: pytest.FixtureRequest, access: Access, record_property: Callable[[str, object], None]
) -> Program:
    """Return the newest major's program that the test names by its client."""
    (marker,) = request.node.iter_markers("client")
    program = find_program(marker.args[0], NEWEST, access)
    record_property("version", program.version)
    return program


@pytest.fixture
def accounts(newest: Program) -> Iterator[None]:
    """Let pgbench make its tables; this is also the COPY of 100,000 rows."""
    newest.run("--initialize", "--init-steps=dtgp", "--quiet", **_IN_SHOP)
    yield
    newest.run("--initialize", "--init-steps=d", **_IN_SHOP)


@pytest.mark.client("pgbench")
@pytest.mark.feature("its tables, all three protocols, pipelines, `-C`")
def test_pgbench_loads_and_runs(newest: Program, accounts: None, tmp_path: Path) -> None:
    pipelined = tmp_path / "pipelined"
    pipelined.write_text("\\startpipeline\nSELECT 1;\nSELECT 2;\n\\endpipeline\n")
    for how, transactions in (
        (("--protocol=simple", "--transactions=20"), 80),
        (("--protocol=extended", "--transactions=20"), 80),
        (("--protocol=prepared", "--transactions=20"), 80),
        (("--protocol=prepared", "--transactions=20", f"--file={pipelined}"), 80),
        # Few at once: a connection counts for its grant until the server has ended its session.
        (("--connect", "--client=2", "--select-only", "--transactions=10"), 20),
    ):
        said = newest.run("--no-vacuum", "--client=4", *how, **_IN_SHOP)
        assert f"actually processed: {transactions}/{transactions}" in said
        assert "number of failed transactions: 0 " in said


@pytest.mark.client("pg_dump")
@pytest.mark.feature("custom format and plain SQL, by a role that may")
def test_pg_dump_reads_what_its_role_may(newest: Program, tmp_path: Path) -> None:
    file = tmp_path / "shop.dump"
    newest.run("--format=custom", "--schema=shop", f"--file={file}")
    assert file.read_bytes().startswith(b"PGDMP")
    sql = newest.run("--schema=shop", "--table=shop.orders")
    assert "COPY shop.orders (id, item) FROM stdin;" in sql


@pytest.mark.pg(">= 17")  # it sets transaction_timeout, whatever the server
@pytest.mark.client("pg_restore")
@pytest.mark.feature("custom format, over what is there (`--clean`)")
def test_pg_restore_puts_back_what_pg_dump_took(
    newest: Program, access: Access, tmp_path: Path
) -> None:
    file = tmp_path / "parts.dump"
    with access.connect() as connection:
        connection.execute("CREATE TABLE shop.parts (id int PRIMARY KEY, name text)")
        connection.execute("INSERT INTO shop.parts SELECT n, 'x' FROM generate_series(1, 500) n")
        pg_dump = find_program("pg_dump", NEWEST, access)
        pg_dump.run("--format=custom", "--table=shop.parts", f"--file={file}")
        connection.execute("UPDATE shop.parts SET name = 'y'")
        database = access.credential.dbname
        newest.run("--clean", "--exit-on-error", "--no-owner", f"--dbname={database}", str(file))
        rows = connection.execute("SELECT name, count(*) FROM shop.parts GROUP BY name").fetchall()
        assert rows == [("x", 500)]
        connection.execute("DROP TABLE shop.parts")


@pytest.mark.client("pgcli")
@pytest.mark.feature("a query at its prompt")
async def test_pgcli_answers_at_its_prompt(
    access: Access, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    record_property("version", version("pgcli"))
    screen, terminal = pty.openpty()
    process = await asyncio.create_subprocess_exec(
        *(Path(sysconfig.get_path("scripts")) / "pgcli", "--less-chatty"),
        env={
            **clean_environment(),
            **access.environment(),
            "HOME": str(tmp_path),
            "XDG_CONFIG_HOME": str(tmp_path),
            "TERM": "dumb",
        },
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
    )
    os.close(terminal)
    os.write(screen, b"SELECT 40 + 2 AS answer, count(*) FROM shop.orders;\r\\q\r")
    shown = await asyncio.wait_for(asyncio.to_thread(_read_to_end, screen), 30)
    assert await process.wait() == 0
    assert "| 42     | 100   |" in shown


def _read_to_end(screen: int) -> str:
    shown = b""
    # Reading a terminal whose other side has closed is an error, not an end of file.
    with contextlib.suppress(OSError):
        while part := os.read(screen, 4096):
            shown += part
    os.close(screen)
    return shown.decode()


@pytest.mark.client("pgcli")
@pytest.mark.feature("completion, over a connection of its own")
def test_pgcli_completes_what_is_there(
    access: Access, record_property: Callable[[str, object], None]
) -> None:
    record_property("version", version("pgcli"))
    executor = PGExecute(dsn=make_conninfo(**access.parameters))
    try:
        learnt: queue.Queue[PGCompleter] = queue.Queue()
        CompletionRefresher().refresh(executor, PGSpecial(), learnt.put)
        completer = learnt.get(timeout=20)
    finally:
        executor.conn.close()
    assert "orders" in completer.dbmetadata["tables"]["shop"]
