"""The record can prove itself: whatever is changed, taken out or put in is found, and named."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from api.client import ApiError
from broker.domain.errors import Invalid
from broker.domain.statement.checkpoint import ChainName
from broker.domain.statement.export import checkpoint_of
from broker.ledger.connection import Db, connect
from broker.service.broker import Broker
from broker.service.exports import EVERYTHING, What
from broker.service.verification import Report, VerificationRunning
from tests.integration.test_lifecycle import later
from tests.integration.test_sessions import run_cli
from tests.support.house import AUDITOR, house_on
from tests.support.people import get_grant, get_person
from tests.support.sealed_rows import late, put_on_record, statement
from tests.support.stage import DEV, Stage

pytestmark = pytest.mark.newest  # about the ledger, whose PostgreSQL is the operator's choice

SLOW = statement(3, outcome=None)
ROWS = (statement(1), statement(2), SLOW, late(SLOW), statement(4), statement(1, session="ses_2"))
_AN_EVENT = """
    INSERT INTO curfew.audit_events (at, actor, kind, data)
    VALUES (now(), 'somebody', 'a.kind', '{}') RETURNING seq
"""


async def make_record(stage: Stage, broker: Broker) -> None:
    """Two receipts, six rows of statements in two blocks, a sealed trail and a checkpoint."""
    for _ in range(2):
        details = await get_grant(broker)
        await broker.relinquish(details.grant.id, await get_person(broker, DEV))
    await put_on_record(stage, *ROWS, most_rows=4)
    await broker.trail_sealing.seal()
    await broker.checkpoints.make()


async def tamper(stage: Stage, *statements: str) -> None:
    """As a superuser, whom no trigger stops."""
    db = await stage.server.connect(stage.ledger_database)
    try:
        await db.execute("SET session_replication_role = replica; SET search_path = curfew")
        for each in statements:
            await db.execute(each)
    finally:
        await db.close()


@asynccontextmanager
async def ledger(stage: Stage) -> AsyncIterator[Db]:
    """The ledger with the broker's rights."""
    db = await connect(stage.ledger_login(), "a test")
    try:
        yield db
    finally:
        await db.close()


def flaws(report: Report) -> list[str]:
    return [str(flaw) for flaw in report.flaws]


async def test_a_record_that_nobody_touched_holds(stage: Stage) -> None:
    async with stage.broker() as broker:
        await make_record(stage, broker)
        report = await broker.verification.run()
    assert (flaws(report), report.finished, report.checkpoints) == ([], True, 1)
    found = {name.value: (each.links, each.rows) for name, each in report.tallies.items()}
    assert found["receipts"] == (2, 2)
    assert found["statements"] == (2, 6)
    assert found["audit"][0] == 1
    assert [each.unsigned for each in report.tallies.values()] == [0, 0, 0]


TAMPERED = [
    # Statements
    (
        "UPDATE statements SET text = 'SELECT 0' WHERE session_id = 'ses_1' AND seq = 2",
        "statements block 1, row 2 (session ses_1, statement 2): this row was changed",
    ),
    (
        "UPDATE statements SET ending = 'nothing' WHERE session_id = 'ses_1' AND seq = 2",
        "statements block 1, row 2 (session ses_1, statement 2): this row was changed",
    ),
    (
        "UPDATE statements SET started_at = started_at + interval '1 day' WHERE seq = 2",
        "statements block 1, row 2 (session ses_1, statement 2): this row was changed",
    ),
    (
        "DELETE FROM statements WHERE session_id = 'ses_1' AND seq = 2",
        "statements block 1, row 2: a row is missing here, after session ses_1, statement 1",
    ),
    (
        "DELETE FROM statements WHERE session_id = 'ses_2'",
        "statements block 2, row 2: a row is missing here, after session ses_1, statement 4",
    ),
    (
        "INSERT INTO statements SELECT day, session_id, 9, block, started_at, protocol, text, "
        "text_bytes, text_sha256, masked FROM statements WHERE seq = 2",
        "statements block 1 (session ses_1, statement 9): this row was put in",
    ),
    (
        "INSERT INTO statements SELECT day, session_id, 9, 77, started_at, protocol, text, "
        "text_bytes, text_sha256, masked FROM statements WHERE seq = 2",
        "statements (session ses_1, statement 9): block 77 does not have this row: it was put in",
    ),
    (
        "UPDATE statements SET day = day + 1 WHERE session_id = 'ses_1' AND seq = 2",
        "statements (session ses_1, statement 2): block 1 does not have this row: it was put in, "
        "or moved",
    ),
    (
        "UPDATE late_outcomes SET rows = 0",
        "statements block 1, row 4 (session ses_1, outcome of statement 3): this row was changed",
    ),
    (
        "DELETE FROM late_outcomes",
        "statements block 1, row 4: a row is missing here, after session ses_1, statement 3",
    ),
    (
        "INSERT INTO late_outcomes SELECT day, session_id, 4, 2, ending, duration_us, rows, tag, "
        "sqlstate, bytes_from_client, bytes_to_client FROM late_outcomes",
        "statements block 2 (session ses_1, outcome of statement 4): this row was put in",
    ),
    # Their blocks
    ("DELETE FROM statement_blocks WHERE number = 1", "statements block 1: block 1 is missing"),
    (
        "DELETE FROM statement_blocks WHERE number = 2",
        "statements block 2: it is missing: checkpoint 1 names it",
    ),
    (
        "UPDATE statement_blocks SET rows = 3 WHERE number = 1",
        "statements block 1: block 1 was changed",
    ),
    (
        "UPDATE statement_blocks SET leaves = leaves || leaves WHERE number = 1",
        "statements block 1: block 1 was changed",
    ),
    (
        "UPDATE statement_blocks SET day = day + 1 WHERE number = 1",
        "statements (session ses_1, statement 1): block 1 does not have this row: it was put in, "
        "or moved",
    ),
    (
        "INSERT INTO statement_blocks SELECT 3, day, sealed_at, worker_id, rows, digest, leaves, "
        "previous, hash FROM statement_blocks WHERE number = 2",
        "statements block 3: block 3 does not follow the one before it",
    ),
    # The audit trail
    (
        "UPDATE audit_events SET actor = 'nobody' WHERE seq = 2",
        "audit block 1, row 2 (event 2): this row was changed",
    ),
    (
        "DELETE FROM audit_events WHERE seq = 2",
        "audit block 1, row 2 (event 2): a row is missing here",
    ),
    (
        "INSERT INTO audit_events OVERRIDING SYSTEM VALUE "
        "SELECT 0, at, actor, kind, request_id, grant_id, session_id, data "
        "FROM audit_events WHERE seq = 2",
        "audit trail (event 0): no block has this event: it was put in, or nobody seals the trail",
    ),
    ("UPDATE audit_blocks SET digest = sha256('')", "audit block 1: block 1 was changed"),
    ("DELETE FROM audit_blocks", "audit block 1: it is missing: checkpoint 1 names it"),
    (
        "UPDATE audit_blocks SET newest = newest + 9",
        "audit block 1: it says that its newest event is another than it is",
    ),
    # Receipts
    (
        "UPDATE receipts SET body = replace(body, 'orders', 'others') WHERE number = 1",
        "receipt 1: receipt 1 was changed",
    ),
    ("UPDATE receipts SET body = 'gone' WHERE number = 1", "receipt 1: receipt 1 was changed"),
    ("DELETE FROM receipts WHERE number = 1", "receipt 1: receipt 1 is missing"),
    (
        "DELETE FROM receipts WHERE number = 2",
        "receipt 2: it is missing: checkpoint 1 names it",
    ),
    (
        "UPDATE receipts SET proved = NOT proved WHERE number = 2",
        "receipt 2: it is kept for another grant, or as proved otherwise, than it says",
    ),
    # Checkpoints
    (
        "UPDATE checkpoints SET body = replace(body, 'made_at', 'mode_at')",
        "checkpoint 1: checkpoint 1 says that it is another",
    ),
    (
        "UPDATE checkpoints SET body = body || ' '",
        "checkpoint 1: its signature is not by a key that is trusted here",
    ),
    ("UPDATE checkpoints SET body = '[]'", "checkpoint 1: checkpoint 1 is not one"),
    (
        "UPDATE checkpoints SET made_at = made_at - interval '1 day'",
        "checkpoint 1: checkpoint 1 says that it is another",
    ),
    (
        "INSERT INTO checkpoints SELECT 3, made_at, body, key_id, signature FROM checkpoints",
        "checkpoint 3: checkpoint 2 is missing",
    ),
    # Days
    (
        "INSERT INTO dropped_days SELECT day, 1, now(), 4 FROM statement_blocks LIMIT 1",
        "day 2026-03-01: the audit trail does not know that 4 rows were dropped",
    ),
]


@pytest.mark.parametrize(("tampering", "flaw"), TAMPERED, ids=[each[0][:60] for each in TAMPERED])
async def test_what_was_tampered_with_is_named(stage: Stage, tampering: str, flaw: str) -> None:
    async with stage.broker() as broker:
        await make_record(stage, broker)
        await tamper(stage, tampering)
        report = await broker.verification.run()
    assert [each for each in flaws(report) if each.startswith(flaw)], flaws(report)


async def test_a_chain_that_was_made_anew_does_not_have_what_a_checkpoint_names(
    stage: Stage,
) -> None:
    """Whoever may change everything may compute hashes, too; but not sign."""
    async with stage.broker() as broker:
        await make_record(stage, broker)
        tables = ("statements", "late_outcomes", "spools", "statement_blocks")
        await tamper(stage, *(f"DELETE FROM {table}" for table in tables))
        await put_on_record(stage, *ROWS[:-1], most_rows=4)
        report = await broker.verification.run()
    assert flaws(report) == ["statements block 2: it is not the one that checkpoint 1 names"]


async def test_the_newest_receipt_made_anew_is_not_the_one_that_the_trail_knows(
    stage: Stage,
) -> None:
    """No checkpoint names it yet, and its hash fits what it says now."""
    async with stage.broker() as broker:
        await make_record(stage, broker)
        details = await get_grant(broker)
        await broker.relinquish(details.grant.id, await get_person(broker, DEV))
        await broker.trail_sealing.seal()
        assert flaws(await broker.verification.run()) == []
        await tamper(
            stage,
            "UPDATE receipts SET body = replace(body, 'orders', 'others') WHERE number = 3",
            "UPDATE receipts SET hash = sha256(previous || int8send(number) || "
            "convert_to(body, 'UTF8')) WHERE number = 3",
        )
        report = await broker.verification.run()
    assert flaws(report) == ["receipt 3: it is not the one that the audit trail knows"]


async def test_a_check_can_begin_with_a_checkpoint(stage: Stage) -> None:
    async with stage.broker() as broker:
        await make_record(stage, broker)
        await tamper(stage, "UPDATE statements SET text = 'changed before' WHERE seq = 1")
        await put_on_record(stage, statement(9, session="ses_9"))
        report = await broker.verification.run(since=1)
        assert flaws(report) == []
        assert report.tallies[ChainName.STATEMENTS].rows == 1
        await tamper(stage, "UPDATE statements SET text = 'changed since' WHERE seq = 9")
        report = await broker.verification.run(since=1)
    assert flaws(report) == [
        "statements block 3, row 1 (session ses_9, statement 9): this row was changed"
    ]


@pytest.mark.parametrize(
    "tampering",
    [
        "UPDATE checkpoints SET body = body || ' '",
        "UPDATE checkpoints SET body = '{}'",
        "UPDATE checkpoints SET key_id = 'another'",
        "DELETE FROM checkpoints",
    ],
)
async def test_a_check_begins_only_with_a_checkpoint_of_ours(stage: Stage, tampering: str) -> None:
    async with stage.broker() as broker:
        await make_record(stage, broker)
        await tamper(stage, tampering)
        with pytest.raises(Invalid, match="checkpoint 1"):
            await broker.verification.run(since=1)


async def test_a_checkpoint_that_was_kept_elsewhere_finds_what_was_cut_off(stage: Stage) -> None:
    """With the newest checkpoint gone, nothing in the ledger knows of what it named."""
    async with stage.broker() as broker:
        await make_record(stage, broker)
        kept = await broker.checkpoints.get(1)
        assert flaws(await broker.verification.run(known=[kept])) == []
        await tamper(
            stage,
            "DELETE FROM checkpoints",
            "DELETE FROM statement_blocks WHERE number = 2",
            "DELETE FROM statements WHERE block = 2",
        )
        assert flaws(await broker.verification.run()) == []
        report = await broker.verification.run(known=[kept])
    assert flaws(report) == [
        "checkpoint 1: it is missing: you have it",
        "statements block 2: it is missing: checkpoint 1 names it",
    ]


async def test_an_event_that_is_seen_late_is_sealed_all_the_same(stage: Stage) -> None:
    """Numbers are given before a transaction commits: 1 may come to be seen after 2."""
    async with stage.broker() as broker, ledger(stage) as slow, ledger(stage) as quick:
        await broker.trail_sealing.seal()
        async with slow.transaction():
            first = await slow.fetchval(_AN_EVENT)
            never = await _rolled_back(quick)
            second = await quick.fetchval(_AN_EVENT)
            assert (never, second) == (first + 1, first + 2)
            assert await broker.trail_sealing.seal() == 1
            assert await broker.trail_sealing.seal() == 0
        report = await broker.verification.run()
        assert (flaws(report), report.unsealed_events) == ([], 1)
        assert await broker.trail_sealing.seal() == 1
        report = await broker.verification.run()
        assert (flaws(report), report.unsealed_events) == ([], 0)
    blocks = "SELECT array_agg(seqs::text ORDER BY number) FROM curfew.audit_blocks"
    assert (await stage.query_ledger(blocks))[-2:] == [f"{{{second}}}", f"{{{first}}}"]
    gaps = await stage.query_ledger("SELECT array_agg(seq) FROM curfew.audit_gaps")
    assert gaps == [never]


async def test_a_number_that_was_rolled_back_is_given_up_after_an_hour(stage: Stage) -> None:
    async with stage.broker() as broker, ledger(stage) as db:
        await _rolled_back(db)
        await get_person(broker, DEV)  # which says something in the trail
        await broker.trail_sealing.seal()
        assert await stage.query_ledger("SELECT count(*) FROM curfew.audit_gaps") == 1
        await get_person(broker, DEV)
        await later(broker, timedelta(hours=2)).trail_sealing.seal()
        assert await stage.query_ledger("SELECT count(*) FROM curfew.audit_gaps") == 0


async def test_the_trail_is_sealed_in_batches_and_by_one_at_a_time(stage: Stage) -> None:
    await stage.query_ledger(
        "INSERT INTO curfew.audit_events (at, actor, kind, data) "
        "SELECT now(), '', 'a.kind', jsonb_build_object('n', n) FROM generate_series(1, 2500) n"
    )
    async with stage.broker() as broker:
        together = await asyncio.gather(*(broker.trail_sealing.seal() for _ in range(4)))
        assert sum(together) == 2500
        report = await broker.verification.run()
        assert flaws(report) == []
        assert (report.tallies[ChainName.AUDIT].links, report.tallies[ChainName.AUDIT].rows) == (
            3,
            2500,
        )


async def test_checkpoints_are_made_when_their_time_has_come_and_something_has_moved(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    async with stage.broker() as broker:
        assert await broker.checkpoints.make_if_due() is None  # of nothing
        await put_on_record(stage, statement(1))
        first = await broker.checkpoints.make_if_due()
        assert first is not None
        assert f"checkpoint 1: {first.body} key {first.key_id}" in caplog.text
        assert first.signature.hex() in caplog.text
        await put_on_record(stage, statement(2))
        assert await broker.checkpoints.make_if_due() is None  # too early
        second = await later(broker, timedelta(minutes=11)).checkpoints.make_if_due()
        assert second is not None
        much_later = later(broker, timedelta(minutes=22))
        assert await much_later.checkpoints.make_if_due() is None  # nothing new
        third = await broker.checkpoints.make()
        assert third.heads == second.heads
        assert flaws(await broker.verification.run()) == []
    assert (stage.folder / "state" / "audit.key").stat().st_mode & 0o777 == 0o600


async def test_checkpoints_of_a_key_that_was_replaced_are_still_ours(stage: Stage) -> None:
    async with stage.broker() as broker:
        await put_on_record(stage, statement(1))
        old = await broker.checkpoints.make()
    (stage.folder / "state" / "audit.key").unlink()
    async with stage.broker() as broker:
        new = await broker.checkpoints.make()
        assert old.key_id != new.key_id
        assert flaws(await broker.verification.run()) == []


async def test_only_one_check_runs_at_a_time(stage: Stage) -> None:
    async with stage.broker() as broker:
        await make_record(stage, broker)
        async with asyncio.TaskGroup() as tasks:
            first = tasks.create_task(broker.verification.run())
            await asyncio.sleep(0)
            with pytest.raises(VerificationRunning):
                await broker.verification.run()
        assert flaws(first.result()) == []
        assert (await broker.verification.run()).finished


async def test_a_check_ends_when_its_time_is_over_and_holds_nothing_then(stage: Stage) -> None:
    async with stage.broker() as broker:
        await make_record(stage, broker)
        assert not (await broker.verification.run(within=timedelta())).finished
        held = await stage.query_ledger(
            "SELECT count(*) FROM pg_locks l JOIN pg_database d ON d.oid = l.database "
            "WHERE l.locktype = 'advisory' AND d.datname = current_database()"
        )
        assert held == 0
        assert (await broker.verification.run()).finished


async def _rolled_back(db: Db) -> int:
    """Return the number of an event that never came to be."""
    transaction = db.transaction()
    await transaction.start()
    number: int = await db.fetchval(_AN_EVENT)
    await transaction.rollback()
    return number


async def test_operators_and_auditors_have_the_record_checked_over_http(stage: Stage) -> None:
    async with house_on(stage) as house:
        await make_record(stage, house.broker)
        async with house.client_of(AUDITOR) as client:
            found = await client.verify_record()
            assert (found.holds, found.finished, found.newest_checkpoint) == (True, True, 1)
            assert found.chains["statements"].rows == 6
            assert (await client.verify_record(since=1)).chains["statements"].rows == 0
            await tamper(stage, "UPDATE statements SET text = '' WHERE session_id = 'ses_2'")
            found = await client.verify_record()
            (flaw,) = found.flaws
            assert (found.holds, found.found, flaw.number, flaw.place) == (False, 1, 2, 1)
            assert flaw.row == {"kind": "statement", "session": "ses_2", "seq": 1}
            with pytest.raises(ApiError, match="there is no checkpoint 7"):
                await client.verify_record(since=7)


async def test_an_operator_checks_the_record_and_a_checkpoint_that_they_kept(
    stage: Stage, tmp_path: Path
) -> None:
    async with stage.broker() as broker:
        await make_record(stage, broker)
    environment = {"PGCURFEW_CONFIG": str(stage.config)}
    kept = tmp_path / "kept.jsonl"
    made = await asyncio.to_thread(run_cli, environment, "audit", "checkpoint", "--json")
    kept.write_text(made.stdout)
    assert checkpoint_of(json.loads(made.stdout)).number == 2
    done = await asyncio.to_thread(
        run_cli, environment, "audit", "verify", "--checkpoint", str(kept)
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "2 blocks of statements with 6 rows\n" in done.stdout
    assert done.stdout.endswith("The record holds.\n")
    await tamper(stage, "DELETE FROM checkpoints WHERE number = 2")
    done = await asyncio.to_thread(
        run_cli, environment, "audit", "verify", "--json", "--checkpoint", str(kept)
    )
    told = json.loads(done.stdout)
    assert (done.returncode, told["holds"]) == (1, False)
    assert [each["why"] for each in told["flaws"]] == ["it is missing: you have it"]
    done = await asyncio.to_thread(run_cli, environment, "audit", "checkpoint")
    assert done.stdout.startswith("Checkpoint 2 of ")


async def test_an_export_is_checked_without_the_ledger(stage: Stage, tmp_path: Path) -> None:
    export = tmp_path / "record.jsonl"
    async with stage.broker() as broker:
        await make_record(stage, broker)
        with export.open("w") as file:
            async for line in broker.exports.json_lines(What.ALL, EVERYTHING):
                file.write(line)
    public = stage.folder / "state" / "audit.pub"
    arguments = ("audit", "verify", str(export), "--public-key", str(public))
    done = await asyncio.to_thread(run_cli, {}, *arguments)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith("The record holds.\n")
    export.write_text(export.read_text().replace("SELECT 2", "SELECT 0"))
    done = await asyncio.to_thread(run_cli, {}, *arguments)
    assert done.returncode == 1
    assert done.stdout.splitlines()[0] == (
        "statements block 1, row 2 (session ses_1, statement 2): this row was changed"
    )
    done = await asyncio.to_thread(run_cli, {}, "audit", "verify", str(export), "--since", "1")
    assert done.returncode == 2
    done = await asyncio.to_thread(
        run_cli, {}, "audit", "verify", str(export), "--public-key", str(export)
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert "it has no public key in PEM" in done.stderr
