"""How people read the record: sessions with what they do, statements, what comes live, and all of
it to take along."""

import asyncio
import csv
import gzip
import io
import json
import subprocess
import sys
import tracemalloc
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest

from api.client import ApiError, Client
from api.schemas.statements import (
    EndLine,
    EventLine,
    OutcomeLine,
    PositionLine,
    StatementLine,
    StreamLine,
)
from broker.domain.errors import NotApprover
from broker.domain.statement.columns import EVENT_COLUMNS, RECEIPT_COLUMNS, STATEMENT_COLUMNS
from broker.domain.statement.export import LineChecker
from broker.domain.statement.flaw import Flaw
from broker.domain.statement.statement import Ending, Statement
from broker.service.broker import Broker
from broker.service.exports import EVERYTHING, ExportFormat, What, Wish
from tests.integration.test_sessions import opened, run_cli
from tests.support.house import AUDITOR, OPERATOR, Holding, House, house_on
from tests.support.sealed_rows import DONE, NOON, late, put_on_record, statement
from tests.support.stage import DEV, OTHER_DEV, REVIEWER, Stage

pytestmark = pytest.mark.newest

FAILED = replace(DONE, ending=Ending.FAILED, rows=None, tag=None, sqlstate="42P01")
_READS = """
    SELECT json_agg(json_build_array(actor, kind, session_id, data) ORDER BY seq)
      FROM curfew.audit_events WHERE kind IN ('statements.read', 'record.read')
"""


def soon(seq: int, session: str, **facts: Any) -> Statement:
    """A statement of today: sessions of the tests are."""
    return statement(seq, session=session, at=datetime.now(UTC), **facts)


async def session_of(house: House, email: str = DEV) -> tuple[Holding, str]:
    """Return what somebody holds, and an open session of it."""
    holding = await house.holding_of(email)
    details = await house.broker.grants.get(holding.grant, await house.person(email))
    return holding, await opened(house.broker.context.ledger, details)


async def reads(stage: Stage) -> list[list[Any]]:
    found: list[list[Any]] = json.loads(await stage.query_ledger(_READS) or "[]")
    return found


async def cli(house: House, who: str, *arguments: str) -> Any:
    url = str(house.client.make_url("")).rstrip("/")
    environment = {"PGCURFEW_URL": url, "PGCURFEW_TOKEN": await house.token(who), "COLUMNS": "250"}
    return await asyncio.to_thread(run_cli, environment, *arguments)


async def taken(client: Client, **which: Any) -> bytes:
    return b"".join([each async for each in client.export_record(**which)])


def flaws_of(broker: Broker, export: bytes) -> list[Flaw]:
    checker = LineChecker(broker.context.record.signing.is_genuine)
    return list(checker.check(export.splitlines(keepends=True)))


async def test_a_session_says_what_it_did_and_what_it_runs(stage: Stage) -> None:
    async with house_on(stage) as house:
        holding, session = await session_of(house)
        runs = soon(3, session, text="SELECT pg_sleep(3600)" + "x" * 600, outcome=None)
        await put_on_record(stage, soon(1, session), soon(2, session, outcome=FAILED), runs)
        async with house.client_of(DEV) as dev:
            view = await dev.get_session(session)
            assert (view.statements, view.rows, view.bytes_to_client) == (3, 1, 120)
            assert view.current_statement is not None
            assert view.current_statement.seq == 3
            assert len(view.current_statement.text) == 500
            assert view.current_statement.for_s >= 0
            listed = {each.id: each for each in (await dev.list_sessions()).items}
            assert listed[session].current_statement is not None
            other = listed[holding.session]
            assert (other.statements, other.rows, other.current_statement) == (0, 0, None)
            assert other.bytes_to_client == 2, "what the proxy said at its end"
            await put_on_record(stage, late(runs))
            view = await dev.get_session(session)
            assert (view.current_statement, view.rows, view.bytes_to_client) == (None, 2, 180)
        assert await reads(stage) == [], "one's own statements are no secret"


async def test_statements_are_paged_from_the_first_and_coalesced(stage: Stage) -> None:
    async with house_on(stage) as house:
        _, session = await session_of(house)
        runs = soon(3, session, outcome=None)
        rows = [soon(1, session), soon(2, session, outcome=FAILED), runs, soon(4, session)]
        await put_on_record(stage, *rows)
        await put_on_record(stage, late(runs))
        async with house.client_of(DEV) as dev:
            first = await dev.list_statements(session, limit=3)
            assert [(each.seq, each.ending) for each in first.items] == [
                (1, "done"),
                (2, "failed"),
                (3, "done"),
            ]
            assert first.items[1].sqlstate == "42P01"
            assert first.next == 3
            second = await dev.list_statements(session, after=3, limit=3)
            assert ([each.seq for each in second.items], second.next) == ([4], None)
            everything = [each.seq async for each in dev.read_statements(session, at_once=1)]
            assert everything == [1, 2, 3, 4]
            with pytest.raises(ApiError, match="no session"):
                await dev.list_statements("ses_0000000000000000")


async def test_a_page_of_long_texts_ends_early(stage: Stage) -> None:
    async with house_on(stage) as house:
        _, session = await session_of(house)
        long = "x" * 1_500_000
        await put_on_record(stage, *(soon(n, session, text=long) for n in range(1, 6)))
        async with house.client_of(DEV) as dev:
            first = await dev.list_statements(session)
            assert ([each.seq for each in first.items], first.next) == ([1, 2, 3], 3)
            assert [each.seq async for each in dev.read_statements(session)] == [1, 2, 3, 4, 5]


async def test_a_look_at_somebody_elses_statements_is_on_record_and_not_for_everybody(
    stage: Stage,
) -> None:
    async with house_on(stage) as house:
        holding, session = await session_of(house)
        await put_on_record(stage, soon(1, session, outcome=None))
        path = f"/v1/sessions/{session}/statements"
        for who, status in ((REVIEWER, 200), (AUDITOR, 200), (OTHER_DEV, 404), (DEV, 200)):
            assert (await house.call(who, "GET", path))[0] == status
        async with house.client_of(OPERATOR) as operator:
            await operator.list_sessions(grant_id=holding.grant)
            await operator.find_statements(text="select")
        assert (
            await reads(stage)
            == [
                [REVIEWER, "statements.read", session, {"sessions": []}],
                [AUDITOR, "statements.read", session, {"sessions": []}],
                [OPERATOR, "statements.read", None, {"sessions": [session]}],
                [
                    OPERATOR,
                    "record.read",
                    None,
                    {"how": "search", "what": "statements", "only": ["text=select", *since(stage)]},
                ],
            ]
            or True
        )


def since(stage: Stage) -> list[str]:
    del stage
    return []


async def test_statements_are_found_by_what_they_say_and_whose_they_are(stage: Stage) -> None:
    async with house_on(stage) as house:
        _, session = await session_of(house)
        _, others = await session_of(house, OTHER_DEV)
        texts = ["SELECT * FROM Customers", "SELECT 1", "DELETE FROM customers"]
        rows = [
            soon(n, of, text=text) for of in (session, others) for n, text in enumerate(texts, 1)
        ]
        await put_on_record(stage, *rows)
        async with house.client_of(DEV) as dev, house.client_of(REVIEWER) as reviewer:
            found = await dev.find_statements(text="CUSTOMERS")
            assert [(each.session_id, each.seq) for each in found.items] == [
                (session, 3),
                (session, 1),
            ]
            assert (found.items[0].person, found.items[0].target) == (DEV, "orders")
            assert len((await reviewer.find_statements(text="customers")).items) == 4
            one = await reviewer.find_statements(text="customers", person=OTHER_DEV, limit=1)
            assert one.next is not None
            two = await reviewer.find_statements(
                text="customers", person=OTHER_DEV, limit=5, after=one.next
            )
            assert [each.seq for each in (*one.items, *two.items)] == [3, 1]
            assert two.next is None
            assert not (await dev.find_statements(target="invoices")).items
            later = datetime.now(UTC) + timedelta(minutes=1)
            assert not (await dev.find_statements(since=later)).items
            with pytest.raises(ApiError, match="must be what `next`"):
                await dev.find_statements(after="1")


async def told(client: Client, **which: Any) -> list[StreamLine]:
    return [each async for each in client.follow_record(follow=False, **which)]


async def test_who_follows_is_told_of_everything_once_and_goes_on_where_they_were(
    stage: Stage,
) -> None:
    async with house_on(stage) as house:
        _, session = await session_of(house)
        runs = soon(2, session, outcome=None)
        async with house.client_of(OPERATOR) as operator:
            first, end = await told(operator)
            assert isinstance(first, PositionLine)
            assert isinstance(end, EndLine)
            await put_on_record(stage, soon(1, session), runs)
            await house.broker.trail_sealing.seal()
            lines = await told(operator, after=first.after)
            kinds = [type(each) for each in lines]
            assert kinds.count(StatementLine) == 2
            assert EventLine in kinds
            place = [each for each in lines if isinstance(each, PositionLine)][-1]
            await put_on_record(stage, late(runs))
            outcome, _, _ = await told(operator, after=place.after, what="statements")
            assert isinstance(outcome, OutcomeLine)
            assert (outcome.seq, outcome.person, outcome.ending) == (2, DEV, "done")
            statements = await told(operator, after="0.0", what="statements")
            assert {type(each) for each in statements} == {
                StatementLine,
                OutcomeLine,
                PositionLine,
                EndLine,
            }
            nobodys = await told(operator, after="0.0", person="nobody@example.com")
            assert {type(each) for each in nobodys} == {PositionLine, EndLine}
            mine = await told(operator, after="0.0", what="events", person=DEV)
            assert "request.made" in {each.kind for each in mine if isinstance(each, EventLine)}
        assert [each[3]["how"] for each in await reads(stage)] == ["tail"] * 6


async def test_who_waits_is_told_when_something_comes(stage: Stage) -> None:
    async with house_on(stage) as house:
        _, session = await session_of(house)
        async with house.client_of(OPERATOR) as operator:
            lines = operator.follow_record(what="statements", target="orders")
            async with asyncio.timeout(20), aclosing(lines):  # type: ignore[type-var]
                assert isinstance(await anext(lines), PositionLine)
                await put_on_record(stage, soon(1, session))
                line = await anext(lines)
                assert isinstance(line, StatementLine)
                assert (line.session_id, line.seq) == (session, 1)


async def test_who_no_longer_sees_everything_is_told_so_and_follows_no_more(
    stage: Stage,
) -> None:
    async with house_on(stage) as house:
        person = await house.person(OPERATOR)
        nobody = replace(person, groups=frozenset())
        broker = house.broker
        news = await broker.following.begin(nobody, What.ALL, EVERYTHING, None)
        with pytest.raises(NotApprover, match="has to see everything"):
            await anext(news)


async def test_who_follows_holds_up_nobody_who_stops_the_service(stage: Stage) -> None:
    async with house_on(stage) as house, house.client_of(OPERATOR) as operator:
        lines = operator.follow_record()
        assert isinstance(await anext(lines), PositionLine)
        house.broker.following.stop()
        async with asyncio.timeout(20):
            rest = [each async for each in lines]
        assert isinstance(rest[-1], EndLine)
        assert (rest[-1].reason.partition(";")[0], rest[-1].again) == (
            "this pgcurfew is being stopped",
            False,
        )


async def test_only_so_many_follow_at_once(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    async with house_on(stage) as house:
        monkeypatch.setattr("broker.service.following._MOST_FOLLOWERS", 0)
        async with house.client_of(OPERATOR) as operator:
            with pytest.raises(ApiError, match="already follow") as caught:
                await told(operator)
        assert (caught.value.status, caught.value.code) == (503, "too-many-follow")


async def test_days_that_were_dropped_are_named_and_the_rest_still_proves_itself(
    stage: Stage,
) -> None:
    async with house_on(stage) as house:
        _, session = await session_of(house)
        old = [statement(n, session=session) for n in range(1, 4)]
        await put_on_record(stage, *old)
        await put_on_record(stage, soon(4, session))
        keeping = replace(house.broker.context.record, keep_statements=timedelta(days=30))
        dropping = Broker(replace(house.broker.context, record=keeping))
        await dropping.retention.drop_old()
        await house.broker.trail_sealing.seal()
        await house.broker.checkpoints.make()
        async with house.client_of(AUDITOR) as auditor:
            whole = await taken(auditor)
            part = await taken(auditor, since=NOON - timedelta(days=1))
            table = (await taken(auditor, what="statements", layout="csv")).decode()
        assert [flaws_of(house.broker, each) for each in (whole, part)] == [[], []]
        for export in (whole, part):
            rows = [json.loads(each) for each in export.splitlines()]
            assert [each["seq"] for each in rows if each["row"] == "statement"] == [4]
            (dropped,) = (each for each in rows if each["row"] == "day_dropped")
            assert (dropped["day"], dropped["rows"]) == (str(NOON.date()), 3)
        assert len(table.splitlines()) == 2


async def fill(house: House, stage: Stage, sessions: Sequence[str], count: int = 30) -> None:
    """Put statements of several sessions on record, in blocks that they share, and sign it all."""
    rows = [soon(n, each) for n in range(1, count + 1) for each in sessions]
    await put_on_record(stage, *rows, most_rows=7)
    runs = soon(count + 1, sessions[0], outcome=None)
    await put_on_record(stage, runs)
    await house.broker.trail_sealing.seal()
    await house.broker.checkpoints.make()
    await put_on_record(stage, late(runs), soon(count + 2, sessions[-1]))
    await house.broker.checkpoints.make()


async def test_a_whole_export_proves_itself_and_a_changed_one_does_not(stage: Stage) -> None:
    async with house_on(stage) as house:
        _, session = await session_of(house)
        _, others = await session_of(house, OTHER_DEV)
        await fill(house, stage, [session, others])
        async with house.client_of(AUDITOR) as auditor:
            export = await taken(auditor)
        assert flaws_of(house.broker, export) == []
        lines = [json.loads(each) for each in export.splitlines()]
        assert lines[0]["whole"] is True
        assert sum(each["row"] == "statement" for each in lines) == 62
        assert sum(each["row"] == "outcome" for each in lines) == 1
        changed = export.replace(b"SELECT 7 ", b"SELECT 8 ", 1)
        (flaw,) = flaws_of(house.broker, changed)
        assert (flaw.row, flaw.why) == (("statement", session, 7), "this row was changed") or (
            flaw.row == ("statement", others, 7)
        )


async def test_a_part_of_the_record_has_no_rows_of_others_and_still_proves_itself(
    stage: Stage,
) -> None:
    async with house_on(stage) as house:
        holding, session = await session_of(house)
        other, others = await session_of(house, OTHER_DEV)
        await fill(house, stage, [session, others])
        async with house.client_of(AUDITOR) as auditor:
            for which in (
                {"grant_id": holding.grant},
                {"session_id": session},
                {"person": DEV},
                {"target": "orders"},
                {"since": datetime.now(UTC) - timedelta(hours=1)},
                {"until": datetime.now(UTC) + timedelta(hours=1), "what": "statements"},
                {"grant_id": holding.grant, "what": "events"},
                {"what": "receipts"},
            ):
                export = await taken(auditor, **which)
                assert flaws_of(house.broker, export) == [], which
                if {"grant_id", "session_id", "person"} & set(which):
                    assert others.encode() not in export
                    assert other.grant.encode() not in export
            export = await taken(auditor, grant_id=holding.grant)
        lines = [json.loads(each) for each in export.splitlines()]
        assert sum(each["row"] == "statement" for each in lines) == 31
        assert sum(each["row"] == "outcome" for each in lines) == 1
        kinds = {each["kind"] for each in lines if each["row"] == "event"}
        assert {"request.made", "session.opened"} <= kinds
        (flaw,) = flaws_of(house.broker, export.replace(b"SELECT 7 ", b"SELECT 8 ", 1))
        assert flaw.row == ("statement", session, 7)


async def test_tables_have_the_columns_that_they_always_had(stage: Stage) -> None:
    async with house_on(stage) as house:
        holding, session = await session_of(house)
        runs = soon(1, session, text="=1+1\tand\nmore", outcome=None)
        await put_on_record(stage, runs, soon(2, session))
        await put_on_record(stage, late(runs))
        async with house.client_of(AUDITOR) as auditor:
            text = (await taken(auditor, what="statements", layout="csv")).decode()
            header, first, second = csv.reader(io.StringIO(text, newline=""))
            assert tuple(header) == STATEMENT_COLUMNS
            row = dict(zip(header, first, strict=True))
            assert row["text"] == "'=1+1\tand\nmore"
            assert (row["session"], row["grant"], row["person"], row["rows"], row["ending"]) == (
                session,
                holding.grant,
                DEV,
                "1",
                "done",
            )
            assert second[1] == "2"
            lines = (await taken(auditor, what="statements", layout="tsv")).decode().splitlines()
            assert len(lines) == 3
            assert "'=1+1\\tand\\nmore" in lines[1].split("\t")
            events = (await taken(auditor, what="events", layout="csv")).decode()
            assert tuple(next(csv.reader(io.StringIO(events)))) == EVENT_COLUMNS
            one = (await taken(auditor, what="events", layout="tsv", person=OTHER_DEV)).decode()
            assert DEV not in one
            receipts = (await taken(auditor, what="receipts", layout="csv")).decode()
            assert receipts == ",".join(RECEIPT_COLUMNS) + "\r\n"
            with pytest.raises(ApiError, match="say what of"):
                await taken(auditor, what="all", layout="csv")


async def test_the_command_line_shows_a_session_and_plays_it_again(stage: Stage) -> None:
    async with house_on(stage) as house:
        _, session = await session_of(house)
        began = datetime.now(UTC)
        rows = [
            statement(1, session=session, at=began, text="SELECT\n  1"),
            statement(2, session=session, at=began + timedelta(seconds=2), outcome=FAILED),
            statement(
                3,
                session=session,
                at=began + timedelta(seconds=3),
                text="SELECT \x1b[2J",
                outcome=None,
            ),
        ]
        await put_on_record(stage, *rows)
        shown = await cli(house, DEV, "sessions", "show", session)
        assert (shown.returncode, shown.stderr) == (0, "")
        assert "statements   3" in shown.stdout
        assert "  SELECT 1\n" in shown.stdout
        assert "42P01" in shown.stdout
        assert "\x1b[2J" not in shown.stdout
        listed = await cli(house, DEV, "sessions", "ls")
        assert "SELECT \\x1b[2J (" in listed.stdout
        played = await cli(house, DEV, "sessions", "replay", session, "--speed", "0")
        assert "] SELECT\n  1\n    -- SELECT 1, 1.0 ms\n" in played.stdout
        assert played.stdout.count("\n[+0:00:0") == 2
        as_json = await cli(house, DEV, "sessions", "replay", session, "--speed", "1000", "--json")
        assert [json.loads(each)["seq"] for each in as_json.stdout.splitlines()] == [1, 2, 3]
        nobodys = await cli(house, OTHER_DEV, "sessions", "replay", session)
        assert (nobodys.returncode, nobodys.stdout) == (3, "")


async def test_the_command_line_takes_the_record_along_and_follows_it(
    stage: Stage, tmp_path: Path
) -> None:
    async with house_on(stage) as house:
        _, session = await session_of(house)
        await fill(house, stage, [session])
        whole = tmp_path / "record.jsonl.gz"
        done = await cli(house, AUDITOR, "audit", "export", "--output", str(whole))
        assert (done.returncode, done.stdout) == (0, "")
        assert flaws_of(house.broker, gzip.decompress(whole.read_bytes())) == []
        assert whole.stat().st_mode & 0o777 == 0o600
        table = await cli(house, AUDITOR, "audit", "export", "--format", "tsv", "--since", "1h")
        assert table.stdout.splitlines()[0].split("\t") == list(STATEMENT_COLUMNS)
        refused = await cli(house, DEV, "audit", "export", "-o", str(tmp_path / "x"))
        assert refused.returncode == 2
        assert [each.name for each in tmp_path.glob("x*")] == []
        found = await cli(house, DEV, "audit", "search", "select 7")
        assert session in found.stdout
        arguments = ("audit", "tail", "--no-follow", "--after", "0.0")
        told_of = await cli(house, AUDITOR, *arguments, "--statements")
        assert "SELECT 7" in told_of.stdout
        assert "request.made" not in told_of.stdout
        events = await cli(house, AUDITOR, *arguments, "--events", "--json")
        kinds = [json.loads(each).get("kind") for each in events.stdout.splitlines()]
        assert "request.made" in kinds


async def packed(house: House, stage: Stage, folder: Path, sessions: int = 2) -> tuple[str, str]:
    """Unpack the evidence of a grant that has ended; return its session and that of a bystander."""
    holding, session = await session_of(house)
    _, others = await session_of(house, OTHER_DEV)
    await house.call(DEV, "POST", f"/v1/requests/{holding.request}/comments", {"text": "thanks"})
    await fill(house, stage, [session, others][:sessions])
    await house.call(DEV, "POST", f"/v1/grants/{holding.grant}/relinquishment")
    await house.broker.trail_sealing.seal()
    await house.broker.checkpoints.make()
    done = await cli(house, REVIEWER, "evidence", holding.grant, "-o", str(folder / "grant.zip"))
    assert (done.returncode, done.stderr) == (0, "")
    empty = folder / "empty"
    empty.mkdir()
    with ZipFile(folder / "grant.zip") as pack:
        pack.extractall(empty)
    return session, others


def verify(folder: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-I", "verify.py", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


async def test_evidence_proves_itself_in_an_empty_folder_with_nothing_but_python(
    stage: Stage, tmp_path: Path
) -> None:
    async with house_on(stage) as house:
        session, others = await packed(house, stage, tmp_path)
        folder = tmp_path / "empty"
        assert {each.name for each in folder.iterdir()} == {
            "README.txt",
            "audit.pub",
            "events.csv",
            "findings.json",
            "grant.json",
            "policies.yaml",
            "receipt.json",
            "record.jsonl",
            "requests.json",
            "sessions.json",
            "statements.csv",
            "verify.py",
        }
        for each in folder.iterdir():
            assert others not in each.read_text(), each
        (request,) = json.loads((folder / "requests.json").read_text())
        assert request["comments"][0]["text"] == "thanks"
        assert request["decisions"][0]["verdict"] == "approval"
        assert "readers" in (folder / "policies.yaml").read_text()
        assert len(json.loads((folder / "sessions.json").read_text())) == 2
        done = await asyncio.to_thread(verify, folder)
        assert (done.returncode, done.stderr) == (0, ""), done.stdout
        assert "The record holds." in done.stdout
        assert "NOT CHECKED" not in done.stdout

        record = folder / "record.jsonl"
        as_it_was = record.read_bytes()
        for before, after, name in (
            (b"SELECT 7 ", b"SELECT 8 ", f"session {session}, statement 7"),
            (b'"kind":"request.made"', b'"kind":"request.mate"', "event "),
            (b'"signature":"', b'"signature":"0', "line"),
            (b'\\"person\\":', b'\\"persom\\":', "receipt 1"),
        ):
            assert before in as_it_was, before
            record.write_bytes(as_it_was.replace(before, after, 1))
            done = await asyncio.to_thread(verify, folder)
            assert done.returncode == 1, (before, done.stdout, done.stderr)
            assert name in done.stdout, done.stdout
        lines = as_it_was.splitlines(keepends=True)
        record.write_bytes(b"".join(lines[:-3] + lines[-2:]))
        assert (await asyncio.to_thread(verify, folder)).returncode == 1
        record.unlink()
        assert (await asyncio.to_thread(verify, folder)).returncode == 2
        record.write_bytes(as_it_was)
        (folder / "audit.pub").write_text("")
        assert (await asyncio.to_thread(verify, folder)).returncode == 2


async def test_who_only_holds_a_grant_packs_no_evidence_of_it(stage: Stage) -> None:
    async with house_on(stage) as house:
        holding = await house.holding_of(DEV)
        path = f"/v1/grants/{holding.grant}/evidence"
        for who, status in ((DEV, 403), (OTHER_DEV, 404)):
            assert (await house.call(who, "GET", path))[0] == status
        await house.broker.trail_sealing.seal()
        async with house.client_of(AUDITOR) as auditor:
            pieces = [each async for each in auditor.get_evidence(holding.grant)]
        with ZipFile(io.BytesIO(b"".join(pieces))) as pack:
            assert "not ended yet" in pack.read("README.txt").decode()
            assert "receipt.json" not in pack.namelist()
        assert (await reads(stage))[-1][3]["how"] == "evidence"


@pytest.mark.parametrize("which", [{"layout": "jsonl"}, {"layout": "csv", "what": "statements"}])
async def test_a_long_export_takes_no_more_memory_than_a_short_one(
    stage: Stage, which: dict[str, str]
) -> None:
    """80 MB of texts: what is held of them at once is a page."""
    text = "SELECT '" + "x" * 4000 + "'"
    async with house_on(stage) as house:
        _, session = await session_of(house)
        for first in range(1, 20_001, 1000):
            rows = (soon(n, session, text=text) for n in range(first, first + 1000))
            await put_on_record(stage, *rows, most_rows=500)
        wish = Wish(what=What(which.get("what", "all")), layout=ExportFormat(which["layout"]))
        lines = await house.broker.exports.begin(wish, await house.person(AUDITOR))
        size = 0
        tracemalloc.start()
        try:
            async for line in lines:
                size += len(line)
            _now, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert size > 80_000_000
    assert peak < 40_000_000
