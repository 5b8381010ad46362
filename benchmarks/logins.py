"""What a login costs to make and to remove while many others live on the same server.

Prints JSON; exits 1 if a bar is missed, 2 if nothing could be measured. See benchmarks/README.md.
"""

import argparse
import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import TypeAlias, TypeVar

import asyncpg
from errors import CannotMeasure
from product import (
    ADMIN_ROLE,
    BROKER_LOGIN,
    DATABASE,
    DEBIAN_BINARIES,
    ROLE,
    TARGET,
    Server,
    run_server,
)
from script import Report, miss, ms, positive, run, say

from broker.domain.catalog import CatalogRole
from broker.domain.credential import ProxyKey, target_keys, verifier_of, verifier_text
from broker.domain.login_plan import LoginMark, LoginPlan, login_name
from broker.domain.receipt import unproved
from broker.domain.role_ddl import PER_MEMBERSHIP_OPTIONS, DirectDdl
from broker.domain.server import ServerAddress, TlsMode
from broker.domain.sqltext import ident
from broker.embedded import find_binaries
from broker.target.blocked import RemovalBlocked
from broker.target.connect import AdminLogin, FixedPassword, Target, open_target, server_version
from broker.target.login import give_keys, make_login
from broker.target.picture import take_picture
from broker.target.receipt import read_lines
from broker.target.removal import Doomed, Hooks, remove_login
from broker.target.roles import fetch_role_faults

# The bar: removal of one login while this many live.
JUDGED_COUNT = 1000
MAX_REMOVAL_S = 1.5

_BATCH = 500
# Where one round takes half a minute, a few must do.
_ENOUGH_S = 60.0
_FEWEST_ROUNDS = 3
_INSTALLATION = "benchmark"
_CATALOG_ROLE = CatalogRole(ROLE, "", 10)
_VERIFIER = verifier_text(
    verifier_of(target_keys(ProxyKey("k1", bytes(32)), "grt_bench", bytes(32)), bytes(16), 1)
)

Answer = TypeVar("Answer")
Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

# What roles, memberships and dependencies a login has, with its own name and number left out.
_SHAPE = """
    WITH login AS (SELECT oid FROM pg_roles WHERE rolname = $1)
    SELECT to_jsonb(m) - '{oid,roleid,member}'::text[]
           || jsonb_build_object('role', nullif(m.roleid, l.oid), 'member', nullif(m.member, l.oid),
                  'dependencies', (SELECT count(*) FROM pg_shdepend d
                     WHERE d.classid = 'pg_auth_members'::regclass
                       AND d.objid::text = to_jsonb(m) ->> 'oid')) AS fact
      FROM login l JOIN pg_auth_members m ON l.oid IN (m.roleid, m.member)
    UNION ALL
    SELECT to_jsonb(r) - '{oid,rolname}'::text[] FROM login l JOIN pg_roles r ON r.oid = l.oid
     ORDER BY 1
"""

# From 16 on a GRANT of a login takes as long as the admin role has logins, so 50,000 of them take
# hours. As superuser all but one of the memberships can be granted many at once; that last one, by
# which the admin role may act as the login, is written into the catalog as GRANT would write it.
_LEND = """
    WITH pattern AS (
        SELECT m.* FROM pg_auth_members m JOIN pg_roles l ON l.oid = m.roleid
         WHERE l.rolname = $1 AND m.grantor = m.member
    ), made AS (
        INSERT INTO pg_auth_members
        SELECT pg_nextoid('pg_auth_members', 'oid', 'pg_auth_members_oid_index'), l.oid, p.member,
               p.grantor, p.admin_option, p.inherit_option, p.set_option
          FROM pattern p, pg_roles l WHERE l.rolname = ANY ($2)
        RETURNING oid
    )
    INSERT INTO pg_shdepend
    SELECT d.dbid, d.classid, made.oid, d.objsubid, d.refclassid, d.refobjid, d.deptype
      FROM made, pattern p
      JOIN pg_shdepend d ON d.classid = 'pg_auth_members'::regclass AND d.objid = p.oid
"""


@dataclass(frozen=True, slots=True)
class Options:
    counts: tuple[int, ...]
    rounds: int
    servers: dict[str, Path]


@dataclass(frozen=True, slots=True)
class Steps:
    """Seconds of each step, by round, and how many removals were not done in time."""

    times: dict[str, list[float]]
    blocked: int

    def median(self, step: str) -> float:
        return median(self.times[step])


@dataclass(frozen=True, slots=True)
class Row:
    """What one login cost while `living` others lived."""

    server: str
    living: int
    steps: Steps

    def to_json(self) -> dict[str, object]:
        return {
            "server": self.server,
            "living": self.living,
            "rounds": len(self.steps.times["make"]),
            "removals_blocked": self.steps.blocked,
            **{f"{step}_ms": ms(self.steps.median(step)) for step in self.steps.times},
        }


def measure(options: Options) -> Report:
    rows: list[Row] = []
    for name, binaries in options.servers.items():
        rows += _measure_on(name, binaries, options)
    return {
        "benchmark": "logins",
        "rounds": options.rounds,
        "bars": {f"remove_ms at {JUDGED_COUNT} living": ms(MAX_REMOVAL_S)},
        "table": [row.to_json() for row in rows],
        "missed": [
            miss(f"{row.server}: remove_ms", ms(row.steps.median("remove")), ms(MAX_REMOVAL_S))
            for row in rows
            if row.living == JUDGED_COUNT
            and (row.steps.median("remove") > MAX_REMOVAL_S or row.steps.blocked)
        ],
    }


def _measure_on(name: str, binaries: Path, options: Options) -> list[Row]:
    with run_server(binaries) as server:
        say(f"{name}: PostgreSQL {server.version}")
        return asyncio.run(_measure_counts(f"{name} {server.version}", server, options))


async def _measure_counts(name: str, server: Server, options: Options) -> list[Row]:
    rows: list[Row] = []
    async with _target(server) as target, server.superuser() as db:
        await make_login(target, _plan(0), _no_turn)  # the pattern for all the others
        made = 1
        for count in sorted(options.counts):
            began = time.perf_counter()
            await _fill(target, db, made, count)
            made = max(made, count)
            filled_in_s = time.perf_counter() - began
            rows.append(Row(name, count, await _measure_steps(target, options.rounds, count)))
            say(f"{json.dumps(rows[-1].to_json())} (filled in {filled_in_s:.0f} s)")
    return rows


@asynccontextmanager
async def _target(server: Server) -> AsyncIterator[Target]:
    address = ServerAddress(
        server.postgresql.host, server.postgresql.port, DATABASE, TlsMode.DISABLE
    )
    login = AdminLogin(BROKER_LOGIN, FixedPassword(server.passwords[BROKER_LOGIN]), ADMIN_ROLE)
    async with open_target(TARGET, address, login) as target:
        yield target


async def _fill(target: Target, db: Connection, made: int, wanted: int) -> None:
    """Make logins until `wanted` of them live, as like the broker's own as can be."""
    for start in range(made, wanted, _BATCH):
        plans = [_plan(number) for number in range(start, min(start + _BATCH, wanted))]
        if server_version(db) < PER_MEMBERSHIP_OPTIONS:
            await _make_as_admin(target, plans)
        else:
            await _make_as_superuser(db, plans)
    await db.execute("VACUUM (ANALYZE)")
    pattern = await db.fetch(_SHAPE, _plan(0).name)
    if pattern != await db.fetch(_SHAPE, _plan(wanted - 1).name):
        raise CannotMeasure("the logins made in bulk are not like those that the broker makes")


async def _make_as_admin(target: Target, plans: list[LoginPlan]) -> None:
    async with target.admin() as db:
        await db.execute(";".join(";".join(target.ddl(db).make_login(plan)) for plan in plans))


async def _make_as_superuser(db: Connection, plans: list[LoginPlan]) -> None:
    names = [plan.name for plan in plans]
    all_of_them = ", ".join(map(ident, names))
    own = [
        statement for plan in plans for statement in DirectDdl(server_version(db)).make_login(plan)
    ]
    async with db.transaction():
        await db.execute(";".join(each for each in own if not each.startswith("GRANT")))
        await db.execute(
            f"GRANT {ROLE} TO {all_of_them} WITH INHERIT TRUE, SET FALSE GRANTED BY {ADMIN_ROLE};"
            f"GRANT {all_of_them} TO {ADMIN_ROLE} WITH ADMIN TRUE, INHERIT FALSE, SET FALSE"
        )
        await db.execute("SET LOCAL allow_system_table_mods = on")
        await db.execute(_LEND, _plan(0).name, names)


async def _measure_steps(target: Target, rounds: int, living: int) -> Steps:
    times: dict[str, list[float]] = {}

    async def timed(step: str, work: Awaitable[Answer]) -> Answer:
        began = time.perf_counter()
        try:
            return await work
        finally:
            times.setdefault(step, []).append(time.perf_counter() - began)

    blocked = 0
    until = time.perf_counter() + _ENOUGH_S
    for number in range(rounds):
        if number >= _FEWEST_ROUNDS and time.perf_counter() > until:
            break
        plan = _plan(living + number)
        doomed = Doomed(plan.name, None, ROLE, plan.mark)
        await timed("role_check", _check_role(target))
        await timed("picture", take_picture(target, DATABASE))
        oid = await timed("make", make_login(target, plan, _no_turn))
        await timed("give_keys", give_keys(target, oid, _VERIFIER))
        try:
            removed = await timed("remove", remove_login(target, replace(doomed, oid=oid), _HOOKS))
        except RemovalBlocked as error:
            say(f"{plan.name}: {error}")
            blocked += 1
            continue
        lines = await timed("receipt", read_lines(target, removed.oid, removed.name))
        if unproved(lines):
            raise CannotMeasure(f"{plan.name} is not wholly gone: {unproved(lines)}")
    return Steps(times, blocked)


async def _check_role(target: Target) -> None:
    async with target.admin() as db:
        faults = await fetch_role_faults(db, _CATALOG_ROLE, DATABASE)
    if faults:
        raise CannotMeasure("; ".join(faults))


def _plan(number: int) -> LoginPlan:
    grant_id = f"grt_{number:016}"
    return LoginPlan(
        name=login_name("dev@example.com", ROLE, grant_id),
        role=_CATALOG_ROLE,
        valid_until=datetime(2100, 1, 1, tzinfo=UTC),
        mark=LoginMark(_INSTALLATION, grant_id, "dev@example.com"),
    )


@asynccontextmanager
async def _no_turn() -> AsyncIterator[None]:
    """Nobody else is here to wait for."""
    yield


async def _nothing(*_: object) -> None:
    pass


_HOOKS = Hooks(_no_turn, _nothing, _nothing)


def _options() -> Options:
    parser = argparse.ArgumentParser(description="the cost of a login among many")
    parser.add_argument("--counts", type=_counts, default=(1000, 10_000, 50_000))
    parser.add_argument("--rounds", type=positive, default=20)
    parser.add_argument("--binaries", type=Path, help="of PostgreSQL; default: all that are here")
    given = parser.parse_args()
    if given.binaries:
        return Options(given.counts, given.rounds, {"given": given.binaries})
    servers = {"embedded": find_binaries()}
    if DEBIAN_BINARIES.exists():
        servers["debian"] = DEBIAN_BINARIES
    return Options(given.counts, given.rounds, servers)


def _counts(text: str) -> tuple[int, ...]:
    return tuple(positive(part) for part in text.split(","))


if __name__ == "__main__":
    options = _options()
    sys.exit(run(lambda: measure(options)))
