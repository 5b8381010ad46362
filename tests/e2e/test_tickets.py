"""Sealed tickets: in when everything else is down, once, and on the record."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from typer.testing import CliRunner

from api.cli.break_glass import app
from broker.domain.ticket import seal
from broker.reaper import do_what_is_due
from broker.service.sealing import NewTicket
from tests.support.servers import Server
from tests.support.service import clean_environment, wait_for
from tests.support.stage import DEV, set_up_apart
from tests.support.tickets import (
    OPERATOR,
    TicketProxy,
    eventually,
    order,
    run_ticket_proxy,
)

_WHO = "SELECT session_user"
_KINDS = "SELECT array_agg(kind ORDER BY seq) FROM curfew.audit_events WHERE grant_id = $1"
_LISTENING = """
    SELECT count(*) FROM pg_stat_activity
     WHERE datname = $1 AND usename = 'curfew_proxy' AND query LIKE 'LISTEN%'
"""
_ENDS = "SELECT array_agg(end_reason) FROM curfew.sessions WHERE grant_id = $1"


@pytest.fixture(scope="module")
def proxy(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TicketProxy]:
    """A proxy with two workers, which must agree. It starts without a ledger."""
    with (
        set_up_apart(server, tmp_path_factory.mktemp("tickets")) as stage,
        run_ticket_proxy(stage, workers=2) as running,
    ):
        with ThreadPoolExecutor(1) as apart:
            new = apart.submit(asyncio.run, running.seal()).result()
        with running.connect(new) as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)
        assert "the ledger is out of reach" in running.log.read_text()
        running.cable.mend()
        wait_for(lambda: len(running.workers()) == 2)
        yield running


@contextmanager
def outage(proxy: TicketProxy) -> Iterator[None]:
    proxy.cable.cut()
    try:
        yield
    finally:
        proxy.cable.mend()


def refusal(proxy: TicketProxy, new: NewTicket, **overrides: str) -> str:
    with pytest.raises(psycopg.OperationalError) as refused:
        proxy.connect(new, **overrides).close()
    return str(refused.value)


async def all_listen(proxy: TicketProxy) -> None:
    """Wait until all workers hear of grants that end, which they do not at once after an outage."""

    async def listening() -> bool | None:
        count: int = await proxy.ledger(_LISTENING, proxy.stage.ledger_database)
        return count == len(proxy.workers()) or None

    await eventually(listening)


async def end_of(proxy: TicketProxy, new: NewTicket) -> str:
    """Let the reaper work until the ticket's grant has ended; return why."""

    async def reason() -> str | None:
        await do_what_is_due(broker)
        found: str | None = await proxy.ledger(
            "SELECT end_reason FROM curfew.grants WHERE id = $1 AND state = 'ended'",
            new.ticket.grant_id,
        )
        return found

    async with proxy.stage.broker() as broker:
        return await eventually(reason)


@pytest.mark.sample
async def test_from_an_outage_to_the_receipt(proxy: TicketProxy) -> None:
    new = await proxy.seal(order(access=timedelta(seconds=2)))
    with outage(proxy):
        with (
            proxy.connect(new) as connection,
            pytest.raises(psycopg.errors.AdminShutdown, match=r"access ended: .* expired at"),
        ):
            connection.execute("SELECT pg_sleep(30)")
        use = json.loads((proxy.records / f"{new.ticket.id}.use").read_text())
        until = datetime.fromisoformat(use["until"])
        wait_for(lambda: datetime.now(UTC) > until)  # sessions end some milliseconds early
        for _ in range(4):  # whichever worker
            said = refusal(proxy, new)
            assert "this ticket opens nothing any more" in said
            assert "It was used at" in said
    assert await end_of(proxy, new) == "expired"
    assert new.ticket.login not in await proxy.stage.logins_left()
    assert await proxy.ledger(_ENDS, new.ticket.grant_id) == ["expired"]
    kinds = await proxy.ledger(_KINDS, new.ticket.grant_id)
    for kind in ("ticket.used", "session.opened", "session.closed"):
        assert kinds.count(kind) == 1
    assert kinds.count("session.refused") == 4
    assert kinds[-1] == "grant.ended"
    alarm = await proxy.ledger(
        "SELECT message FROM curfew.alarms WHERE grant_id = $1", new.ticket.grant_id
    )
    assert f"ticket {new.ticket.id} was used by {DEV} from 127.0.0.1" in alarm
    receipt = await proxy.ledger(
        "SELECT proved FROM curfew.receipts WHERE grant_id = $1", new.ticket.grant_id
    )
    assert receipt is True


@pytest.mark.newest
def test_from_the_safe_to_psql_with_the_command_line(proxy: TicketProxy, tmp_path: Path) -> None:
    file = tmp_path / "alice.ticket"
    order = ("seal", "orders", "orders_reader", "--for-person", DEV, "--from", "127.0.0.0/8")
    sealed = _pgcurfew(proxy, *order, "--valid", "30d", "-o", str(file))
    assert sealed.exit_code == 0
    assert (sealed.stdout, file.stat().st_mode & 0o777) == ("", 0o600)
    assert "Nobody can show it again" in sealed.stderr
    again = _pgcurfew(proxy, *order, "-o", str(file))
    assert (again.exit_code, "File exists" in again.stderr) == (1, True)

    shown = json.loads(_pgcurfew(proxy, "show", str(file), "--json").stdout)
    assert (shown["person"], shown["access"], shown["networks"]) == (DEV, "PT2H", ["127.0.0.0/8"])
    assert "2h from the first connection on" in _pgcurfew(proxy, "show", str(file)).stdout
    listed = json.loads(_pgcurfew(proxy, "ls", "--json").stdout)
    assert [each["state"] for each in listed if each["id"] == shown["id"]] == ["active"]

    with outage(proxy):
        used = subprocess.run(
            [sys.executable, "-m", "api", "break-glass", "use", str(file), "--", "-XAtc", _WHO],
            env={**clean_environment(), "HOME": str(tmp_path), "PGCURFEW_CONFIG": "/nowhere"},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert (used.returncode, used.stdout, used.stderr) == (0, f"{shown['login']}\n", "")

    revoked = _pgcurfew(proxy, "revoke", shown["id"], "--reason", "the exercise is over")
    assert f"grant {shown['grant_id']} is ended" in revoked.stdout


def _pgcurfew(proxy: TicketProxy, *arguments: str) -> Any:
    """Run a command in this process, which takes a tenth of the time."""
    environment = {"PGCURFEW_CONFIG": str(proxy.stage.config), "COLUMNS": "250"}
    return CliRunner(env=environment).invoke(app, list(arguments))


@pytest.mark.newest
async def test_a_ticket_gives_its_role_and_ordinary_logins_stay_out(proxy: TicketProxy) -> None:
    new = await proxy.seal()
    with outage(proxy):
        with proxy.connect(new) as connection:
            counted = connection.execute("SELECT session_user, count(*) FROM shop.orders")
            assert counted.fetchone() == (new.ticket.login, 100)
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute("DELETE FROM shop.orders")
        said = refusal(proxy, replace(new, user=new.ticket.login))
    assert "access cannot be checked at the moment" in said
    assert "password authentication failed" in refusal(proxy, replace(new, user=new.ticket.login))


@pytest.mark.newest
async def test_strangers_learn_nothing_of_a_ticket(proxy: TicketProxy) -> None:
    """A wrong secret, a changed ticket, another signer and an expired one: all the same."""
    new, old = await proxy.seal(), await proxy.seal(ago=timedelta(days=100))
    forged = seal(replace(new.ticket, role="orders_owner"), Ed25519PrivateKey.generate().sign)
    changed = new.user[:-10] + ("A" if new.user[-10] != "A" else "B") + new.user[-9:]
    with outage(proxy):
        for wrong in (
            replace(new, password="WRONG"),
            replace(old, password="WRONG"),
            replace(new, user=changed),
            replace(new, user=forged),
        ):
            (said,) = (line for line in refusal(proxy, wrong).splitlines() if "FATAL" in line)
            shown = f"{wrong.user[:20]}…"
            assert said.endswith(f'FATAL:  password authentication failed for user "{shown}"')
    assert list(proxy.records.glob(f"{new.ticket.id}*")) == []
    assert new.user not in proxy.log.read_text()


@pytest.mark.newest
async def test_whoever_holds_it_is_told_what_is_wrong_with_it(proxy: TicketProxy) -> None:
    old = await proxy.seal(ago=timedelta(days=100))
    elsewhere, here = await proxy.seal(order("192.0.2.0/24")), await proxy.seal()
    with outage(proxy):
        assert "It was valid until" in refusal(proxy, old)
        said = refusal(proxy, elsewhere)
        assert "Your address is 127.0.0.1, which grant" in said
        assert "Connect from 192.0.2.0/24." in said
        assert 'no access to database "other"' in refusal(proxy, here, dbname="other")


@pytest.mark.newest
async def test_a_ticket_has_one_clock_whichever_worker_takes_it(proxy: TicketProxy) -> None:
    """Many first connections at once, on both workers."""
    new = await proxy.seal()
    with outage(proxy), ExitStack() as stack, ThreadPoolExecutor(8) as threads:
        for connection in threads.map(lambda _: proxy.connect(new), range(8)):
            stack.enter_context(connection)
        await eventually(lambda: _both_workers_wrote(proxy, new))
        assert len(list(proxy.records.glob(f"{new.ticket.id}.use"))) == 1


async def _both_workers_wrote(proxy: TicketProxy, new: NewTicket) -> bool | None:
    wrote = [path for path in proxy.records.glob("*.journal") if new.ticket.id in path.read_text()]
    if len(wrote) < 2:
        (await asyncio.to_thread(proxy.connect, new)).close()
        return None
    return True


@pytest.mark.newest
async def test_what_cannot_be_written_down_is_refused(proxy: TicketProxy) -> None:
    new = await proxy.seal()
    away = proxy.records.with_name("tickets-away")
    if proxy.records.exists():
        proxy.records.rename(away)
    proxy.records.write_text("no folder")
    try:
        with outage(proxy):
            assert "the use of this ticket cannot be written down here" in refusal(proxy, new)
    finally:
        proxy.records.unlink()
        if away.exists():
            away.rename(proxy.records)
    with proxy.connect(new) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


@pytest.mark.newest
async def test_a_killed_worker_loses_nothing_and_doubles_nothing(proxy: TicketProxy) -> None:
    new = await proxy.seal()
    with outage(proxy):
        connection = proxy.connect(new)
        killed = set(proxy.workers())
        for pid in killed:
            os.kill(pid, signal.SIGKILL)
        with pytest.raises(psycopg.OperationalError):
            connection.execute("SELECT 1")
        connection.close()
        wait_for(lambda: len(set(proxy.workers()) - killed) == len(killed) and proxy.answers())
        with proxy.connect(new) as again:  # of the same use
            assert again.execute("SELECT 1").fetchone() == (1,)

    async def reported() -> list[str] | None:
        kinds: list[str] = await proxy.ledger(_KINDS, new.ticket.grant_id)
        return kinds if kinds.count("session.closed") == 2 else None

    kinds = await eventually(reported)
    assert sorted(kinds[2:]) == [*["session.closed"] * 2, *["session.opened"] * 2, "ticket.used"]
    ends = await proxy.ledger(_ENDS, new.ticket.grant_id)
    assert sorted(ends) == ["closed by the client", "worker lost"]


@pytest.mark.newest
async def test_a_revoked_ticket_opens_nothing_with_a_ledger_or_without(proxy: TicketProxy) -> None:
    new, used = await proxy.seal(), await proxy.seal()
    await all_listen(proxy)
    with proxy.connect(used) as connection:
        async with proxy.stage.broker() as broker:
            for each in (new, used):
                await broker.tickets.revoke(each.ticket.id, actor=OPERATOR, reason="lost")
        with pytest.raises(psycopg.errors.AdminShutdown, match=f"was revoked by {OPERATOR}: lost"):
            connection.execute("SELECT pg_sleep(30)")
    assert f"was revoked by {OPERATOR}: lost." in refusal(proxy, new)
    with outage(proxy):
        assert "the target does not accept this login" in refusal(proxy, new)


@pytest.mark.newest
async def test_a_target_that_is_down_uses_no_ticket_up(proxy: TicketProxy) -> None:
    new = await proxy.seal()
    database = proxy.stage.target_database
    await proxy.stage.query_ledger(f"ALTER DATABASE {database} CONNECTION LIMIT 0")
    try:
        with outage(proxy):
            assert "too many connections for database" in refusal(proxy, new)
    finally:
        await proxy.stage.query_ledger(f"ALTER DATABASE {database} CONNECTION LIMIT -1")
    assert not (proxy.records / f"{new.ticket.id}.use").exists()
