"""COPY out, COPY in and a large SELECT, through the proxy and directly: time, and memory.

Prints JSON; exits 1 if a bar is missed, 2 if nothing could be measured. See benchmarks/README.md.
"""

import argparse
import asyncio
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from cluster import DATABASE
from errors import CannotMeasure
from measure import Entrance, Load, environment
from processes import memory_bytes
from script import Report, miss, paired_ratio, positive, run, say
from stage import Stage, set_stage

from api.demo.site import connect_superuser

# The bars.
MAX_TIME_RATIO = 1.1
MAX_GROWTH_MB = 32.0

_TLS = {"off": False, "on": True}
_TIMEOUT_S = 300.0
_LINE = 100  # bytes of one line of the COPY, with its newline
_MB = 1_000_000

# id and text make lines of the same length, so that the size of a COPY is known.
_TABLES = (
    "DROP TABLE IF EXISTS stream_source, stream_sink",
    "CREATE UNLOGGED TABLE stream_source (id int, note text)",
    "INSERT INTO stream_source SELECT 10000000 + n, repeat('x', {filling}) "
    "FROM generate_series(1, {lines}) AS n",
    "CREATE UNLOGGED TABLE stream_sink (LIKE stream_source) WITH (autovacuum_enabled = off)",
    "GRANT SELECT ON stream_source TO bench_reader",
    "GRANT INSERT ON stream_sink TO bench_reader",
    "VACUUM ANALYZE stream_source",
)


@dataclass(frozen=True, slots=True)
class Transfer:
    """What psql does. `fills` names a file that it reads from; what it prints, nobody reads."""

    name: str
    sql: str
    fills: Path | None = None


@dataclass(frozen=True, slots=True)
class Result:
    """Seconds of every round, by entrance. `growth` is how many bytes more than at rest, before all
    transfers, the proxy's worker had at most."""

    transfer: Transfer
    tls: bool
    seconds: dict[str, list[float]]
    growth: int

    def __str__(self) -> str:
        return f"{self.transfer.name}, TLS {'on' if self.tls else 'off'}"

    @property
    def ratio(self) -> float:
        return paired_ratio(self.seconds["proxy"], self.seconds["direct"])

    @property
    def growth_mb(self) -> float:
        return self.growth / _MB


def measure(options: argparse.Namespace) -> Report:
    say("setting the stage")
    with set_stage(workers=1) as stage:
        asyncio.run(_make_tables(stage, options.megabytes * _MB // _LINE))
        transfers = [each for each in _transfers(stage, options) if each.name in options.only]
        (worker,) = stage.proxy.processes
        at_rest = memory_bytes(worker, "VmRSS")
        results = [
            _measure(stage, transfer, at_rest, tls=_TLS[tls], rounds=options.rounds)
            for tls in options.tls
            for transfer in transfers
        ]
    return {
        "benchmark": "stream",
        "megabytes": options.megabytes,
        "rows": options.rows,
        "rounds": options.rounds,
        "direct_knows_tls": stage.direct.tls,
        "versions": stage.versions,
        "bars": {"time_vs_direct": MAX_TIME_RATIO, "growth_mb": MAX_GROWTH_MB},
        "transfers": [_view(result) for result in results],
        "missed": [missed for result in results for missed in _misses(result)],
    }


def _transfers(stage: Stage, options: argparse.Namespace) -> list[Transfer]:
    return [
        Transfer("copy out", "COPY stream_source TO STDOUT"),
        Transfer("copy in", "COPY stream_sink FROM STDIN", fills=_write_lines(stage, options)),
        Transfer("select", f"SELECT n, n * 7 FROM generate_series(1, {options.rows}) AS n"),
    ]


def _write_lines(stage: Stage, options: argparse.Namespace) -> Path:
    """Write the lines that go in: those of the table that goes out."""
    path = stage.home / "lines"
    filling = "x" * (_LINE - len("10000001\t\n"))
    with path.open("w") as file:
        file.writelines(
            f"{10_000_000 + n}\t{filling}\n" for n in range(1, options.megabytes * _MB // _LINE + 1)
        )
    return path


async def _make_tables(stage: Stage, lines: int) -> None:
    db = await connect_superuser(stage.server, DATABASE)
    try:
        for statement in _TABLES:
            filling = _LINE - len("10000001\t\n")
            await db.execute(statement.format(filling=filling, lines=lines))
    finally:
        await db.close()


async def _empty_sink(stage: Stage) -> None:
    db = await connect_superuser(stage.server, DATABASE)
    try:
        await db.execute("TRUNCATE stream_sink")
        await db.execute("CHECKPOINT")  # or it would fall into somebody's measured time
    finally:
        await db.close()


def _measure(stage: Stage, transfer: Transfer, at_rest: int, *, tls: bool, rounds: int) -> Result:
    entrances = [stage.proxy, stage.direct]
    (worker,) = stage.proxy.processes
    seconds: dict[str, list[float]] = {entrance.name: [] for entrance in entrances}
    _restart_peak(worker)
    for entrance in entrances:
        _run(stage, entrance, transfer, tls=tls)  # warms caches
    for number in range(rounds):
        for entrance in entrances if number % 2 else entrances[::-1]:
            if transfer.fills is not None:
                asyncio.run(_empty_sink(stage))
            seconds[entrance.name].append(_run(stage, entrance, transfer, tls=tls))
    result = Result(transfer, tls, seconds, memory_bytes(worker, "VmHWM") - at_rest)
    say(f"{result}: {result.ratio:.3f}x direct, {result.growth_mb:.1f} MB more memory")
    return result


def _run(stage: Stage, entrance: Entrance, transfer: Transfer, *, tls: bool) -> float:
    """Return how long psql takes, from its start to its end. Raises CannotMeasure."""
    command = [
        *(str(stage.psql), "-X", "-q", "-A", "-t", "-h", "127.0.0.1", "-p", str(entrance.port)),
        *("-U", entrance.user, "-v", "ON_ERROR_STOP=1", "-c", transfer.sql, DATABASE),
    ]
    source = transfer.fills.open("rb") if transfer.fills else None
    began = time.perf_counter()
    try:
        done = subprocess.run(
            command,
            env=environment(entrance, Load("simple", tls, 1)),
            stdin=source or subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            timeout=_TIMEOUT_S,
            check=False,
        )
    finally:
        if source is not None:
            source.close()
    if done.returncode:
        raise CannotMeasure(f"{entrance.name}, {transfer.name}: {done.stderr.decode().strip()}")
    return time.perf_counter() - began


def _restart_peak(pid: int) -> None:
    """Forget how much memory the process has had at most."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")  # proc(5): resets the peak resident set size


def _misses(result: Result) -> list[dict[str, object]]:
    found = []
    if result.ratio > MAX_TIME_RATIO:
        found.append(miss(f"{result}: time vs direct", result.ratio, MAX_TIME_RATIO))
    if result.growth_mb > MAX_GROWTH_MB:
        found.append(miss(f"{result}: growth in MB", result.growth_mb, MAX_GROWTH_MB))
    return found


def _view(result: Result) -> dict[str, object]:
    return {
        "transfer": result.transfer.name,
        "tls": result.tls,
        "seconds": {name: round(median(each), 3) for name, each in result.seconds.items()},
        "time_vs_direct": round(result.ratio, 3),
        "growth_mb": round(result.growth_mb, 1),
        "seconds_of_rounds": {
            name: [round(one, 3) for one in each] for name, each in result.seconds.items()
        },
    }


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="large transfers: proxy and direct")
    parser.add_argument("--rounds", type=positive, default=5)
    parser.add_argument("--megabytes", type=positive, default=240, help="of a COPY")
    parser.add_argument("--rows", type=positive, default=2_000_000, help="of the SELECT")
    parser.add_argument("--tls", nargs="+", choices=_TLS, default=list(_TLS))
    names = ("copy out", "copy in", "select")
    parser.add_argument("--only", nargs="+", choices=names, default=names)
    return parser.parse_args()


if __name__ == "__main__":
    options = _options()
    sys.exit(run(lambda: measure(options)))
