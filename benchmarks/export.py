"""How fast the record can be taken along and read, and how much memory that takes the broker.

Prints JSON; exits 1 if a bar is missed, 2 if nothing could be measured. See benchmarks/README.md.
"""

import argparse
import asyncio
import sys
import time
from datetime import UTC, datetime, timedelta

from errors import CannotMeasure
from processes import broker_process, memory_bytes
from product import DEBIAN_BINARIES, LEDGER, Product, run_product
from script import Report, miss, ms, positive, run, say

from api.client import Client
from broker.domain.server import ServerAddress, TlsMode
from broker.domain.statement.shipment import Place, Progress, parts
from broker.domain.statement.statement import Ending, Outcome, Protocol, Statement
from broker.embedded import find_binaries
from broker.ledger import statement_blocks
from broker.ledger.connection import LedgerLogin, connect

# The bars.
MIN_ROWS_PER_S = 5_000.0  # the broker, the ledger and who reads, all on two CPUs
MAX_GROWTH_MB = 64.0

_BATCH = 5_000
_MB = 1 << 20
_SESSIONS = 20
_TEXT = "SELECT id, item, price FROM shop.orders WHERE customer = $1 AND day > $2 -- {}"
_DONE = Outcome(
    ending=Ending.DONE,
    duration_us=1_234,
    rows=7,
    tag="SELECT 7",
    sqlstate=None,
    bytes_from_client=120,
    bytes_to_client=900,
)


async def _fill(product: Product, count: int) -> None:
    """Put statements on record, as a shipper would."""
    postgresql = product.server.postgresql
    address = ServerAddress(postgresql.host, postgresql.port, LEDGER, TlsMode.DISABLE)
    db = await connect(LedgerLogin(address, LEDGER, product.server.passwords[LEDGER]), "filling")
    began = datetime.now(UTC)
    try:
        for moves, first in enumerate(range(0, count, _BATCH), 1):
            rows = [_statement(n, began) for n in range(first, min(count, first + _BATCH))]
            blocks = list(parts(rows, most_rows=1_000, most_bytes=1 << 22))
            async with db.transaction():
                progress = Progress(Place(1, moves), moves=moves)
                await statement_blocks.append(db, "wrk_bench", progress, blocks, began)
        await db.execute("ANALYZE curfew.statements")
    finally:
        await db.close()


def _statement(number: int, began: datetime) -> Statement:
    text = _TEXT.format(number)
    return Statement(
        session_id=f"ses_{number % _SESSIONS:016}",
        seq=number // _SESSIONS + 1,
        started_at=began + timedelta(microseconds=number),
        protocol=Protocol.EXTENDED,
        text=text,
        text_bytes=len(text),
        outcome=_DONE,
    )


async def _export(client: Client, broker: int, count: int, layout: str) -> Report:
    before, began = memory_bytes(broker, "VmRSS"), time.perf_counter()
    size = lines = 0
    what = "all" if layout == "jsonl" else "statements"
    async for piece in client.export_record(what=what, layout=layout):
        size += len(piece)
        lines += piece.count(b"\n")
    if lines < count:
        raise CannotMeasure(f"the export has {lines} lines: too few")
    took = time.perf_counter() - began
    return {
        "format": layout,
        "seconds": round(took, 2),
        "rows_per_s": round(count / took),
        "mb": round(size / 1e6, 1),
        "broker_mb_before": round(before / _MB, 1),
        "broker_mb_at_most": round(memory_bytes(broker, "VmHWM") / _MB, 1),
    }


async def _search(client: Client, count: int) -> Report:
    began = time.perf_counter()
    found = await client.find_statements(text=f"-- {count // 2}")
    if not found.items:
        raise CannotMeasure("the search found nothing")
    return {"search_ms": ms(time.perf_counter() - began), "in_rows": count}


async def _measure(product: Product, count: int) -> Report:
    say(f"putting {count:,} statements on record …")
    await _fill(product, count)
    broker = broker_process()
    exports = []
    async with product.people() as people:
        for layout in ("jsonl", "csv"):
            say(f"exporting them as {layout} …")
            exports.append(await _export(people.reviewer, broker, count, layout))
        search = await _search(people.reviewer, count)
    missed = []
    for each in exports:
        name = each["format"]
        growth = each["broker_mb_at_most"] - each["broker_mb_before"]
        if each["rows_per_s"] < MIN_ROWS_PER_S:
            missed.append(miss(f"rows a second as {name}", each["rows_per_s"], MIN_ROWS_PER_S))
        if growth > MAX_GROWTH_MB:
            missed.append(miss(f"MB that the broker grew by as {name}", growth, MAX_GROWTH_MB))
    return {"statements": count, "exports": exports, **search, "missed": missed}


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--statements", type=positive, default=200_000)
    return parser.parse_args()


def main() -> int:
    count = _arguments().statements

    def measure() -> Report:
        binaries = DEBIAN_BINARIES if DEBIAN_BINARIES.exists() else find_binaries()
        with run_product(binaries) as product:
            return asyncio.run(_measure(product, count))

    return run(measure)


if __name__ == "__main__":
    sys.exit(main())
