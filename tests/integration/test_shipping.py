"""Whatever a proxy's spool holds comes to the ledger, once, and in one chain."""

import asyncio
import json
import random
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg
import pytest
from aiohttp.test_utils import TestServer

from api.app import make_app
from broker.domain.server import ServerAddress, TlsMode
from broker.domain.statement.chain import GENESIS, Block, RowsCheck, check_block
from broker.domain.statement.shipment import Part, Place, Progress, Unfinished, parts
from broker.domain.statement.statement import (
    Ending,
    LateOutcome,
    Outcome,
    Protocol,
    Row,
    Statement,
    canonical_row,
)
from broker.ledger import sessions, statement_blocks
from broker.ledger.connection import LedgerLogin, Pool, open_pool, transaction
from broker.ledger.statement_blocks import SpoolMoved
from proxy.spool.records import Begin, End, Record
from tests.support.cable import lay_cable
from tests.support.service import clean_environment
from tests.support.shipping import ship
from tests.support.spool import WORKER, FakeWriter, begin, end, living, write_segment
from tests.support.stage import PASSWORD, Stage

pytestmark = pytest.mark.newest

NOW = datetime(2026, 3, 1, 13, tzinfo=UTC)
STATEMENTS = 20_000
_ROWS = "SELECT * FROM curfew.statements ORDER BY session_id, seq"


@asynccontextmanager
async def proxy_of(stage: Stage) -> AsyncIterator[Pool]:
    """The ledger with a proxy's rights."""
    async with open_pool(stage.ledger_login("curfew_proxy"), "a shipper", 4) as pool:
        yield pool


def outcome(ending: Ending = Ending.DONE) -> Outcome:
    return Outcome(
        ending=ending,
        duration_us=1_500,
        rows=3,
        tag="SELECT 3",
        sqlstate=None,
        bytes_from_client=20,
        bytes_to_client=90,
    )


def statement(seq: int, text: str = "SELECT 1", *, days: int = 0) -> Statement:
    return Statement(
        session_id="ses_0000000000000001",
        seq=seq,
        started_at=NOW + timedelta(days=days),
        protocol=Protocol.EXTENDED,
        text=text,
        text_bytes=len(text),
        outcome=outcome(),
    )


def blocks_of(*rows: Row) -> list[Part]:
    return list(parts(rows, most_rows=100, most_bytes=10_000))


async def append(pool: Pool, progress: Progress, *rows: Row, worker: str = WORKER) -> list[Block]:
    async with transaction(pool) as db:
        return await statement_blocks.append(db, worker, progress, blocks_of(*rows), NOW)


async def fetch(stage: Stage, sql: str) -> list[asyncpg.Record]:
    connection = await stage.server.connect(stage.ledger_database)
    try:
        return list(await connection.fetch(sql))
    finally:
        await connection.close()


def stored_row(row: asyncpg.Record) -> Row:
    """Return the row as it was when it was hashed."""
    values: dict[str, Any] = dict(row)
    facts = {name: values.pop(name) for name in Outcome.__slots__}
    known = (
        None if facts["ending"] is None else Outcome(**{**facts, "ending": Ending(facts["ending"])})
    )
    del values["block"]
    if "text" not in values:
        assert known is not None
        return LateOutcome(**values, outcome=known)
    del values["day"]
    listed = {
        name: None if values.pop(name) is None else tuple(row[name])
        for name in ("parameter_types", "parameters")
    }
    return Statement(**{**values, **listed, "protocol": Protocol(row["protocol"])}, outcome=known)


async def check_chain(stage: Stage) -> int:
    """Check that the blocks are one chain over the rows that there are. Returns how many rows."""
    rows: dict[int, list[Row]] = {}
    for table in ("statements", "late_outcomes"):
        for stored in await fetch(stage, f"SELECT * FROM curfew.{table}"):
            rows.setdefault(stored["block"], []).append(stored_row(stored))
    previous, checked = GENESIS, 0
    blocks = await fetch(stage, "SELECT * FROM curfew.statement_blocks ORDER BY number")
    for number, each in enumerate(blocks, 1):
        block = Block(**{name: each[name] for name in Block.__slots__})
        found = rows.pop(number)
        found.sort(key=lambda row: (row.session_id, row.seq, isinstance(row, LateOutcome)))
        assert check_block(block, number, previous) is None
        check = RowsCheck(block)
        for row in found:
            check.feed(canonical_row(row).encode())
        assert check.faults() == []
        assert {row.day for row in found} == {each["day"]}
        previous = block.hash
        checked += len(found)
    assert not rows
    return checked


async def test_what_is_shipped_is_what_is_stored(stage: Stage) -> None:
    """To the last column, whatever is in it; and a day without a partition is no obstacle."""
    odd = replace(
        statement(2, "SELECT '\u00e9\U0001f600' -- \\x00 \x01", days=-40_000),
        text_bytes=2**40,
        text_sha256="ab" * 32,
        masked=True,
        parameter_types=(0, 4_294_967_295),
        parameters=("a,b", None, '{"}', ""),
        outcome=None,
    )
    late = LateOutcome(session_id=odd.session_id, seq=2, day=odd.day, outcome=outcome())
    async with proxy_of(stage) as pool:
        progress = Progress(Place(3, 99), (Unfinished("ses_1", 4, 17, Place(2, 64)),), 1)
        blocks = await append(pool, progress, statement(1), odd, late)
        assert [block.number for block in blocks] == [1, 2]
        async with transaction(pool) as db:
            assert await statement_blocks.fetch_progress(db, WORKER) == progress
            assert await statement_blocks.fetch_progress(db, "wrk_other") is None
    assert [stored_row(row) for row in await fetch(stage, _ROWS)] == [statement(1), odd]
    (row,) = await fetch(stage, "SELECT * FROM curfew.late_outcomes")
    assert stored_row(row) == late
    assert await check_chain(stage) == 3


async def test_two_who_go_on_from_the_same_cannot_both(stage: Stage) -> None:
    first, second = Progress(Place(1, 100), (), 1), Progress(Place(1, 200), (), 2)
    async with proxy_of(stage) as pool:
        await append(pool, first, statement(1))
        with pytest.raises(SpoolMoved, match=WORKER):
            await append(pool, first, statement(1))
        await append(pool, second, statement(2))
        for stale in (second, replace(second, moves=9)):
            with pytest.raises(SpoolMoved):
                await append(pool, stale, statement(3))
        results = await asyncio.gather(
            *(append(pool, replace(second, moves=3), statement(seq)) for seq in (3, 4)),
            return_exceptions=True,
        )
        assert sum(isinstance(each, SpoolMoved) for each in results) == 1
    assert await check_chain(stage) == 3


async def test_many_spools_are_one_chain(stage: Stage) -> None:
    async with proxy_of(stage) as pool:

        async def ship_ten(number: int) -> None:
            for moves in range(1, 11):
                row = replace(statement(moves), session_id=f"ses_{number:016}")
                progress = Progress(Place(1, moves), (), moves)
                await append(pool, progress, row, worker=f"wrk_{number}")

        async with asyncio.TaskGroup() as tasks:
            for number in range(4):
                tasks.create_task(ship_ten(number))
    assert await check_chain(stage) == 40


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT text FROM curfew.statements",
        "SELECT session_id FROM curfew.late_outcomes",
        "DELETE FROM curfew.statements",
        "UPDATE curfew.statements SET text = ''",
        "SELECT leaves FROM curfew.statement_blocks",
        "UPDATE curfew.statement_blocks SET hash = ''",
        "DELETE FROM curfew.statement_blocks",
        "TRUNCATE curfew.late_outcomes",
        "DELETE FROM curfew.spools",
        "SELECT seq FROM curfew.audit_events",
        "INSERT INTO curfew.checkpoints DEFAULT VALUES",
        "SELECT number FROM curfew.checkpoints",
    ],
)
async def test_a_proxy_can_only_add_to_the_record(stage: Stage, sql: str) -> None:
    async with proxy_of(stage) as pool, transaction(pool) as db:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await db.execute(sql)


def long_history(count: int) -> list[Record]:
    """What 40 sessions did at once; some statements end late, or never."""
    chance = random.Random(6)  # noqa: S311
    records: list[Record] = []
    running: list[Begin] = []
    at_us = int(NOW.timestamp() * 1e6)
    for number in range(count):
        at_us += 50
        each = begin(number // 40 + 1, number % 40, b"SELECT %d" % number, at_us=at_us)
        records.append(each)
        running.append(each)
        while len(running) > 60 or (running and chance.random() < 0.5):
            done = running.pop(chance.randrange(len(running)))
            ended = end(done.seq)
            records.append(replace(ended, session_id=done.session_id))
    return records


def write_history(folder: Path, records: Sequence[Record]) -> None:
    """Write it as the segments of a worker that is gone."""
    folder.mkdir(exist_ok=True)
    size = 10_000
    for number, first in enumerate(range(0, len(records), size), 1):
        path = folder / f"{WORKER}.{number:08}.spool"
        write_segment(path, records[first : first + size], 4 << 20)


async def check_all_there(stage: Stage, records: Sequence[Record]) -> None:
    """Every statement once, every outcome once, and all of it in the chain."""
    begun = sorted((each.session_id, each.seq) for each in records if isinstance(each, Begin))
    ended = {(each.session_id, each.seq) for each in records if isinstance(each, End)}
    rows = await fetch(stage, _ROWS)
    assert [(row["session_id"], row["seq"]) for row in rows] == begun
    late = await fetch(stage, "SELECT * FROM curfew.late_outcomes")
    outcomes = [row for row in (*rows, *late) if row["ending"] is not None]
    assert sorted((row["session_id"], row["seq"]) for row in outcomes) == begun
    done = {(row["session_id"], row["seq"]) for row in outcomes if row["ending"] == "done"}
    assert done == ended
    assert await check_chain(stage) == len(rows) + len(late)


async def test_a_shipper_that_is_killed_again_and_again_ships_everything_once(
    stage: Stage, tmp_path: Path
) -> None:
    records = long_history(STATEMENTS)
    folder = tmp_path / "spool"
    write_history(folder, records)
    chance = random.Random(7)  # noqa: S311
    server = stage.server
    command = [
        *(sys.executable, "-m", "tests.support.shipping", str(folder), server.host),
        *(str(server.port), stage.ledger_database, "curfew_proxy", PASSWORD),
    ]
    deaths = 0
    while True:
        process = await asyncio.create_subprocess_exec(*command)
        began = await stage.query_ledger("SELECT coalesce(sum(moves), 0) FROM curfew.spools")
        try:
            async with asyncio.timeout(30):
                # Once it is at work, at any moment.
                while process.returncode is None and began == await stage.query_ledger(
                    "SELECT coalesce(sum(moves), 0) FROM curfew.spools"
                ):
                    pass
                async with asyncio.timeout(chance.uniform(0, 0.06)):
                    await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()
            deaths += 1
        else:
            break
    assert process.returncode == 0
    assert deaths >= 3
    await check_all_there(stage, records)


async def test_a_ledger_that_is_cut_off_again_and_again_has_everything_once(
    stage: Stage, tmp_path: Path
) -> None:
    records = long_history(STATEMENTS)
    folder = tmp_path / "spool"
    write_history(folder, records)
    chance = random.Random(8)  # noqa: S311
    with lay_cable(stage.server.host, stage.server.port) as cable:
        address = ServerAddress("127.0.0.1", cable.port, stage.ledger_database, TlsMode.DISABLE)
        login = LedgerLogin(address, "curfew_proxy", PASSWORD)
        async with asyncio.TaskGroup() as tasks:
            shipping = tasks.create_task(ship(folder, login))
            for _ in range(15):
                await asyncio.sleep(chance.uniform(0, 0.08))
                await asyncio.to_thread(cable.cut)
                await asyncio.to_thread(cable.mend)
            await shipping
    await check_all_there(stage, records)


async def test_backends_of_the_ledger_that_die_again_and_again_store_everything_once(
    stage: Stage, tmp_path: Path
) -> None:
    records = long_history(STATEMENTS)
    folder = tmp_path / "spool"
    write_history(folder, records)
    chance = random.Random(9)  # noqa: S311
    async with asyncio.TaskGroup() as tasks:
        shipping = tasks.create_task(ship(folder, stage.ledger_login("curfew_proxy")))
        for _ in range(15):
            await asyncio.sleep(chance.uniform(0, 0.08))
            await stage.query_ledger(
                "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
                " WHERE datname = current_database() AND usename = 'curfew_proxy'"
            )
        await shipping
    await check_all_there(stage, records)


@asynccontextmanager
async def running_shipper(stage: Stage) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run `python -m proxy ship`, as a supervisor does."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "proxy", "ship"),
        env={**clean_environment(), "PGCURFEW_CONFIG": str(stage.config)},
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def until_shipped(stage: Stage, count: int) -> None:
    async with asyncio.timeout(20):
        while await stage.query_ledger("SELECT count(*) FROM curfew.statements") < count:
            pass


async def test_the_shipper_takes_what_is_left_with_it_when_it_is_told_to_stop(
    stage: Stage,
) -> None:
    folder = stage.folder / "state" / "spool"
    folder.mkdir(parents=True)
    writer = FakeWriter(folder)
    writer.write(begin(1), end(1))
    async with running_shipper(stage) as shipper:
        with living(folder):
            await until_shipped(stage, 1)
            writer.write(begin(2), end(2), begin(3))
        shipper.terminate()
        async with asyncio.timeout(20):
            await shipper.wait()
        assert shipper.returncode == 0
    assert await stage.query_ledger("SELECT count(*) FROM curfew.statements") == 3
    assert not list(folder.glob("*.spool"))


async def test_a_machine_has_one_shipper_at_a_time(stage: Stage) -> None:
    folder = stage.folder / "state" / "spool"
    folder.mkdir(parents=True)
    async with running_shipper(stage) as first:
        FakeWriter(folder).write(begin(1), end(1))
        await until_shipped(stage, 1)
        async with running_shipper(stage) as second:
            assert first.returncode is None
            first.kill()
            await first.wait()
            FakeWriter(folder, "wrk_06h0000000000002").write(begin(1, 2), end(1, 2))
            await until_shipped(stage, 2)
            second.terminate()
            await second.wait()
            assert second.returncode == 0


async def test_whoever_watches_sees_how_the_spools_are(stage: Stage) -> None:
    folder = stage.folder / "state" / "spool"
    folder.mkdir(parents=True)
    FakeWriter(folder).write(begin(1), end(1))
    async with stage.broker() as broker, TestServer(make_app(broker)) as server:
        async with running_shipper(stage), aiohttp.ClientSession() as client:

            async def get(path: str) -> tuple[int, str]:
                async with client.get(server.make_url(path)) as answer:
                    return answer.status, await answer.text()

            async with asyncio.timeout(20):
                while not (ready := json.loads((await get("/readyz"))[1]))["spool"]:
                    pass
            assert ready["ledger"] == "ok"
            assert ready["spool"][0]["limit"] == 1 << 30
            assert (ready["refusing"], ready["holding"]) == ([], 0)
            async with transaction(broker.context.ledger) as db:
                condition = {"kind": "worker", "refusing": True, "holding": 3}
                await sessions.save_worker_seen(db, "wrk_1", "proxy", datetime.now(UTC), condition)
            status, text = await get("/readyz")
            assert (status, json.loads(text)["refusing"]) == (503, ["wrk_1"])
            status, text = await get("/metrics")
        shipper = ready["spool"][0]["shipper"]
        assert status == 200
        for line in (
            f'pgcurfew_spool_limit_bytes{{shipper="{shipper}"}} 1.073741824e+09',
            f'pgcurfew_spool_oldest_seconds{{shipper="{shipper}"}} 0.0',
            'pgcurfew_targets_up{target="orders"} 0.0',
            "pgcurfew_ledger_up 1.0",
            "pgcurfew_workers_refusing 1.0",
            "pgcurfew_sessions_holding 3.0",
            "pgcurfew_sessions_open 0.0",
            "pgcurfew_grants_active 0.0",
            "pgcurfew_requests_pending 0.0",
        ):
            assert line in text
        assert f'pgcurfew_statements_shipped_total{{shipper="{shipper}"}}' in text


async def test_without_a_ledger_there_are_still_some_metrics(stage: Stage) -> None:
    with lay_cable(stage.server.host, stage.server.port) as cable:
        ledger = {**stage.settings()["ledger"], "port": cable.port}
        stage.write_settings(ledger=ledger)
        async with stage.broker() as broker, TestServer(make_app(broker)) as server:
            cable.cut()
            async with aiohttp.ClientSession() as client:
                async with client.get(server.make_url("/readyz")) as answer:
                    assert answer.status == 503
                    assert (await answer.json())["spool"] == []
                async with client.get(server.make_url("/metrics")) as answer:
                    assert "pgcurfew_ledger_up 0.0" in await answer.text()
