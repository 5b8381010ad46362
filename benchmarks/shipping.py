"""How fast statements get from the spool to the ledger, what that costs, and how large they are
there.

Prints JSON; exits 1 if a bar is missed, 2 if nothing could be measured. See benchmarks/README.md.
"""

import argparse
import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median

import asyncpg
from errors import CannotMeasure
from live import MAX_MEMORY_MB, run_live
from measure import busy_share
from processes import cpu_s, family_cpu_s, memory_bytes
from product import DEBIAN_BINARIES, LEDGER, Server, run_server, set_up
from script import Report, miss, positive, run, say
from spooled import MIXED, PGBENCH, Mix, fill_spool

from broker.embedded import find_binaries, free_port
from broker.ledger import statement_days

# The bar beside that on memory: for statements as pgbench's, while nothing else runs.
MIN_STATEMENTS_PER_S = 20_000.0

_MIXES = {mix.name: mix for mix in (PGBENCH, MIXED)}
_LOOK_EVERY_S = 0.25
_PATIENCE_S = 60.0  # without any progress
_STOP_TIMEOUT_S = 60.0
_BUSY_S = 2.0
_FEWEST_SECONDS = 4  # of which the first and the last do not count
_MB = 1_000_000

_SHIPPED = "SELECT coalesce(sum(rows), 0) FROM curfew.statement_blocks"
_THERE = "SELECT count(*) FROM curfew.statements WHERE ending = 'done'"
_SIZES = """
    SELECT sum(pg_table_size(relid)) AS rows, sum(pg_indexes_size(relid)) AS indexes,
           pg_total_relation_size('curfew.statement_blocks') AS blocks
      FROM pg_partition_tree('curfew.statements')
"""


@dataclass(frozen=True, slots=True)
class Sample:
    """How many rows were there at a time, and the CPU times of shipper and PostgreSQL by then."""

    at_s: float
    rows: int
    shipper_s: float
    postgresql_s: float


@dataclass(frozen=True, slots=True)
class Shipped:
    """What became of one spool. `samples` begin with the shipper's start; `sizes` are in bytes."""

    mix: Mix
    count: int
    samples: list[Sample]
    memory: int
    sizes: dict[str, int]
    busy_before: float

    @property
    def per_s(self) -> float:
        """Return the median rate of the seconds in the middle."""
        began, ended = self.samples[0].at_s, self.samples[-1].at_s
        seconds = range(1, int(ended - began))
        if len(seconds) < _FEWEST_SECONDS:
            return self.count / (ended - began)
        return median(self._rows_at(began + n + 1) - self._rows_at(began + n) for n in seconds)

    @property
    def seconds(self) -> float:
        return self.samples[-1].at_s - self.samples[0].at_s

    @property
    def memory_mb(self) -> float:
        return self.memory / _MB

    def cpu_us(self) -> dict[str, float]:
        """Return the CPU times for each statement, but for those before the first was there."""
        first = next(each for each in self.samples if each.rows)
        last = self.samples[-1]
        rows = (last.rows - first.rows) or 1
        return {
            "shipper": round((last.shipper_s - first.shipper_s) / rows * 1e6, 1),
            "postgresql": round((last.postgresql_s - first.postgresql_s) / rows * 1e6, 1),
        }

    def _rows_at(self, at_s: float) -> float:
        for before, after in zip(self.samples, self.samples[1:], strict=False):
            if before.at_s <= at_s <= after.at_s:
                share = (at_s - before.at_s) / (after.at_s - before.at_s)
                return before.rows + share * (after.rows - before.rows)
        return self.samples[-1].rows


def measure(options: argparse.Namespace, binaries: Path) -> Report:
    shipped = [_ship(_MIXES[name], options.statements, binaries) for name in options.only]
    live = run_live(binaries) if options.live else None
    missed = [each for one in shipped for each in _misses(one)]
    return {
        "benchmark": "shipping",
        "statements": options.statements,
        "bars": {"pgbench_statements_per_s": MIN_STATEMENTS_PER_S, "memory_mb": MAX_MEMORY_MB},
        "mixes": [_view(one) for one in shipped],
        **({"live": live.view()} if live else {}),
        "missed": missed + (live.misses() if live else []),
    }


def _ship(mix: Mix, count: int, binaries: Path) -> Shipped:
    """Let a shipper of its own take a whole spool to a ledger of its own."""
    say(f"{mix.name}: writing a spool of {count:,} statements")
    with run_server(binaries) as server:
        config = set_up(server, free_port(), free_port())
        asyncio.run(_make_days(server))
        asyncio.run(fill_spool(server.home / "state" / "spool", mix, count))
        busy = busy_share(_BUSY_S)
        with _run_shipper(config, server.home / "shipper.log") as shipper:
            samples = asyncio.run(_watch(server, shipper, count))
            memory = memory_bytes(shipper, "VmHWM")
        shipped = Shipped(mix, count, samples, memory, asyncio.run(_weigh(server, count)), busy)
    say(
        f"{mix.name}: {shipped.per_s:,.0f} statements/s, {shipped.cpu_us()} µs of CPU time each, "
        f"{shipped.memory_mb:.0f} MB of memory; {busy:.0%} of the machine used by others"
    )
    return shipped


async def _make_days(server: Server) -> None:
    """Make partitions as the broker does beforehand: from yesterday on, should it be midnight."""
    async with server.superuser(LEDGER) as db, db.transaction():
        await db.execute(f"SET LOCAL ROLE {LEDGER}")
        await statement_days.ensure(db, datetime.now(UTC).date() - timedelta(days=1), 3)


@contextmanager
def _run_shipper(config: Path, log: Path) -> Iterator[int]:
    """Run the proxy's shipper, alone. Yields its pid."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("PGCURFEW_")}
    with log.open("w") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "proxy", "ship", "--with-parent"],
            env={**kept, "PGCURFEW_CONFIG": str(config)},
            stdin=subprocess.PIPE,  # whatever ends us, it then leaves too
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield process.pid
    except CannotMeasure as error:
        raise CannotMeasure(f"{error}\n{log.read_text(errors='replace')}") from None
    finally:
        process.terminate()
        try:
            process.wait(_STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


async def _watch(server: Server, shipper: int, count: int) -> list[Sample]:
    """Look at the ledger until everything is there. Raises CannotMeasure."""
    postmaster = _postmaster(server)
    began = time.perf_counter()
    samples = [Sample(began, 0, 0.0, 0.0)]
    moved_at = began
    async with server.superuser(LEDGER) as db:
        while samples[-1].rows < count:
            await asyncio.sleep(_LOOK_EVERY_S)
            rows = int(await db.fetchval(_SHIPPED))
            at_s = time.perf_counter()
            samples.append(Sample(at_s, rows, cpu_s((shipper,)), family_cpu_s(postmaster)))
            if rows > samples[-2].rows:
                moved_at = at_s
            elif at_s - moved_at > _PATIENCE_S:
                raise CannotMeasure(f"nothing is shipped any more: {rows} of {count}")
    return samples


def _postmaster(server: Server) -> int:
    file = server.home / "postgresql" / "data" / "postmaster.pid"
    return int(file.read_text().splitlines()[0])


async def _weigh(server: Server, count: int) -> dict[str, int]:
    """Return how large the ledger's tables are. Raises CannotMeasure if anything is missing."""
    async with server.superuser(LEDGER) as db:
        there = await db.fetchval(_THERE)
        if there != count:
            raise CannotMeasure(f"{there} statements with their outcome are there, not {count}")
        sizes: asyncpg.Record | None = await db.fetchrow(_SIZES)
    assert sizes is not None
    return {name: int(size) for name, size in sizes.items()}


def _misses(shipped: Shipped) -> Sequence[dict[str, object]]:
    found = []
    name = shipped.mix.name
    if shipped.mix is PGBENCH and shipped.per_s < MIN_STATEMENTS_PER_S:
        found.append(miss(f"{name}: statements a second", shipped.per_s, MIN_STATEMENTS_PER_S))
    if shipped.memory_mb > MAX_MEMORY_MB:
        found.append(miss(f"{name}: memory in MB", shipped.memory_mb, MAX_MEMORY_MB))
    return found


def _view(shipped: Shipped) -> dict[str, object]:
    per_million = 1_000_000 / shipped.count / _MB
    sizes = {name: round(size * per_million, 1) for name, size in shipped.sizes.items()}
    return {
        "mix": shipped.mix.name,
        "bytes_of_text": round(sum(shipped.mix.sizes) / len(shipped.mix.sizes)),
        "statements_per_s": round(shipped.per_s),
        "seconds": round(shipped.seconds, 1),
        "cpu_us_per_statement": shipped.cpu_us(),
        "shipper_memory_mb": round(shipped.memory_mb, 1),
        "ledger_mb_per_million": {"total": round(sum(sizes.values()), 1), **sizes},
        "used_by_others": round(shipped.busy_before, 2),
    }


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="from the spool to the ledger: rate, CPU, size")
    parser.add_argument("--statements", type=positive, default=400_000, help="of each spool")
    parser.add_argument("--only", nargs="*", choices=_MIXES, default=list(_MIXES))
    parser.add_argument("--live", action="store_true", help="also with pgbench at the same time")
    return parser.parse_args()


if __name__ == "__main__":
    options = _options()
    binaries = DEBIAN_BINARIES if DEBIAN_BINARIES.exists() else find_binaries()
    sys.exit(run(lambda: measure(options, binaries)))
