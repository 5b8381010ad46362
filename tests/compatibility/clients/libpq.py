"""Drives the libpq at the given path, through psycopg and ctypes, and prints a report."""

import ctypes.util
import functools
import os
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from tests.compatibility.clients.reporting import from_environment, report_on

if TYPE_CHECKING:
    import psycopg


def main(library: str) -> None:
    # psycopg's own libpq is newest; without it, it takes the one that the system names.
    os.environ["PSYCOPG_IMPL"] = "python"
    ctypes.util.find_library = lambda name: library  # noqa: ARG005
    import psycopg  # noqa: PLC0415

    version = psycopg.pq.version()
    major, minor = divmod(version, 10_000)
    features: dict[str, Callable[[], None]] = {
        "queries": _query,
        "COPY both ways": _copy,
        "LISTEN and NOTIFY": _listen,
        "cancel (`PQcancel`)": functools.partial(_cancel, "cancel"),
        "`channel_binding=require`": _require_channel_binding,
    }
    if major >= 14:
        features["pipeline mode"] = _pipeline
    if major >= 17:
        features["cancel (`PQcancelBlocking`)"] = functools.partial(_cancel, "cancel_safe")
        features["`sslnegotiation=direct`"] = _start_with_tls
    if major >= 18:
        features["protocol 3.2 only, both ways to cancel"] = _cancel_in_protocol_3_2
    report_on(f"{major}.{minor}", features)


def _connect(**overrides: str) -> "psycopg.Connection[tuple[Any, ...]]":
    import psycopg  # noqa: PLC0415

    return psycopg.connect(**{**from_environment(), **overrides}, autocommit=True)  # type: ignore[arg-type]


def _query() -> None:
    with _connect() as connection:
        for number in range(1, 11):
            row = connection.execute(
                "SELECT item FROM shop.orders WHERE id = %s", (number,), prepare=True
            ).fetchone()
            assert row == (f"item {number}",)


def _copy() -> None:
    with _connect() as connection, connection.cursor() as cursor:
        cursor.execute("CREATE TEMP TABLE numbers (n int)")
        with cursor.copy("COPY numbers FROM STDIN") as copy:
            for number in range(1000):
                copy.write_row((number,))
        with cursor.copy("COPY numbers TO STDOUT") as copy:
            assert [row for (row,) in copy.rows()] == [str(number) for number in range(1000)]


def _listen() -> None:
    with _connect() as connection:
        connection.execute("LISTEN here")
        connection.execute("NOTIFY here, 'news'")
        (heard,) = connection.notifies(timeout=10, stop_after=1)
        assert heard.payload == "news"


def _pipeline() -> None:
    with _connect() as connection:
        with connection.pipeline():
            answers = [connection.execute("SELECT %s::int", (number,)) for number in range(50)]
        assert [answer.fetchone() for answer in answers] == [(number,) for number in range(50)]


def _require_channel_binding() -> None:
    with _connect(channel_binding="require") as connection:
        connection.execute("SELECT 1")


def _start_with_tls() -> None:
    with _connect(sslnegotiation="direct") as connection:
        connection.execute("SELECT 1")


def _cancel_in_protocol_3_2() -> None:
    """Its keys have 32 bytes."""
    for way in ("cancel_safe", "cancel"):
        _cancel(way, min_protocol_version="3.2", max_protocol_version="latest")


def _cancel(way: str, **overrides: str) -> None:
    from psycopg import errors  # noqa: PLC0415

    sleep = f"SELECT pg_sleep(20), '{way}', {len(overrides)}"
    with _connect(**overrides) as connection, ThreadPoolExecutor(1) as apart:
        running = apart.submit(connection.execute, sleep)
        _wait_for(sleep)
        getattr(connection, way)()
        try:
            running.result()
        except errors.QueryCanceled:
            assert connection.execute("SELECT 1").fetchone() == (1,)
        else:
            raise AssertionError("it was not cancelled")


def _wait_for(sql: str) -> None:
    """Wait until the server says that it runs; the proxy's pids are not the server's."""
    state = "SELECT count(*) FROM pg_stat_activity WHERE query = %s AND state = 'active'"
    with _connect() as connection:
        deadline = time.monotonic() + 10
        while connection.execute(state, (sql,)).fetchone() != (1,):
            assert time.monotonic() < deadline


if __name__ == "__main__":
    main(sys.argv[1])
