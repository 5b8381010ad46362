"""psql of every major."""

import asyncio
import contextlib
import os
import pty
import signal
from pathlib import Path

import pytest

from tests.compatibility.programs import NEWEST, Program, find_program
from tests.support.servers import SUPPORTED
from tests.support.service import Access, Service

pytestmark = pytest.mark.newest

_QUIET = ("-X", "-A", "-t", "-q", "-P", "pager=off")


def _every_psql(since: int = SUPPORTED.start) -> pytest.MarkDecorator:
    majors = range(since, SUPPORTED.stop)
    return pytest.mark.parametrize(
        "psql",
        [pytest.param(each, marks=pytest.mark.client(f"psql {each}")) for each in majors],
        indirect=True,
    )


@pytest.fixture
def psql(request: pytest.FixtureRequest, access: Access) -> Program:
    found = find_program("psql", request.param, access)
    request.node.user_properties.append(("version", found.version))
    return found


def _lines(psql: Program, script: str, **overrides: str) -> list[str]:
    stop = ("-v", "ON_ERROR_STOP=1")
    return psql.run(*_QUIET, *stop, stdin=script, **overrides).splitlines()


@_every_psql()
@pytest.mark.feature("queries, `\\d`, `\\gset`")
def test_queries(psql: Program) -> None:
    script = """
        SELECT count(*) AS orders FROM shop.orders \\gset
        \\echo :orders orders
        \\d shop.orders
        SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid();
        \\conninfo
    """
    printed = "\n".join(_lines(psql, script))
    assert printed.startswith("100 orders\n")
    assert "item|text|" in printed
    assert "SSL" in printed


@_every_psql()
@pytest.mark.feature("`\\copy` both ways")
def test_copies_to_and_from_files(psql: Program, tmp_path: Path) -> None:
    file, back = tmp_path / "numbers", tmp_path / "back"
    file.write_text("".join(f"{number}\n" for number in range(50_000)))
    script = f"""
        CREATE TEMP TABLE numbers (n int);
        \\copy numbers FROM '{file}'
        \\copy (SELECT n FROM numbers ORDER BY n) TO '{back}'
    """
    assert _lines(psql, script) == []
    assert back.read_text() == file.read_text()


@_every_psql()
@pytest.mark.feature("COPY both ways")
def test_copies_in_and_out_of_its_script(psql: Program) -> None:
    script = """
CREATE TEMP TABLE numbers (n int, word text);
COPY numbers FROM STDIN;
1\tone
2\t\\N
\\.
COPY numbers TO STDOUT (FORMAT csv);
"""
    assert _lines(psql, script) == ["1,one", "2,"]


@_every_psql()
@pytest.mark.feature("`\\watch`")
def test_watches_until_an_error(psql: Program) -> None:
    """Every major stops watching at an error; only 16 and later can be told how often."""
    script = """
        CREATE TEMP SEQUENCE round;
        SELECT 6 / (4 - nextval('round')) \\watch 0.02
        SELECT 'still here';
    """
    done = psql.attempt(*_QUIET, stdin=script)
    assert [line for line in done.stdout.splitlines() if line.isdigit()] == ["2", "3", "6"]
    assert done.stdout.endswith("still here\n")
    assert "division by zero" in done.stderr


@_every_psql()
@pytest.mark.feature("LISTEN and NOTIFY")
def test_hears_notifications(psql: Program) -> None:
    (heard,) = _lines(psql, "LISTEN here; NOTIFY here, 'news';")
    assert heard.startswith('Asynchronous notification "here" with payload "news" received')


@_every_psql()
@pytest.mark.feature("large objects (`\\lo_import`, `\\lo_export`)")
def test_large_objects(psql: Program, tmp_path: Path) -> None:
    file, back = tmp_path / "file", tmp_path / "back"
    file.write_bytes(os.urandom(300_000))
    script = f"""
        \\lo_import '{file}'
        \\lo_export :LASTOID '{back}'
        \\lo_unlink :LASTOID
    """
    _lines(psql, script)
    assert back.read_bytes() == file.read_bytes()


@_every_psql()
@pytest.mark.feature("rows in portions (`FETCH_COUNT`)")
def test_reads_rows_in_portions(psql: Program) -> None:
    script = """
        \\set FETCH_COUNT 7
        SELECT id FROM shop.orders ORDER BY id;
    """
    assert _lines(psql, script) == [str(number) for number in range(1, 101)]


@_every_psql()
@pytest.mark.feature("Ctrl-C")
async def test_ctrl_c_cancels_the_query_and_keeps_the_session(
    psql: Program, service: Service
) -> None:
    """At a terminal, where psql goes on after a cancel."""
    screen, terminal = pty.openpty()
    process = await asyncio.create_subprocess_exec(
        *(psql.path, *_QUIET),
        env=psql.environment(),
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
    )
    os.close(terminal)
    os.write(screen, b"SELECT pg_sleep(33);\n")
    await service.until_a_backend_runs("SELECT pg_sleep(33);")
    process.send_signal(signal.SIGINT)
    os.write(screen, b"SELECT 'still' || ' here';\n\\q\n")
    shown = await asyncio.wait_for(asyncio.to_thread(_read_to_end, screen), 20)
    assert await process.wait() == 0
    assert "canceling statement due to user request" in shown
    assert "still here" in shown


def _read_to_end(screen: int) -> str:
    shown = b""
    # Reading a terminal whose other side has closed is an error, not an end of file.
    with contextlib.suppress(OSError):
        while part := os.read(screen, 4096):
            shown += part
    os.close(screen)
    return shown.decode()


@_every_psql()
@pytest.mark.feature("`channel_binding=require`")
def test_insists_on_channel_binding(psql: Program) -> None:
    assert _lines(psql, "SELECT 1;", channel_binding="require") == ["1"]


@_every_psql(since=16)
@pytest.mark.feature("`\\bind`")
def test_binds(psql: Program) -> None:
    script = "SELECT item FROM shop.orders WHERE id = $1 \\bind 7 \\g"
    assert _lines(psql, script) == ["item 7"]


@_every_psql(since=17)
@pytest.mark.feature("`sslnegotiation=direct`")
def test_starts_with_tls(psql: Program) -> None:
    assert _lines(psql, "SELECT 1;", sslnegotiation="direct") == ["1"]


@_every_psql(since=NEWEST)
@pytest.mark.feature("pipeline mode, `\\parse`, `\\bind_named`")
def test_pipelines(psql: Program) -> None:
    script = """
        SELECT item FROM shop.orders WHERE id = $1 \\parse one
        \\startpipeline
        \\bind_named one 1 \\sendpipeline
        \\bind_named one 2 \\sendpipeline
        \\flushrequest
        \\getresults
        SELECT 'last' \\bind \\sendpipeline
        \\syncpipeline
        SELECT $1 \\bind synced \\sendpipeline
        \\endpipeline
        \\close_prepared one
    """
    assert _lines(psql, script) == ["item 1", "item 2", "last", "synced"]


@_every_psql(since=NEWEST)
@pytest.mark.feature("protocol 3.2 only")
def test_insists_on_protocol_3_2(psql: Program) -> None:
    parameters = {"min_protocol_version": "3.2", "max_protocol_version": "latest"}
    script = "\\conninfo\n"
    assert "Protocol Version|3.2" in _lines(psql, script, **parameters)
