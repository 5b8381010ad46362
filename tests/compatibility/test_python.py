"""Python's drivers, what is built on them, and pgAdmin, whose connections are psycopg's."""

import asyncio
import io
import os
import ssl
import time
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import asyncpg
import django
import psycopg
import psycopg2
import psycopg2.errors
import psycopg2.extras
import pytest
import sqlalchemy
from django.conf import settings as django_settings
from django.core.management import call_command
from django.db import connections, transaction
from psycopg import errors
from sqlalchemy.ext.asyncio import create_async_engine

from tests.compatibility.clients.gui_queries import PGADMIN
from tests.support.service import Access, Service

pytestmark = pytest.mark.newest

_NUMBERS = [(number,) for number in range(1000)]
_VERSIONS = {
    "asyncpg": asyncpg.__version__,
    "psycopg 3": f"{psycopg.__version__} with libpq {psycopg.pq.version() // 10_000}",
    "psycopg 2": f"{psycopg2.__version__.split()[0]} with libpq"
    f" {psycopg2.__libpq_version__ // 10_000}",
    "SQLAlchemy": sqlalchemy.__version__,
    "Django": django.get_version(),
    "pgAdmin's queries, over psycopg 3": psycopg.__version__,
}


@pytest.fixture(autouse=True)
def _version(
    request: pytest.FixtureRequest, record_property: Callable[[str, object], None]
) -> None:
    (marker,) = request.node.iter_markers("client")
    record_property("version", _VERSIONS[marker.args[0]])


@pytest.fixture
async def connection(access: Access) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    connected = await _connect(access)
    yield connected
    await connected.close()


async def _connect(access: Access, **overrides: Any) -> "asyncpg.Connection[asyncpg.Record]":
    values = {
        "host": access.credential.host,
        "port": access.credential.port,
        "user": access.credential.user,
        "password": access.credential.password,
        "database": access.credential.dbname,
        "ssl": ssl.create_default_context(cafile=access.root),
        **overrides,
    }
    connected: asyncpg.Connection[asyncpg.Record] = await asyncpg.connect(**values)
    return connected


@pytest.mark.client("asyncpg")
@pytest.mark.feature("queries, prepared statements, cursors")
async def test_asyncpg_prepares_and_scrolls(
    connection: "asyncpg.Connection[asyncpg.Record]",
) -> None:
    statement = await connection.prepare("SELECT item FROM shop.orders WHERE id = $1")
    assert [await statement.fetchval(id_) for id_ in (1, 2)] == ["item 1", "item 2"]
    await connection.executemany("SELECT $1::int", _NUMBERS)
    async with connection.transaction():
        ids = [
            row["id"] async for row in connection.cursor("SELECT id FROM shop.orders ORDER BY 1")
        ]
    assert ids == list(range(1, 101))


@pytest.mark.client("asyncpg")
@pytest.mark.feature("COPY both ways")
async def test_asyncpg_copies(connection: "asyncpg.Connection[asyncpg.Record]") -> None:
    await connection.execute("CREATE TEMP TABLE numbers (n int)")
    await connection.copy_records_to_table("numbers", records=_NUMBERS)
    back = io.BytesIO()
    await connection.copy_from_query("SELECT n FROM numbers", output=back)
    assert back.getvalue().split() == [str(number).encode() for (number,) in _NUMBERS]


@pytest.mark.client("asyncpg")
@pytest.mark.feature("LISTEN and NOTIFY")
async def test_asyncpg_listens(connection: "asyncpg.Connection[asyncpg.Record]") -> None:
    heard: asyncio.Queue[object] = asyncio.Queue()

    def hear(*told: object) -> None:
        heard.put_nowait(told[3])

    await connection.add_listener("here", hear)
    await connection.execute("NOTIFY here, 'news'")
    assert await asyncio.wait_for(heard.get(), 10) == "news"
    await connection.remove_listener("here", hear)


@pytest.mark.client("asyncpg")
@pytest.mark.feature("cancel, at a timeout")
async def test_asyncpg_cancels(connection: "asyncpg.Connection[asyncpg.Record]") -> None:
    with pytest.raises(TimeoutError):
        await connection.execute("SELECT pg_sleep(20)", timeout=0.1)
    assert await connection.fetchval("SELECT 'still here'") == "still here"


@pytest.mark.client("asyncpg")
@pytest.mark.feature("direct TLS (`direct_tls`)")
async def test_asyncpg_starts_with_tls(access: Access) -> None:
    context = ssl.create_default_context(cafile=access.root)
    context.set_alpn_protocols(["postgresql"])
    connected = await _connect(access, ssl=context, direct_tls=True)
    assert await connected.fetchval("SELECT 1") == 1
    await connected.close()


class _Counter(asyncio.Protocol):
    """Counts what arrives and keeps none of it, until the server is ready again."""

    def __init__(self) -> None:
        self.received = 0
        self.ready = asyncio.get_running_loop().create_future()
        self._last = b""

    def data_received(self, data: bytes) -> None:
        self.received += len(data)
        self._last = (self._last + data[-6:])[-6:]
        if self._last == b"Z\0\0\0\5I":
            self.ready.set_result(None)


@pytest.mark.client("asyncpg")
@pytest.mark.feature("a value of 500 MB, read as it comes, the proxy growing by less than 64 MB")
async def test_a_huge_value_passes_through_bounded_memory(access: Access, service: Service) -> None:
    """After asyncpg has connected, bytes are counted and not kept: this process would grow."""
    size = 500_000_000
    connected = await _connect(access)
    await connected.execute("SELECT 1")
    before = _memory(service)
    counter = _Counter()
    transport = connected._transport  # type: ignore[attr-defined]
    transport.set_protocol(counter)
    query = f"SELECT repeat('x', {size})".encode() + b"\0"
    transport.write(b"Q" + (len(query) + 4).to_bytes(4) + query)
    grown = 0
    async with asyncio.timeout(60):
        while not counter.ready.done():
            await asyncio.wait([counter.ready], timeout=0.02)
            grown = max(grown, _memory(service) - before)
    connected.terminate()
    assert size < counter.received < size + 1000
    assert grown < 64_000_000


def _memory(service: Service) -> int:
    """Return the bytes of memory that the proxy's workers have."""
    pages = [Path(f"/proc/{pid}/statm").read_text().split()[1] for pid in service.workers()]
    return sum(map(int, pages)) * os.sysconf("SC_PAGESIZE")


@pytest.mark.client("psycopg 3")
@pytest.mark.feature("queries, prepared statements, binary")
def test_psycopg_prepares(access: Access) -> None:
    with access.connect() as connected:
        for id_ in range(1, 11):
            answer = connected.execute(
                "SELECT item FROM shop.orders WHERE id = %s", (id_,), binary=True
            )
            assert answer.fetchone() == (f"item {id_}",)
        prepared = "SELECT count(*) FROM pg_prepared_statements WHERE statement LIKE '%shop%'"
        assert connected.execute(prepared).fetchone() == (1,)


@pytest.mark.client("psycopg 3")
@pytest.mark.feature("pipeline mode")
def test_psycopg_pipelines(access: Access) -> None:
    with access.connect() as connected:
        with connected.pipeline():
            answers = [connected.execute("SELECT %s::int", number) for number in _NUMBERS]
        assert [answer.fetchone() for answer in answers] == _NUMBERS


@pytest.mark.client("psycopg 3")
@pytest.mark.feature("server-side cursors")
def test_psycopg_scrolls(access: Access) -> None:
    with (
        access.connect() as connected,
        connected.transaction(),
        connected.cursor("scrolling", scrollable=True) as cursor,
    ):
        cursor.execute("SELECT id FROM shop.orders ORDER BY id")
        assert cursor.fetchmany(2) == [(1,), (2,)]
        cursor.scroll(-1)
        assert cursor.fetchone() == (2,)


@pytest.mark.client("psycopg 3")
@pytest.mark.feature("COPY both ways, text and binary")
def test_psycopg_copies(access: Access) -> None:
    with access.connect() as connected, connected.cursor() as cursor:
        cursor.execute("CREATE TEMP TABLE numbers (n int)")
        with cursor.copy("COPY numbers FROM STDIN (FORMAT binary)") as copy:
            copy.set_types(["int4"])
            for number in _NUMBERS:
                copy.write_row(number)
        with cursor.copy("COPY numbers TO STDOUT") as copy:
            assert [int(row[0]) for row in copy.rows()] == [number for (number,) in _NUMBERS]


@pytest.mark.client("psycopg 3")
@pytest.mark.feature("LISTEN and NOTIFY")
def test_psycopg_listens(access: Access) -> None:
    with access.connect() as connected:
        connected.execute("LISTEN here")
        connected.execute("NOTIFY here, 'news'")
        (heard,) = connected.notifies(timeout=10, stop_after=1)
    assert heard.payload == "news"


@pytest.mark.client("psycopg 3")
@pytest.mark.feature("cancel, plain and over TLS")
async def test_psycopg_cancels(access: Access, service: Service) -> None:
    with access.connect() as connected, ThreadPoolExecutor(1) as apart:
        for cancel in (connected.cancel_safe, connected.cancel):
            running = apart.submit(connected.execute, "SELECT pg_sleep(20), 'psycopg'")
            await service.until_a_backend_runs("SELECT pg_sleep(20), 'psycopg'", running)
            cancel()
            with pytest.raises(errors.QueryCanceled):
                running.result()


@pytest.mark.client("psycopg 3")
@pytest.mark.feature("asyncio")
async def test_psycopg_works_in_asyncio(access: Access) -> None:
    parameters: dict[str, Any] = access.parameters
    async with await psycopg.AsyncConnection.connect(**parameters) as connected:
        answer = await connected.execute("SELECT count(*) FROM shop.orders")
        assert await answer.fetchone() == (100,)


@pytest.fixture
def older(access: Access) -> Iterator["psycopg2.extensions.connection"]:
    with closing(psycopg2.connect(**access.parameters)) as connected:
        yield connected


@pytest.mark.client("psycopg 2")
@pytest.mark.feature("queries, many rows at once")
def test_psycopg2_queries(older: "psycopg2.extensions.connection") -> None:
    with older, older.cursor() as cursor:
        cursor.execute("CREATE TEMP TABLE numbers (n int)")
        psycopg2.extras.execute_values(cursor, "INSERT INTO numbers VALUES %s", _NUMBERS)
        cursor.execute("SELECT sum(n) FROM numbers")
        assert cursor.fetchone() == (499_500,)


@pytest.mark.client("psycopg 2")
@pytest.mark.feature("server-side cursors")
def test_psycopg2_scrolls(older: "psycopg2.extensions.connection") -> None:
    with older, older.cursor("scrolling") as cursor:
        cursor.itersize = 7
        cursor.execute("SELECT id FROM shop.orders ORDER BY id")
        assert [row[0] for row in cursor] == list(range(1, 101))


@pytest.mark.client("psycopg 2")
@pytest.mark.feature("COPY both ways")
def test_psycopg2_copies(older: "psycopg2.extensions.connection") -> None:
    numbers = "".join(f"{number}\n" for (number,) in _NUMBERS)
    back = io.StringIO()
    with older, older.cursor() as cursor:
        cursor.execute("CREATE TEMP TABLE numbers (n int)")
        cursor.copy_expert("COPY numbers FROM STDIN", io.StringIO(numbers))
        cursor.copy_expert("COPY numbers TO STDOUT", back)
    assert back.getvalue() == numbers


@pytest.mark.client("psycopg 2")
@pytest.mark.feature("large objects")
def test_psycopg2_stores_large_objects(older: "psycopg2.extensions.connection") -> None:
    content = os.urandom(300_000)
    with older:
        written = older.lobject(0, "wb")
        written.write(content)
        written.close()
        read = older.lobject(written.oid, "rb")
        assert read.read() == content
        read.unlink()


@pytest.mark.client("psycopg 2")
@pytest.mark.feature("LISTEN and NOTIFY")
def test_psycopg2_listens(older: "psycopg2.extensions.connection") -> None:
    older.autocommit = True
    with older.cursor() as cursor:
        cursor.execute("LISTEN here; NOTIFY here, 'news'")
    deadline = time.monotonic() + 10
    while not older.notifies:
        assert time.monotonic() < deadline
        older.poll()
    assert older.notifies[0].payload == "news"


@pytest.mark.client("psycopg 2")
@pytest.mark.feature("cancel")
async def test_psycopg2_cancels(older: "psycopg2.extensions.connection", service: Service) -> None:
    with older.cursor() as cursor, ThreadPoolExecutor(1) as apart:
        running = apart.submit(cursor.execute, "SELECT pg_sleep(20), 'psycopg2'")
        await service.until_a_backend_runs("SELECT pg_sleep(20), 'psycopg2'", running)
        older.cancel()
        with pytest.raises(psycopg2.errors.QueryCanceled):
            running.result()


def _url(access: Access, driver: str) -> sqlalchemy.URL:
    credential = access.credential
    return sqlalchemy.URL.create(
        f"postgresql+{driver}",
        username=credential.user,
        password=credential.password,
        host=credential.host,
        port=credential.port,
        database=credential.dbname,
    )


def _reflect(connected: sqlalchemy.Connection) -> None:
    """Read what there is from the catalog, and query it."""
    metadata = sqlalchemy.MetaData()
    metadata.reflect(connected, schema="shop", only=["orders"])
    orders = metadata.tables["shop.orders"]
    assert [column.name for column in orders.primary_key] == ["id"]
    assert not orders.c.item.nullable
    count = sqlalchemy.select(sqlalchemy.func.count()).select_from(orders)
    assert connected.scalar(count) == 100


@pytest.mark.client("SQLAlchemy")
@pytest.mark.feature("reflection and streamed rows over psycopg 2, psycopg 3 and asyncpg")
async def test_sqlalchemy_reflects(access: Access) -> None:
    tls = {"sslmode": "verify-full", "sslrootcert": str(access.root)}
    for driver in ("psycopg2", "psycopg"):
        engine = sqlalchemy.create_engine(_url(access, driver), connect_args=tls)
        with engine.connect() as connected:
            _reflect(connected)
            options = {"stream_results": True, "yield_per": 7}
            rows = connected.execution_options(**options).exec_driver_sql("TABLE shop.orders")
            assert sum(1 for _ in rows) == 100
        engine.dispose()
    context = ssl.create_default_context(cafile=access.root)
    later = create_async_engine(_url(access, "asyncpg"), connect_args={"ssl": context})
    async with later.connect() as waiting:
        await waiting.run_sync(_reflect)
    await later.dispose()


@pytest.mark.pg(">= 14")  # Django's own limit
@pytest.mark.client("Django")
@pytest.mark.feature("`inspectdb`, savepoints, server-side cursors")
def test_django_inspects(access: Access) -> None:
    """Without a project: its settings are a dictionary."""
    if not django_settings.configured:
        django_settings.configure(DATABASES={"default": _django_database(access)})
        django.setup()
    with closing(connections["default"]) as connected:
        models = io.StringIO()
        call_command("inspectdb", stdout=models)
        assert "class Orders(models.Model):" in models.getvalue()
        assert "id = models.IntegerField(primary_key=True)" in models.getvalue()
        with transaction.atomic(), transaction.atomic(), connected.chunked_cursor() as cursor:
            cursor.execute("SELECT id FROM orders ORDER BY id")
            assert cursor.fetchmany(2) == [(1,), (2,)]


def _django_database(access: Access) -> dict[str, Any]:
    credential = access.credential
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": credential.dbname,
        "USER": credential.user,
        "PASSWORD": credential.password,
        "HOST": credential.host,
        "PORT": credential.port,
        "OPTIONS": {
            "sslmode": "verify-full",
            "sslrootcert": str(access.root),
            "options": "-c search_path=shop",
        },
    }


@pytest.mark.client("pgAdmin's queries, over psycopg 3")
@pytest.mark.feature("start-up, dashboard and tree, on two connections")
def test_pgadmin_starts(access: Access) -> None:
    with (
        access.connect(application_name="pgAdmin 4 - DB:orders") as tree,
        access.connect(application_name="pgAdmin 4 - CONN:1") as editor,
    ):
        for query in PGADMIN:
            for connected in (tree, editor):
                answer: psycopg.Cursor[Any] = connected.execute(query.encode())
                assert answer.statusmessage
