"""From the approval to a credential that works, against a bare CREATE ROLE and GRANT.

Prints JSON; exits 1 if a bar is missed, 2 if nothing could be measured. See benchmarks/README.md.
"""

import argparse
import asyncio
import secrets
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from statistics import median

import asyncpg
from errors import CannotMeasure
from history import Model, make_history
from measure import busy_share
from product import DATABASE, LEDGER, ROLE, People, Product, run_product
from script import Report, figures, miss, paired_ratio, positive, run, say

from broker.domain.sqltext import literal
from broker.embedded import find_binaries

# The bars.
MAX_RATIO_TO_BARE = 3.0
MIN_GRANTS_PER_S = 150.0
MAX_RATIO_WITH_HISTORY = 1.15  # no slower, but for what two medians differ by chance

_WARM_UP = 5
_WATCH_S = 0.5
_WATCH_EVERY = 10  # rounds

# Grants that are given within a few seconds share a picture of the target's catalog; the first of
# them takes it.
_TOOK_A_PICTURE = """
    SELECT DISTINCT ON (picture_id) id FROM curfew.grants
     WHERE id = ANY ($1) ORDER BY picture_id, granted_at
"""


@dataclass(frozen=True, slots=True)
class Options:
    rounds: int
    history: int
    grants: int
    clients: int
    binaries: Path


@dataclass(slots=True)
class Side:
    """One product, an ordinary connection to its target, and how long each took, by round."""

    name: str
    product: Product
    people: People
    bare_db: "asyncpg.Connection[asyncpg.Record]"
    issued: dict[str, float] = field(default_factory=dict)
    bare: list[float] = field(default_factory=list)
    pictures: set[str] = field(default_factory=set)

    @property
    def times(self) -> list[float]:
        return list(self.issued.values())

    def split(self) -> dict[str, list[float]]:
        """Tell the grants that took a picture from those that found one."""
        return {
            "with_picture": [t for grant, t in self.issued.items() if grant in self.pictures],
            "without_picture": [
                t for grant, t in self.issued.items() if grant not in self.pictures
            ],
        }


@dataclass(frozen=True, slots=True)
class Throughput:
    per_s: float
    per_s_of_quarters: list[float]


def measure(options: Options) -> Report:
    say("setting the stage: two PostgreSQLs, and a pgcurfew over each")
    with ExitStack() as stack:
        products = {
            name: stack.enter_context(run_product(options.binaries))
            for name in ("young", "old")[: 2 if options.history else 1]
        }
        return asyncio.run(_measure(products, options))


async def _measure(products: dict[str, Product], options: Options) -> Report:
    async with AsyncExitStack() as stack:
        sides = {
            name: await stack.enter_async_context(_side(name, product))
            for name, product in products.items()
        }
        rows = await _prepare(sides, options)
        busy = []
        for number in range(options.rounds):
            if number % _WATCH_EVERY == 0:
                busy.append(busy_share(_WATCH_S))
            await _round(list(sides.values()), number)
        for side in sides.values():
            await _look_for_pictures(side)
            say(_line(side))
        rates = {name: await _throughput(side, options) for name, side in sides.items()}
    return _report(sides, rates, rows, median(busy), options)


@asynccontextmanager
async def _side(name: str, product: Product) -> AsyncIterator[Side]:
    async with product.people() as people, product.server.admin() as bare_db:
        yield Side(name, product, people, bare_db)


async def _prepare(sides: dict[str, Side], options: Options) -> dict[str, int]:
    """Warm everything up, and give the old side its past."""
    rows: dict[str, int] = {}
    for side in sides.values():
        model = await _live_a_life(side)
        if side.name == "old":
            say(f"writing a history of {options.history} requests")
            async with side.product.server.superuser(LEDGER) as db:
                rows = await make_history(db, model, options.history)
    for number in range(_WARM_UP):
        await _round(list(sides.values()), number)
    for side in sides.values():
        side.issued.clear()
        side.bare.clear()
    return rows


async def _live_a_life(side: Side) -> Model:
    """Ask, get access, use it once, and give it back."""
    request_id = await side.people.ask()
    grant, credential = await side.people.issue(request_id)
    db = await asyncpg.connect(
        host="127.0.0.1",
        port=side.product.proxy_port,
        user=credential.user,
        password=credential.password,
        database=DATABASE,
        ssl="require",
    )
    if await db.fetchval("SELECT session_user::text") != credential.user:
        raise CannotMeasure("the credential leads to somebody else")
    await db.close()
    await side.people.give_back(grant.id)
    return Model(request_id, grant.id)


async def _round(sides: list[Side], number: int) -> None:
    """One grant and one bare role on every side, in an order that changes."""
    start = number % len(sides)
    for side in sides[start:] + sides[:start]:
        steps = [_issue_once, _make_bare_once]
        for step in steps if number % 4 < 2 else reversed(steps):
            await step(side)


async def _issue_once(side: Side) -> None:
    request_id = await side.people.ask()
    began = time.perf_counter()
    grant, _credential = await side.people.issue(request_id)
    side.issued[grant.id] = time.perf_counter() - began
    # Off the clock: on 16 and later, living logins make others dearer.
    await side.people.give_back(grant.id)


async def _make_bare_once(side: Side) -> None:
    name = f"bare_{secrets.token_hex(8)}"
    password = secrets.token_urlsafe(24)
    began = time.perf_counter()
    await side.bare_db.execute(
        f"CREATE ROLE {name} LOGIN PASSWORD {literal(password)} VALID UNTIL '2100-01-01'"
    )
    await side.bare_db.execute(f"GRANT {ROLE} TO {name}")
    side.bare.append(time.perf_counter() - began)
    await side.bare_db.execute(f"DROP ROLE {name}")


async def _look_for_pictures(side: Side) -> None:
    async with side.product.server.superuser(LEDGER) as db:
        rows = await db.fetch(_TOOK_A_PICTURE, list(side.issued))
    side.pictures = {row["id"] for row in rows}


async def _throughput(side: Side, options: Options) -> Throughput:
    """Let several clients approve and take as fast as they can; all the logins stay alive."""
    say(f"{side.name}: asking for {options.grants} grants")
    waiting = iter([await side.people.ask() for _ in range(options.grants)])
    ends: list[float] = []
    began = time.perf_counter()
    async with asyncio.TaskGroup() as clients:
        for _ in range(options.clients):
            clients.create_task(_keep_issuing(side, waiting, ends))
    say(f"{side.name}: {options.grants / (ends[-1] - began):.0f} grants/s")
    quarter = len(ends) // 4
    marks = [began, *ends[quarter - 1 :: quarter][:4]] if quarter else []
    return Throughput(
        options.grants / (ends[-1] - began),
        [quarter / (later - sooner) for sooner, later in pairwise(marks)],
    )


async def _keep_issuing(side: Side, waiting: Iterator[str], ends: list[float]) -> None:
    for request_id in waiting:
        await side.people.issue(request_id)
        ends.append(time.perf_counter())


def _report(
    sides: dict[str, Side],
    rates: dict[str, Throughput],
    rows: dict[str, int],
    busy: float,
    options: Options,
) -> Report:
    young = sides["young"]
    measured = {
        "vs_bare": paired_ratio(young.times, young.bare),
        "grants_per_s": rates["young"].per_s,
    }
    if "old" in sides:
        measured["with_history_vs_without"] = paired_ratio(sides["old"].times, young.times)
    bars = {
        "vs_bare": MAX_RATIO_TO_BARE,
        "grants_per_s": MIN_GRANTS_PER_S,
        "with_history_vs_without": MAX_RATIO_WITH_HISTORY,
    }
    missed = [
        miss(what, value, bars[what])
        for what, value in measured.items()
        if (value < bars[what] if what == "grants_per_s" else value > bars[what])
    ]
    return {
        "benchmark": "issue",
        "rounds": options.rounds,
        "clients": options.clients,
        "grants": options.grants,
        "history": rows,
        "postgresql": young.product.server.version,
        "fsync": True,
        "bars": bars,
        "measured": {what: round(value, 3) for what, value in measured.items()},
        "sides": {name: _side_report(side, rates[name]) for name, side in sides.items()},
        "used_by_others": round(busy, 2),
        "missed": missed,
    }


def _side_report(side: Side, rate: Throughput) -> dict[str, object]:
    return {
        "issue": figures(side.times),
        **{f"issue_{name}": figures(times) for name, times in side.split().items() if times},
        "bare": figures(side.bare),
        "vs_bare": round(paired_ratio(side.times, side.bare), 3),
        "grants_per_s": round(rate.per_s, 1),
        "grants_per_s_of_quarters": [round(each, 1) for each in rate.per_s_of_quarters],
    }


def _line(side: Side) -> str:
    issued, bare = figures(side.times), figures(side.bare)
    return (
        f"{side.name}: issue {issued['median_ms']} ms (p95 {issued['p95_ms']}), "
        f"bare {bare['median_ms']} ms (p95 {bare['p95_ms']}), "
        f"ratio {paired_ratio(side.times, side.bare):.2f}"
    )


def _options() -> Options:
    parser = argparse.ArgumentParser(description="approval to credential, against CREATE ROLE")
    parser.add_argument("--rounds", type=positive, default=100)
    parser.add_argument(
        "--history", type=int, default=1_000_000, help="past requests in the ledger; 0 skips it"
    )
    parser.add_argument("--grants", type=positive, default=600, help="of the throughput run")
    parser.add_argument("--clients", type=positive, default=12, help="of the throughput run")
    parser.add_argument("--binaries", type=Path, help="of PostgreSQL; default: the embedded one")
    given = parser.parse_args()
    return Options(
        rounds=given.rounds,
        history=given.history,
        grants=given.grants,
        clients=given.clients,
        binaries=given.binaries or find_binaries(),
    )


if __name__ == "__main__":
    options = _options()
    sys.exit(run(lambda: measure(options)))
