"""Open sessions: killed, idle, too long, warned of the curfew; and the names that lead to them."""

import asyncio
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import timedelta
from struct import pack
from typing import Any

import psycopg
import pytest

from tests.support.command_line import run_pgcurfew
from tests.support.servers import Server
from tests.support.service import PATIENCE_S, Access, Service, run_service, wait_for
from tests.support.stage import DEV, OTHER_DEV, REVIEWER, set_up_apart

pytestmark = pytest.mark.newest

URL = "https://curfew.example.com"


def _works(session: Any) -> bool:
    return bool(session.execute("SELECT 1").fetchone() == (1,))


def _closed(session: Any) -> str:
    """Wait for the goodbye that PostgreSQL's protocol has for an idle client."""
    with pytest.raises(psycopg.OperationalError) as goodbye:
        session.execute("SELECT pg_sleep(20)")
    return str(goodbye.value)


async def _open_sessions(service: Service, access: Access) -> list[str]:
    async with service.client(DEV) as dev:
        page = await dev.list_sessions(grant_id=access.grant.id, status="open")
    return [each.id for each in page.items]


async def test_one_session_is_killed_and_the_others_go_on(service: Service) -> None:
    access = await service.get_access()
    with access.connect() as doomed:
        (doomed_id,) = await _open_sessions(service, access)
        with access.connect() as other:
            async with service.client(REVIEWER) as reviewer:
                await reviewer.kill_session(doomed_id)
            assert f"session {doomed_id} was ended by {REVIEWER}" in _closed(doomed)
            assert _works(other)
    reason = await service.stage.query_ledger(
        "SELECT end_reason FROM curfew.sessions WHERE id = $1", doomed_id
    )
    assert reason == "killed"


async def test_all_sessions_of_a_grant_are_killed_on_the_command_line(service: Service) -> None:
    access = await service.get_access()
    sessions = [access.connect() for _ in range(3)]
    listed = _pgcurfew(service, DEV, "sessions", "ls", "--grant", access.grant.id)
    assert listed.stdout.count("ses_") >= 3
    killed = _pgcurfew(service, DEV, "sessions", "kill", "--grant", access.grant.id)
    assert killed.returncode == 0, killed.stderr
    for session in sessions:
        assert f"was ended by {DEV}" in _closed(session)
        session.close()
    with access.connect() as again:
        assert _works(again), "the grant lives on"


async def test_nobody_kills_what_is_not_theirs(service: Service) -> None:
    access = await service.get_access()
    with access.connect() as session:
        (session_id,) = await _open_sessions(service, access)
        refused = _pgcurfew(service, OTHER_DEV, "sessions", "kill", session_id)
        assert refused.returncode == 3
        assert _works(session)


async def test_a_stable_user_name_leads_to_the_living_grant(service: Service) -> None:
    """A saved connection of a GUI needs at most the new secret."""
    first = await service.get_access("orders_owner", email=OTHER_DEV)
    name = first.credential.stable_user
    assert name == "other.orders.orders_owner"
    with first.connect(user=name) as session:
        assert session.execute("SELECT session_user").fetchone() == (first.credential.user,)
    async with service.client(OTHER_DEV) as dev:
        await dev.relinquish(first.grant.id)
    with pytest.raises(psycopg.OperationalError, match="no live grant for this login"):
        first.connect(user=name)
    second = await service.get_access("orders_owner", email=OTHER_DEV)
    assert second.credential.stable_user == name
    with second.connect(user=name) as session:
        assert session.execute("SELECT session_user").fetchone() == (second.credential.user,)
    # The old secret is no wrong one: whoever has it in a saved connection is told what to do.
    with pytest.raises(psycopg.OperationalError) as refusal:
        first.connect(user=name)
    said = str(refusal.value)
    assert "FATAL:  this secret belongs to a grant that has ended" in said
    assert f"Grant {second.grant.id} lives until" in said
    assert f"HINT:  Get its secret: pgcurfew credential {second.grant.id}" in said


async def test_a_stable_name_says_no_more_than_any_other_to_strangers(service: Service) -> None:
    access = await service.get_access()
    with pytest.raises(psycopg.OperationalError) as known:
        access.connect(user=access.credential.stable_user, password="0" * 26)
    with pytest.raises(psycopg.OperationalError) as unknown:
        access.connect(user="nobody.orders.orders_reader", password="0" * 26)
    assert str(known.value).replace(access.credential.stable_user, "X") == str(
        unknown.value
    ).replace("nobody.orders.orders_reader", "X")


@pytest.fixture(scope="module")
def strict(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service that holds sessions to times that a test can wait for."""
    with set_up_apart(server, tmp_path_factory.mktemp("strict")) as stage:
        orders = stage.settings()["targets"]["orders"]
        roles = {
            "orders_reader": {"idle_timeout": "2s"},
            "orders_writer": {"longest_session": "2s"},
            "orders_owner": {},
        }
        with run_service(
            stage,
            (DEV, REVIEWER),
            proxy={
                "sessions": {"warn_before": ["3595s", "1s"]},
                "limits": {"cancels_per_second": 1},
                "workers": 2,
            },
            api={"public_url": URL},
            targets={"orders": {**orders, "roles": roles}},
        ) as service:
            yield service


async def test_an_idle_session_ends_and_a_busy_one_does_not(strict: Service) -> None:
    access = await strict.get_access()
    idle, busy = access.connect(), access.connect()
    busy.execute("SELECT pg_sleep(4.5)")
    with pytest.raises(psycopg.errors.IdleSessionTimeout, match="has been idle for 2s"):
        _works(idle)
    busy.close()


async def test_an_open_transaction_is_as_idle_as_any(strict: Service) -> None:
    access = await strict.get_access()
    session = access.connect()
    session.execute("BEGIN")
    ended = "SELECT end_reason FROM curfew.sessions WHERE grant_id = $1"
    async with asyncio.timeout(PATIENCE_S):
        while await strict.stage.query_ledger(ended, access.grant.id) is None:
            await asyncio.sleep(0.05)
    assert await strict.stage.query_ledger(ended, access.grant.id) == "idle"
    session.close()


async def test_the_longest_session_is_an_end_even_while_a_query_runs(strict: Service) -> None:
    access = await strict.get_access("orders_writer")
    with access.connect() as session:
        notices = _notices_of(session)
        assert "this session has lasted 2s, which is the longest allowed" in _closed(session)
    assert notices == [], "its warning came while the query ran, which never ended"
    with access.connect() as again:
        assert _works(again)


async def test_the_curfew_is_announced(strict: Service) -> None:
    """At once when the session is idle, and after the query when one is running."""
    access = await strict.get_access("orders_owner")
    with access.connect() as busy, access.connect() as idle:
        heard = _notices_of(busy)
        busy.execute("SELECT pg_sleep(6)")
        assert _works(busy)
        assert len(heard) == 1
        assert heard[0].startswith(f"access ends in 59m 55s: grant {access.grant.id} expires at")
        heard_idle = _notices_of(idle)
        wait_for(lambda: _works(idle) and len(heard_idle) == 1)


async def test_an_extension_announces_the_new_curfew(strict: Service) -> None:
    access = await strict.get_access("orders_owner", duration=timedelta(seconds=5))
    with access.connect() as session:
        async with strict.client(REVIEWER) as reviewer:
            await reviewer.extend(access.grant.id, duration=timedelta(minutes=5), reason="more")
        heard = _notices_of(session)
        session.execute("SELECT pg_sleep(6)")
        assert heard == []


async def test_who_is_refused_gets_a_link_to_a_prefilled_request(strict: Service) -> None:
    access = await strict.get_access("orders_owner")
    async with strict.client(DEV) as dev:
        await dev.relinquish(access.grant.id)
    with pytest.raises(psycopg.OperationalError) as refusal:
        access.connect()
    link = f"{URL}/request?target=orders&role=orders_owner&for=1h"
    assert f"HINT:  Ask again: {link} or: pgcurfew request orders orders_owner --for 1h" in str(
        refusal.value
    )


async def test_a_flood_of_cancel_requests_is_dropped_and_a_real_one_comes_through(
    strict: Service,
) -> None:
    access = await strict.get_access("orders_owner")
    with access.connect() as session:
        guess = pack("!IIII", 16, 80877102, session.info.backend_pid, 1)
        with ExitStack() as stack:
            where = ("127.0.0.1", strict.proxy_port)
            flood = [stack.enter_context(socket.create_connection(where)) for _ in range(10)]
            for each in flood:
                each.sendall(guess)
            assert [each.recv(1) for each in flood] == [b""] * 10
        dropped = "dropped a cancel request from 127.0.0.1: too many of them"
        wait_for(lambda: dropped in strict.log.read_text())
        loop = asyncio.get_running_loop()
        running = loop.run_in_executor(None, session.execute, "SELECT pg_sleep(20)")
        await strict.until_a_backend_runs("SELECT pg_sleep(20)", running)
        while not running.done():  # as soon as the limit allows it
            session.cancel()
            await asyncio.sleep(0.2)
        with pytest.raises(psycopg.errors.QueryCanceled):
            await running


def _notices_of(session: Any) -> list[str]:
    heard: list[str] = []
    session.add_notice_handler(lambda notice: heard.append(notice.message_primary))
    return heard


def _pgcurfew(service: Service, who: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return run_pgcurfew(service.environment(who), *arguments)
