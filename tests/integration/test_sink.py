"""A SIEM gets what the ledger gets, at least once and in order, whatever its receiver does."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from ipaddress import ip_address
from pathlib import Path

import pytest

from broker.domain.events import SessionOpened
from broker.domain.statement.statement import row_facts
from broker.ledger import sessions
from broker.ledger.connection import autocommit, open_pool
from broker.ledger.sessions import NewSession
from broker.sink.address import HttpsSink, SinkAddress, SyslogSink
from broker.sink.sender import SinkUnreachable
from broker.sink.sending import open_sender
from broker.sink.syslog import syslog_frame
from broker.tls import web_context
from proxy.spool.destination import Batch
from proxy.spool.reader import SpoolFolder
from proxy.spool.shipper import Ledger, Shipping, delete_shipped
from proxy.spool.sink import Sink
from tests.support.people import get_grant
from tests.support.sinks import Receiver, run_https, run_mute, run_syslog
from tests.support.spool import WORKER, FakeWriter, begin, end, session_id
from tests.support.stage import DEV, Stage

pytestmark = pytest.mark.newest

COUNT = 2_000


@dataclass(frozen=True, slots=True)
class Copying:
    receiver: Receiver
    address: SinkAddress


@pytest.fixture(params=["syslog", "https"])
async def copying(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Copying]:
    folder = tmp_path / "receiver"
    folder.mkdir()
    if request.param == "syslog":
        with run_syslog(folder) as receiver:
            context = web_context(str(receiver.root))
            yield Copying(receiver, SyslogSink("localhost", receiver.port, context))
    else:
        async with run_https(folder) as receiver:
            context = web_context(str(receiver.root))
            url = f"https://localhost:{receiver.port}/ingest"
            yield Copying(receiver, HttpsSink(url, context, "a token"))


@asynccontextmanager
async def both(stage: Stage, address: SinkAddress, folder: Path) -> AsyncIterator[list[Shipping]]:
    """Shipping to the ledger, and to the sink."""
    spool = SpoolFolder(folder)
    login = stage.ledger_login("curfew_proxy")
    async with open_pool(login, "a shipper", 2) as pool, open_sender(address) as sender:
        sink = Sink(address.name, sender, pool, spool)
        sink.batch, sink.look_every_s = Batch(most_rows=100), 0.01
        yield [Shipping(spool, Ledger(pool)), Shipping(spool, sink)]


async def ship_all(stage: Stage, address: SinkAddress, folder: Path) -> None:
    """Ship until everybody has everything."""
    spool = SpoolFolder(folder)
    async with both(stage, address, folder) as everywhere, asyncio.TaskGroup() as tasks:
        keepers = [
            tasks.create_task(each.keep_shipping(lambda: delete_shipped(spool, everywhere)))
            for each in everywhere
        ]
        while not spool.is_empty():
            await asyncio.sleep(0.01)
        for keeper in keepers:
            keeper.cancel()


def write(folder: Path, count: int = COUNT, *, worker: str = WORKER, session: int = 1) -> None:
    folder.mkdir(exist_ok=True)
    writer = FakeWriter(folder, worker)
    for seq in range(1, count + 1):
        writer.write(begin(seq, session, b"SELECT %d, '\xc3\xa9'" % seq), end(seq, session))


def seqs(receiver: Receiver) -> list[int]:
    return [line["seq"] for line in receiver.lines]


async def open_session(stage: Stage) -> str:
    """Write the session down as a proxy does; returns its grant."""
    async with stage.broker() as broker:
        grant = (await get_grant(broker)).grant
    now = datetime.now(UTC)
    session = NewSession(
        id=session_id(1),
        grant_id=grant.id,
        worker_id="wrk_1",
        client_address=ip_address("192.0.2.7"),
        client_application="psql",
        client_certificate=None,
        started_at=now,
    )
    event = SessionOpened(
        session_id=session.id,
        grant_id=grant.id,
        client_address="192.0.2.7",
        client_application="psql",
        worker="wrk_1",
    )
    login = stage.ledger_login("curfew_proxy")
    async with open_pool(login, "a proxy", 1) as pool, autocommit(pool) as db:
        await sessions.open_(db, session, event, actor=DEV, forgive=[])
    return grant.id


async def test_the_sink_gets_every_statement_with_whose_it_was(
    stage: Stage, copying: Copying, tmp_path: Path
) -> None:
    grant_id = await open_session(stage)
    write(tmp_path / "spool", 3)
    await ship_all(stage, copying.address, tmp_path / "spool")
    first, *_ = copying.receiver.lines
    assert seqs(copying.receiver) == [1, 2, 3]
    assert {**first, **dict.fromkeys(row_facts_keys(), 0)} == {
        **dict.fromkeys(row_facts_keys(), 0),
        "grant": grant_id,
        "person": DEV,
        "target": "orders",
        "database": stage.target_database,
        "role": "orders_reader",
        "client_address": "192.0.2.7",
    }
    assert (first["text"], first["ending"]) == ("SELECT 1, '\u00e9'", "done")


def row_facts_keys() -> list[str]:
    from tests.integration.test_shipping import statement  # noqa: PLC0415

    return list(row_facts(statement(1)))


async def test_a_receiver_that_drops_connections_gets_everything_in_order(
    stage: Stage, copying: Copying, tmp_path: Path
) -> None:
    write(tmp_path / "spool")
    copying.receiver.drops = [0, 1, 5_000, 20_000, 100_000]
    await ship_all(stage, copying.address, tmp_path / "spool")
    assert list(dict.fromkeys(seqs(copying.receiver))) == list(range(1, COUNT + 1))
    assert await stage.query_ledger("SELECT count(*) FROM curfew.statements") == COUNT


async def test_a_sink_that_is_down_keeps_the_segments_and_not_the_ledger(
    stage: Stage, tmp_path: Path
) -> None:
    folder = tmp_path / "spool"
    write(folder)
    spool = SpoolFolder(folder)
    nowhere = SyslogSink("localhost", 1, web_context())
    async with both(stage, nowhere, folder) as everywhere:
        ledger, sink = everywhere
        while await ledger.ship_once():
            pass
        with pytest.raises(Exception, match="refused"):
            await sink.ship_once()
        delete_shipped(spool, everywhere)
    assert await stage.query_ledger("SELECT count(*) FROM curfew.statements") == COUNT
    assert not spool.is_empty()


async def test_a_shipper_that_was_killed_sends_on_from_where_the_sink_was(
    stage: Stage, copying: Copying, tmp_path: Path
) -> None:
    folder = tmp_path / "spool"
    write(folder, 450)
    async with both(stage, copying.address, folder) as (_, sink):
        for _round in range(2):
            await sink.ship_once()
    assert seqs(copying.receiver) == list(range(1, 201))
    await ship_all(stage, copying.address, folder)
    assert seqs(copying.receiver) == list(range(1, 451)), "nothing twice, as nobody died"
    (folder / "sink.position").write_text("{")
    write(folder, 5, worker="wrk_06h0000000000002", session=2)
    await ship_all(stage, copying.address, folder)
    assert seqs(copying.receiver)[450:] == list(range(1, 6)), "as far as it is still there"


async def test_an_https_receiver_is_told_the_token_and_believed_only_when_it_says_yes(
    tmp_path: Path,
) -> None:
    async with run_https(tmp_path) as receiver:
        context = web_context(str(receiver.root))
        address = HttpsSink(f"https://localhost:{receiver.port}/ingest", context, "a token")
        async with open_sender(address) as sender:
            for answer in (500, 401, 307):
                receiver.answer = answer
                with pytest.raises(SinkUnreachable, match=str(answer)):
                    await sender.send([{"row": "statement"}])
            receiver.answer = 200
            await sender.send([{"row": "statement"}, {"row": "outcome"}])
    assert receiver.lines == [{"row": "statement"}, {"row": "outcome"}]
    assert {each["Authorization"] for each in receiver.headers} == {"Bearer a token"}
    assert receiver.headers[0]["Content-Type"] == "application/x-ndjson"
    assert "a token" not in repr(address)


async def test_a_receiver_that_nobody_vouches_for_gets_nothing(
    copying: Copying, tmp_path: Path
) -> None:
    strangers = web_context()
    address: SinkAddress = (
        SyslogSink("localhost", copying.receiver.port, strangers)
        if isinstance(copying.address, SyslogSink)
        else HttpsSink(copying.address.url, strangers, None)
    )
    async with open_sender(address) as sender:
        with pytest.raises(SinkUnreachable, match="certificate"):
            await sender.send([{"row": "statement"}])
    assert copying.receiver.lines == []


def test_a_syslog_message_is_framed_as_the_rfcs_say() -> None:
    facts = {"row": "statement", "started_at": "2026-03-01T12:00:00.000000Z", "text": "\u00e9\n"}
    length, _, message = syslog_frame(facts).partition(b" ")
    assert int(length) == len(message)
    head = rb"<110>1 2026-03-01T12:00:00\.000000Z [!-~]+ pgcurfew - statement - "
    line = rb'\{"row":"statement","started_at":"[^"]+","text":"\\u00e9\\n"\}'
    assert re.fullmatch(head + line, message)
    assert re.search(rb" <110>1 20[0-9TZ:.-]+ ", syslog_frame({"row": "outcome"}))


async def test_a_receiver_that_never_says_goodbye_is_believed_when_it_waits_to_be_asked(
    tmp_path: Path,
) -> None:
    """It does not do what RFC 5425 asks for. The first lines come twice, and no others."""
    with run_mute(tmp_path) as receiver:
        context = web_context(str(receiver.root))
        async with open_sender(SyslogSink("localhost", receiver.port, context)) as sender:
            with pytest.raises(SinkUnreachable, match="without a word"):
                await sender.send([{"row": "statement", "seq": 1}])
            for seq in (1, 2):
                await sender.send([{"row": "statement", "seq": seq}])
            receiver.drops = [1000]
            with pytest.raises(SinkUnreachable):
                await sender.send([{"row": "statement", "seq": 3}])
    assert [json.loads(each[each.index(b"{") :])["seq"] for each in receiver.frames] == [1, 1, 2]


async def test_the_sink_gets_the_audit_trail_from_one_of_the_brokers(
    stage: Stage, copying: Copying
) -> None:
    address = copying.address
    where = (
        {"syslog": f"localhost:{copying.receiver.port}"}
        if isinstance(address, SyslogSink)
        else {"url": address.url}
    )
    stage.write_settings(audit={"sink": {**where, "root_certificate": str(copying.receiver.root)}})
    async with stage.broker() as broker, stage.broker() as another:
        await get_grant(broker)
        copying.receiver.drops = [10]
        await broker.trail_sealing.seal()
        with pytest.raises(SinkUnreachable):
            await broker.copying.send_events()
        await another.copying.send_events()
        assert copying.receiver.lines == [], "that is the first one's turn"
        await broker.copying.send_events()
        await broker.copying.send_events()
    count = await stage.query_ledger("SELECT count(*) FROM curfew.audit_events")
    assert seqs(copying.receiver) == list(range(1, count + 1))
    kinds = [line["kind"] for line in copying.receiver.lines]
    assert "request.made" in kinds
    assert {line["row"] for line in copying.receiver.lines} == {"event"}
    assert {line["person"] for line in copying.receiver.lines} >= {DEV}
