"""From giving a grant back to its client's socket closed, and to its login gone.

Prints JSON; exits 1 if a bar is missed, 2 if nothing could be measured. See benchmarks/README.md.
Linux only: the end of the other side of a socket is what EPOLLRDHUP says.
"""

import argparse
import asyncio
import os
import select
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, TypeAlias

import psycopg
from errors import CannotMeasure
from measure import busy_share
from product import DATABASE, ROLE, People, Product, run_product
from script import Report, figures, miss, ms, percentile, positive, run, say

from api.schemas import CredentialView
from broker.embedded import find_binaries

# The bars, both for the 99th percentile.
MAX_CLOSED_S = 0.25
MAX_GONE_S = 1.5

Connection: TypeAlias = "psycopg.Connection[tuple[Any, ...]]"

TABLES = 100
_SCHEMA = "work"
_TABLE_NAMES = [f"{_SCHEMA}.made_{number}" for number in range(TABLES)]
_PATIENCE_S = 30.0
_WARM_UP = 2
_WATCH_S = 0.5
_WATCH_EVERY = 10  # rounds


@dataclass(frozen=True, slots=True)
class Kind:
    """What a session is doing when its grant ends. Who waits at a prompt does not read: the client
    reads when its person types, or never. An event loop reads at once."""

    works: bool
    reads: bool

    def __str__(self) -> str:
        doing = "open transaction" if self.works else "idle"
        return f"{doing}, client {'reads' if self.reads else 'does not read'}"


KINDS = tuple(Kind(works, reads) for works in (False, True) for reads in (False, True))


@dataclass(frozen=True, slots=True)
class Ending:
    """Seconds from just before the request to give back was sent, by the client's clock.

    `told_s`: the goodbye can be read; `closed_s`: the other side has closed the socket; `gone_s`:
    the API says that the grant has ended, so the login is gone and the receipt is written.
    """

    told_s: float
    closed_s: float
    gone_s: float
    unproved: tuple[str, ...] = ()


class Watch:
    """Notes when the other side of a connection speaks, and when it closes."""

    def __init__(self, connection: Connection, *, reads: bool) -> None:
        self._loop = asyncio.get_running_loop()
        self._connection = connection
        self._reads = reads
        self.told: asyncio.Future[float] = self._loop.create_future()
        self.closed: asyncio.Future[float] = self._loop.create_future()
        # Our own name for the socket: libpq closes its descriptor when it sees the end.
        self._socket = os.dup(connection.fileno())
        self._spoken = self._epoll(select.EPOLLIN, self._note_told)
        self._ended = self._epoll(select.EPOLLRDHUP, self._note_closed)

    def _epoll(self, event: int, note: Callable[[], None]) -> select.epoll:
        # The loop cannot watch for a FIN, but it can watch whoever does.
        epoll = select.epoll()
        epoll.register(self._socket, event)
        self._loop.add_reader(epoll.fileno(), note)
        return epoll

    def stop(self) -> None:
        for epoll in (self._spoken, self._ended):
            self._loop.remove_reader(epoll.fileno())
            epoll.close()
        os.close(self._socket)

    def _note_told(self) -> None:
        if not self.told.done():
            self.told.set_result(time.perf_counter())
        if self._reads:
            try:
                self._connection.pgconn.consume_input()
            except psycopg.OperationalError:  # the end: libpq has closed its side
                self._loop.remove_reader(self._spoken.fileno())
        else:
            self._loop.remove_reader(self._spoken.fileno())

    def _note_closed(self) -> None:
        self._loop.remove_reader(self._ended.fileno())
        self.closed.set_result(time.perf_counter())


def measure(rounds: int, binaries: Path) -> Report:
    say("setting the stage")
    with run_product(binaries) as product:
        return asyncio.run(_measure(product, rounds))


async def _measure(product: Product, rounds: int) -> Report:
    async with product.server.superuser() as db:
        await db.execute(f"CREATE SCHEMA {_SCHEMA}; GRANT ALL ON SCHEMA {_SCHEMA} TO {ROLE}")
    endings: dict[Kind, list[Ending]] = {kind: [] for kind in KINDS}
    async with product.people() as people:
        busy = []
        for number in range(_WARM_UP + rounds):
            if number % _WATCH_EVERY == 0:
                busy.append(busy_share(_WATCH_S))
            for kind in KINDS:
                ending = await _end_one(product, people, kind)
                if number >= _WARM_UP:
                    endings[kind].append(ending)
            if number % 10 == 9:
                say(f"{number + 1} rounds")
    return _report(product, endings, rounds, median(busy))


async def _end_one(product: Product, people: People, kind: Kind) -> Ending:
    grant, credential = await people.issue(await people.ask())
    with _connection(product, credential) as connection:
        if kind.works:
            _leave_an_open_transaction(connection)
        else:
            connection.execute("SELECT 1")
        ending = await _give_back(people, grant.id, connection, kind)
    async with product.server.superuser() as db:
        if await db.fetchval("SELECT count(*) FROM pg_roles WHERE rolname = $1", credential.user):
            raise CannotMeasure(f"{credential.user} is still there")
        if kind.works:
            await db.execute(f"DROP TABLE {', '.join(_TABLE_NAMES)}")
    return ending


@contextmanager
def _connection(product: Product, credential: CredentialView) -> Iterator[Connection]:
    connection = psycopg.connect(
        host="127.0.0.1",
        port=product.proxy_port,
        user=credential.user,
        password=credential.password,
        dbname=DATABASE,
        sslmode="require",
        autocommit=True,
    )
    try:
        yield connection
    finally:
        connection.close()


def _leave_an_open_transaction(connection: Connection) -> None:
    """Own tables, and hold a lock on one of them."""
    with connection.transaction():
        for name in _TABLE_NAMES:
            connection.execute(f"CREATE TABLE {name} (id int PRIMARY KEY, item text)".encode())
    connection.execute(b"BEGIN")
    connection.execute(f"INSERT INTO {_TABLE_NAMES[0]} VALUES (1, 'unfinished')".encode())


async def _give_back(people: People, grant_id: str, connection: Connection, kind: Kind) -> Ending:
    watch = Watch(connection, reads=kind.reads)
    try:
        async with asyncio.timeout(_PATIENCE_S):
            began = time.perf_counter()
            await people.give_back(grant_id)
            gone = time.perf_counter()
            told, closed = await watch.told, await watch.closed
    finally:
        watch.stop()
    receipt = (await people.requester.get_receipt(grant_id)).receipt
    unproved = tuple(line.claim for line in receipt.lines if not line.proved)
    return Ending(told - began, closed - began, gone - began, unproved)


def _report(
    product: Product, endings: dict[Kind, list[Ending]], rounds: int, busy: float
) -> Report:
    every = [each for found in endings.values() for each in found]
    working = [each for kind, found in endings.items() if kind.works for each in found]
    measured = {
        "closed_p99_ms": ms(percentile([each.closed_s for each in every], 99)),
        "gone_p99_ms": ms(percentile([each.gone_s for each in working], 99)),
        "receipts_that_prove_less": sum(bool(each.unproved) for each in every),
    }
    bars = {
        "closed_p99_ms": ms(MAX_CLOSED_S),
        "gone_p99_ms": ms(MAX_GONE_S),
        "receipts_that_prove_less": 0,
    }
    return {
        "benchmark": "revoke",
        "rounds": rounds,
        "tables": TABLES,
        "postgresql": product.server.version,
        "fsync": True,
        "bars": bars,
        "measured": measured,
        "sessions": {str(kind): _figures_of(found) for kind, found in endings.items()},
        "used_by_others": round(busy, 2),
        "missed": [
            miss(what, value, bars[what]) for what, value in measured.items() if value > bars[what]
        ],
    }


def _figures_of(endings: list[Ending]) -> dict[str, object]:
    unproved = Counter(claim for each in endings for claim in each.unproved)
    return {
        "told": figures([each.told_s for each in endings]),
        "closed": figures([each.closed_s for each in endings]),
        "gone": figures([each.gone_s for each in endings]),
        "not_proved": dict(unproved),
    }


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="relinquish to socket closed, and to role gone")
    parser.add_argument("--rounds", type=positive, default=100, help="of each kind of session")
    parser.add_argument("--binaries", type=Path, help="of PostgreSQL; default: the embedded one")
    return parser.parse_args()


if __name__ == "__main__":
    given = _options()
    sys.exit(run(lambda: measure(given.rounds, given.binaries or find_binaries())))
