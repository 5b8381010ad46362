"""Days of statements: made beforehand, dropped when they are over, and the chain stays whole."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import asyncpg
import pytest

from broker.domain.statement.checkpoint import ChainName
from broker.ledger import statement_days
from broker.ledger.connection import Db
from broker.service.broker import Broker
from tests.integration.test_lifecycle import at
from tests.integration.test_verification import flaws, ledger, tamper
from tests.support.sealed_rows import NOON, append, late, put_on_record, statement
from tests.support.stage import Stage

pytestmark = pytest.mark.newest  # about the ledger, whose PostgreSQL is the operator's choice

DAY = timedelta(days=1)
FIRST = NOON.date()
_PARTITIONS = """
    SELECT array_agg(relid::regclass::text ORDER BY relid::regclass::text)
      FROM pg_partition_tree('curfew.statements') WHERE isleaf
"""
_WHERE = """
    SELECT array_agg(t ORDER BY t)
      FROM (SELECT DISTINCT tableoid::regclass::text AS t FROM curfew.{}) AS found
"""


def keeping(broker: Broker, days: int, *, after: timedelta = timedelta()) -> Broker:
    """The same broker, which keeps statements for so long, some time after NOON."""
    now = NOON + after
    terms = replace(broker.context.record, keep_statements=timedelta(days=days))
    return Broker(replace(broker.context, record=terms, now=lambda: now))


async def test_days_are_made_beforehand_and_only_once(stage: Stage) -> None:
    async with ledger(stage) as db:
        async with db.transaction():
            made = await statement_days.ensure(db, FIRST, 2)
        async with db.transaction():
            more = await statement_days.ensure(db, FIRST, 3)
    assert (made, more) == ([FIRST, FIRST + DAY], [FIRST + 2 * DAY])
    assert await stage.query_ledger(_PARTITIONS) == [
        "curfew.statements_20260301",
        "curfew.statements_20260302",
        "curfew.statements_20260303",
        "curfew.statements_other",
    ]
    slow = statement(1, outcome=None)
    await put_on_record(stage, slow, late(slow), statement(2, at=NOON + 9 * DAY))
    assert await stage.query_ledger(_WHERE.format("statements")) == [
        "curfew.statements_20260301",
        "curfew.statements_other",
    ]
    assert await stage.query_ledger(_WHERE.format("late_outcomes")) == [
        "curfew.late_outcomes_20260301"
    ]


@pytest.mark.parametrize("change", ["UPDATE {} SET rows = 0", "DELETE FROM {}", "TRUNCATE {}"])
async def test_nothing_in_a_days_partition_can_be_changed(stage: Stage, change: str) -> None:
    async with ledger(stage) as db:
        async with db.transaction():
            await statement_days.ensure(db, FIRST, 1)
        for table in ("statements_20260301", "late_outcomes_20260301"):
            with pytest.raises(asyncpg.InsufficientPrivilegeError, match="append-only"):
                await db.execute(change.format(f"curfew.{table}"))


async def test_a_day_of_which_there_are_rows_elsewhere_already_stays_there(stage: Stage) -> None:
    await put_on_record(stage, statement(1))
    async with ledger(stage) as db:
        async with db.transaction():
            assert await statement_days.ensure(db, FIRST, 2) == [FIRST, FIRST + DAY]
        assert await statement_days.fetch_days(db) == [FIRST, FIRST + DAY]
    async with stage.broker() as broker:
        assert await stage.query_ledger(_WHERE.format("statements")) == ["curfew.statements_other"]
        assert flaws(await broker.verification.run()) == []


@pytest.mark.parametrize("days_made", [2, 0])
async def test_a_day_whose_time_is_over_is_dropped_and_the_chain_still_holds(
    stage: Stage, days_made: int
) -> None:
    slow = statement(1, outcome=None)
    async with stage.broker() as ours:
        async with ledger(stage) as db, db.transaction():
            await statement_days.ensure(db, FIRST, days_made)
        await put_on_record(stage, slow, late(slow), statement(2), most_rows=2)
        await put_on_record(stage, statement(3, at=NOON + DAY))
        broker = keeping(ours, 1, after=2 * DAY)
        (dropped,) = await broker.retention.drop_old()
        assert (dropped.day, dropped.rows, dropped.through) == (FIRST, 3, 3)
        assert await broker.retention.drop_old() == []
        assert await stage.query_ledger("SELECT array_agg(seq) FROM curfew.statements") == [3]
        assert await stage.query_ledger("SELECT count(*) FROM curfew.late_outcomes") == 0
        report = await broker.verification.run()
        assert (flaws(report), report.dropped_days) == ([], 1)
        tally = report.tallies[ChainName.STATEMENTS]
        assert (tally.links, tally.rows, tally.dropped_rows) == (3, 1, 3)
        event = await stage.query_ledger(
            "SELECT data::text FROM curfew.audit_events WHERE kind = 'statements.day_dropped'"
        )
        assert event == '{"day": "2026-03-01", "rows": 3, "through": 3}'
        with pytest.raises(asyncpg.InsufficientPrivilegeError, match="append-only"):
            await stage.query_ledger("DELETE FROM curfew.statements_other")


async def test_a_spool_that_comes_back_after_its_day_was_dropped_is_taken_and_dropped_next_time(
    stage: Stage,
) -> None:
    async with stage.broker() as ours:
        broker = keeping(ours, 1, after=3 * DAY)
        async with ledger(stage) as db, db.transaction():
            await statement_days.ensure(db, FIRST, 1)
        await put_on_record(stage, statement(1))
        assert len(await broker.retention.drop_old()) == 1
        await put_on_record(stage, statement(2))
        assert flaws(await broker.verification.run()) == []
        (again,) = await broker.retention.drop_old()
        assert (again.rows, again.through) == (1, 2)
        report = await broker.verification.run()
        assert (flaws(report), report.tallies[ChainName.STATEMENTS].dropped_rows) == ([], 2)
        assert await stage.query_ledger("SELECT count(*) FROM curfew.statements") == 0


async def test_without_a_setting_statements_are_kept_for_ever(stage: Stage) -> None:
    await put_on_record(stage, statement(1))
    async with stage.broker() as broker:
        assert await at(broker, NOON + 4000 * DAY).retention.drop_old() == []


@pytest.mark.parametrize(
    ("tampering", "flaw"),
    [
        (
            "UPDATE statement_blocks SET day = '2026-03-01' WHERE number = 2",
            "day 2026-03-01: 1 rows were dropped, but its blocks had 2",
        ),
        (
            "DELETE FROM dropped_days",
            "statements block 1, row 1: a row is missing here",
        ),
        (
            "DELETE FROM dropped_days",
            "day 2026-03-01: the audit trail knows that 1 rows were dropped; nothing else does",
        ),
        (
            "INSERT INTO statements SELECT '2026-03-01', session_id, 9, 1, started_at, protocol, "
            "text, text_bytes, text_sha256, masked FROM statements",
            "statements (session ses_1, statement 9): block 1 does not have this row: it was put "
            "in, or moved",
        ),
        (
            "UPDATE dropped_days SET rows = 0",
            "day 2026-03-01: 0 rows were dropped, but its blocks had 1",
        ),
    ],
)
async def test_retention_is_no_excuse_for_rows_that_are_gone(
    stage: Stage, tampering: str, flaw: str
) -> None:
    async with stage.broker() as ours:
        await put_on_record(stage, statement(1), statement(2, at=NOON + DAY))
        broker = keeping(ours, 1, after=2 * DAY)
        await broker.retention.drop_old()
        await tamper(stage, tampering, "DELETE FROM statements WHERE block = 2")
        assert flaw in flaws(await broker.verification.run())


async def test_dropping_waits_for_a_block_that_is_on_its_way_and_not_in_a_circle(
    stage: Stage,
) -> None:
    """A shipper holds the chain before it writes rows, and so does whoever drops a day."""
    async with stage.broker() as ours, ledger(stage) as db, ledger(stage) as shipper:
        async with db.transaction():
            await statement_days.ensure(db, FIRST, 2)
        await put_on_record(stage, statement(1))
        broker = keeping(ours, 1, after=2 * DAY)
        async with asyncio.TaskGroup() as tasks, shipper.transaction():
            await append(shipper, [statement(2), statement(1, at=NOON + DAY)])
            dropping = tasks.create_task(broker.retention.drop_old())
            await _until_somebody_waits(db)
            await shipper.execute("LOCK TABLE curfew.late_outcomes IN ROW EXCLUSIVE MODE")
        assert [each.rows for each in dropping.result()] == [2]
        assert flaws(await broker.verification.run()) == []


async def test_a_day_that_somebody_reads_is_dropped_another_time(stage: Stage) -> None:
    async with stage.broker() as ours, ledger(stage) as reader:
        async with reader.transaction():
            await statement_days.ensure(reader, FIRST, 1)
        await put_on_record(stage, statement(1))
        broker = keeping(ours, 1, after=2 * DAY)
        async with reader.transaction():
            await reader.fetch("SELECT * FROM curfew.statements")
            assert await broker.retention.drop_old() == []
            await broker.retention.make_days()
        assert len(await broker.retention.drop_old()) == 1


async def test_no_day_is_dropped_while_the_record_is_checked(stage: Stage) -> None:
    async with stage.broker() as ours, ledger(stage) as db:
        await put_on_record(stage, statement(1))
        broker = keeping(ours, 1, after=2 * DAY)
        async with statement_days.keeping(db):
            assert await broker.retention.drop_old() == []
        assert len(await broker.retention.drop_old()) == 1


async def _until_somebody_waits(db: Db) -> None:
    async with asyncio.timeout(30):
        while not await db.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"):
            await asyncio.sleep(0.01)
