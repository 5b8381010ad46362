"""Shipping while the proxy writes: how far the ledger is behind when pgbench ends."""

import asyncio
import re
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import asyncpg
from cluster import fill
from errors import CannotMeasure
from measure import Entrance, Load, environment
from processes import cpu_s, memory_bytes, proxy_processes, wait_for_rest
from product import DEBIAN_BINARIES, LEDGER, ROLE, Product, run_product
from script import miss, say
from stage import find_program

# The bars, beside that what pgbench did is what is on record.
MAX_BEHIND_S = 5.0
MAX_MEMORY_MB = 150.0

_CLIENTS = 16
_SECONDS = 10
_LOOK_EVERY_S = 0.05
_PATIENCE_S = 60.0
_MB = 1_000_000
_PROCESSED = re.compile(r"^number of transactions actually processed: (\d+)", re.MULTILINE)

_SHIPPED = "SELECT coalesce(sum(rows), 0) FROM curfew.statement_blocks"
_COMPLETE = """
    SELECT count(*) FROM curfew.statements s
     WHERE text LIKE 'SELECT abalance FROM pgbench%'
       AND (ending = 'done' OR EXISTS (
            SELECT FROM curfew.late_outcomes o
             WHERE o.session_id = s.session_id AND o.seq = s.seq AND o.ending = 'done'))
"""


@dataclass(frozen=True, slots=True)
class Live:
    """`behind_s` is how long after pgbench's end everything was there, or None if it never was."""

    transactions: int
    recorded: int
    behind_s: float | None
    shipper_cpu_us: float
    memory: int

    def misses(self) -> list[dict[str, object]]:
        found = []
        if self.recorded != self.transactions:
            found.append(miss("live: statements on record", self.recorded, self.transactions))
        if self.behind_s is None or self.behind_s > MAX_BEHIND_S:
            behind_s = _PATIENCE_S if self.behind_s is None else self.behind_s
            found.append(miss("live: seconds behind", behind_s, MAX_BEHIND_S))
        if self.memory / _MB > MAX_MEMORY_MB:
            found.append(miss("live: memory in MB", self.memory / _MB, MAX_MEMORY_MB))
        return found

    def view(self) -> dict[str, object]:
        return {
            "clients": _CLIENTS,
            "seconds": _SECONDS,
            "transactions": self.transactions,
            "statements_on_record": self.recorded,
            "behind_s": None if self.behind_s is None else round(self.behind_s, 2),
            "shipper_cpu_us": round(self.shipper_cpu_us, 1),
            "shipper_memory_mb": round(self.memory / _MB, 1),
            "bars": {"behind_s": MAX_BEHIND_S, "memory_mb": MAX_MEMORY_MB},
        }


def run_live(binaries: Path) -> Live:
    """Let pgbench ask through the whole product, and see when all of that is on record."""
    say("live: setting the stage")
    pgbench = find_program("pgbench", DEBIAN_BINARIES, binaries)
    with run_product(binaries) as product:
        fill(pgbench, product.server.postgresql)
        entrance = asyncio.run(_let_in(product))
        (shipper,) = proxy_processes("ship", 1)
        before_s = cpu_s((shipper,))
        transactions = _run_pgbench(pgbench, entrance)
        behind_s = asyncio.run(_wait_until_shipped(product, transactions))
        wait_for_rest(shipper)
        spent_s = cpu_s((shipper,)) - before_s
        live = Live(
            transactions=transactions,
            recorded=asyncio.run(_count(product)),
            behind_s=behind_s,
            shipper_cpu_us=spent_s / transactions * 1e6,
            memory=memory_bytes(shipper, "VmHWM"),
        )
    say(f"live: {live.view()}")
    return live


async def _let_in(product: Product) -> Entrance:
    async with product.server.superuser() as db:
        await db.execute(f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {ROLE}")
    async with product.people() as people:
        _grant, credential = await people.issue(await people.ask())
    return Entrance(
        name="proxy",
        port=product.proxy_port,
        user=credential.user,
        password=credential.password,
        processes=(),
        tls=True,
    )


def _run_pgbench(pgbench: Path, entrance: Entrance) -> int:
    """Return how many transactions there were."""
    done = subprocess.run(
        [
            str(pgbench),
            *("-n", "-S", "-T", str(_SECONDS), "-c", str(_CLIENTS), "-j", "2"),
            *("-h", "127.0.0.1", "-p", str(entrance.port), "-U", entrance.user, "bench"),
        ],
        env=environment(entrance, Load("simple", tls=True, clients=_CLIENTS)),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=_SECONDS + _PATIENCE_S,
        check=False,
    )
    processed = _PROCESSED.search(done.stdout)
    if done.returncode or processed is None:
        raise CannotMeasure(f"live: pgbench said {done.stderr.strip()}")
    return int(processed[1])


async def _wait_until_shipped(product: Product, transactions: int) -> float | None:
    ended = time.perf_counter()
    async with product.server.superuser(LEDGER) as db:
        while (behind_s := time.perf_counter() - ended) < _PATIENCE_S:
            if await _is_shipped(db, transactions):
                return behind_s
            await asyncio.sleep(_LOOK_EVERY_S)
    return None


async def _is_shipped(db: "asyncpg.Connection[asyncpg.Record]", transactions: int) -> bool:
    """Ask what is cheap first: rows are counted only when there may be enough of them."""
    if await db.fetchval(_SHIPPED) < transactions:
        return False
    return bool(await db.fetchval(_COMPLETE) >= transactions)


async def _count(product: Product) -> int:
    async with product.server.superuser(LEDGER) as db:
        return int(await db.fetchval(_COMPLETE))
