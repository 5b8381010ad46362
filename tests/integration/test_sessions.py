"""Who is connected, and putting an end to it: what brokers and proxies agree on in the ledger."""

import asyncio
import json
import os
import subprocess
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address

import aiohttp
import pytest
from aiohttp.test_utils import TestServer

from api.app import make_app
from api.client import ApiError, Client, open_client
from broker.domain.errors import NotFound, SessionOver
from broker.domain.events import SessionOpened
from broker.domain.grant import GrantState
from broker.domain.ids import RANDOM_BYTES, IdKind, new_id
from broker.domain.person import SYSTEM
from broker.ledger import sessions
from broker.ledger.channel import SESSIONS
from broker.ledger.connection import Pool, connect, open_pool, reading
from broker.ledger.sessions import EndedSession, NewSession
from broker.reaper import do_what_is_due
from broker.service.broker import Broker
from broker.service.grants import GrantDetails
from tests.integration.test_lifecycle import later
from tests.support.command_line import run_pgcurfew
from tests.support.people import get_grant, get_person
from tests.support.service import clean_environment
from tests.support.stage import DEV, OTHER_DEV, REVIEWER, Stage

pytestmark = pytest.mark.sample  # about the ledger, not the target

_AUDIT = """
    SELECT string_agg(concat_ws(' ', actor, kind, grant_id, session_id), ', ' ORDER BY seq)
      FROM curfew.audit_events WHERE kind = ANY ($1::text[])
"""


@asynccontextmanager
async def proxy_of(stage: Stage) -> AsyncIterator[Pool]:
    """The ledger with a proxy's rights."""
    async with open_pool(stage.ledger_login("curfew_proxy"), "a proxy", 4) as pool:
        yield pool


async def let_in(
    proxy: Pool,
    details: GrantDetails,
    address: str = "192.0.2.7",
    *,
    certificate: str | None = None,
    forgive: Sequence[str] = (),
) -> str | None:
    """Open a session as a proxy does. Returns its id, or None if it is refused."""
    now = datetime.now(UTC)
    session = NewSession(
        id=new_id(IdKind.SESSION, now, os.urandom(RANDOM_BYTES)),
        grant_id=details.grant.id,
        worker_id="wrk_1",
        client_address=ip_address(address),
        client_application="psql",
        client_certificate=certificate,
        started_at=now,
    )
    event = SessionOpened(
        session_id=session.id,
        grant_id=session.grant_id,
        client_address=address,
        client_application="psql",
        worker="wrk_1",
    )
    async with reading(proxy) as db:
        admitted = await sessions.open_(
            db, session, event, actor=details.grant.person.email, forgive=list(forgive)
        )
    return session.id if admitted else None


async def opened(proxy: Pool, details: GrantDetails, *, certificate: str | None = None) -> str:
    session_id = await let_in(proxy, details, certificate=certificate)
    assert session_id is not None
    return session_id


async def close(proxy: Pool, session_id: str, reason: str) -> None:
    ended = EndedSession(
        id=session_id,
        reason=reason,
        bytes_from_client=1,
        bytes_to_client=2,
        ended_at=datetime.now(UTC),
    )
    async with reading(proxy) as db:
        await sessions.close(db, [ended], actor=SYSTEM)


@asynccontextmanager
async def obedient(stage: Stage, proxy: Pool, details: GrantDetails) -> AsyncIterator[list[str]]:
    """Close what the ledger says is to be closed, as a proxy does. Yields the ids it was told."""
    told: list[str] = []
    news: asyncio.Queue[str] = asyncio.Queue()
    listening = await connect(stage.ledger_login("curfew_proxy"), "a proxy")
    await listening.add_listener(SESSIONS, lambda *heard: news.put_nowait(str(heard[-1])))

    async def obey() -> None:
        while True:
            told.append(await news.get())
            async with reading(proxy) as db:
                killed = await sessions.fetch_killed(db, told)
            for session_id, by in killed.items():
                await close(proxy, session_id, f"killed by {by}")

    try:
        async with asyncio.TaskGroup() as tasks:
            task = tasks.create_task(obey())
            yield told
            task.cancel()
    finally:
        await listening.close()


@asynccontextmanager
async def api_of(broker: Broker) -> AsyncIterator[str]:
    """Yield the URL of the broker's API."""
    async with TestServer(make_app(broker)) as server:
        yield str(server.make_url("")).rstrip("/")


@asynccontextmanager
async def client_of(broker: Broker, email: str) -> AsyncIterator[Client]:
    new = await broker.tokens.create(email, label="test", lifetime=None, actor="operator:test")
    async with api_of(broker) as url, open_client(url, new.secret) as client:
        yield client


async def pgcurfew(
    broker: Broker, email: str, *arguments: str
) -> "subprocess.CompletedProcess[str]":
    """Run the command line as this person."""
    new = await broker.tokens.create(email, label="test", lifetime=None, actor="operator:test")
    async with api_of(broker) as url:
        environment = {"PGCURFEW_URL": url, "PGCURFEW_TOKEN": new.secret, "COLUMNS": "200"}
        return await asyncio.to_thread(run_cli, environment, *arguments)


def run_cli(environment: dict[str, str], *arguments: str) -> "subprocess.CompletedProcess[str]":
    return run_pgcurfew({**clean_environment(), **environment}, *arguments)


async def test_a_session_is_written_down_with_its_audit_event(stage: Stage) -> None:
    async with stage.broker() as broker, proxy_of(stage) as proxy:
        details = await get_grant(broker)
        session_id = await opened(proxy, details, certificate="CN=laptop-7")
        found = await broker.sessions.get(session_id, await get_person(broker, DEV))
        assert (found.client_address, found.client_certificate) == ("192.0.2.7", "CN=laptop-7")
        assert (found.ended_at, found.killed_by) == (None, None)
        for _ in range(2):
            await close(proxy, session_id, "client left")
    kinds = ["session.opened", "session.closed"]
    subject = f"{details.grant.id} {session_id}"
    assert await stage.query_ledger(_AUDIT, kinds) == (
        f"{DEV} session.opened {subject}, system session.closed {subject}"
    )


@pytest.mark.parametrize("state", [GrantState.REVOKING, GrantState.ENDED])
async def test_no_session_of_a_grant_that_is_not_active_is_written_down(
    stage: Stage, state: GrantState
) -> None:
    async with stage.broker() as broker, proxy_of(stage) as proxy:
        details = await get_grant(broker)
        dev = await get_person(broker, DEV)
        await broker.grants.relinquish(details.grant.id, dev)
        if state is GrantState.ENDED:
            await do_what_is_due(later(broker, timedelta(hours=2)))
        assert (await broker.grants.get(details.grant.id, dev)).grant.state is state
        assert await let_in(proxy, details) is None
    assert await stage.query_ledger("SELECT count(*) FROM curfew.sessions") == 0
    assert await stage.query_ledger(_AUDIT, ["session.opened"]) is None


@pytest.mark.parametrize("who", [DEV, REVIEWER])
async def test_the_holder_and_an_approver_end_a_session_while_its_grant_lives_on(
    stage: Stage, who: str
) -> None:
    async with stage.broker() as broker, proxy_of(stage) as proxy:
        details = await get_grant(broker)
        other, killed = await opened(proxy, details), await opened(proxy, details)
        person = await get_person(broker, who)
        async with obedient(stage, proxy, details) as told:
            row = await broker.kill_session(killed, person)
        assert (row.id, row.killed_by, row.end_reason) == (killed, who, f"killed by {who}")
        assert told == [killed]
        assert (await broker.sessions.get(other, person)).ended_at is None
        assert await let_in(proxy, details) is not None
    assert await stage.query_ledger(_AUDIT, ["session.killed", "session.closed"]) == (
        f"{who} session.killed {details.grant.id} {killed}, "
        f"system session.closed {details.grant.id} {killed}"
    )


async def test_nobody_else_learns_of_a_session_or_ends_it(stage: Stage) -> None:
    async with stage.broker() as broker, proxy_of(stage) as proxy:
        details = await get_grant(broker)
        session_id = await opened(proxy, details)
        stranger = await get_person(broker, OTHER_DEV)
        for attempt in (
            broker.sessions.get(session_id, stranger),
            broker.sessions.kill(session_id, stranger),
            broker.sessions.kill("ses_0000000000000000", stranger),
        ):
            with pytest.raises(NotFound, match="no session ses_"):
                await attempt
        with pytest.raises(NotFound, match="no grant grt_"):
            await broker.sessions.kill_all(details.grant.id, stranger)
    assert await stage.query_ledger("SELECT count(killed_at) FROM curfew.sessions") == 0


async def test_a_session_that_has_ended_cannot_be_ended_again(stage: Stage) -> None:
    async with stage.broker() as broker, proxy_of(stage) as proxy:
        details = await get_grant(broker)
        dev = await get_person(broker, DEV)
        session_id = await opened(proxy, details)
        await close(proxy, session_id, "client left")
        with pytest.raises(SessionOver, match=f"session {session_id} has already ended"):
            await broker.kill_session(session_id, dev)
        assert list(await broker.kill_sessions(details.grant.id, dev)) == []
    assert await stage.query_ledger(_AUDIT, ["session.killed"]) is None


async def test_all_of_a_grant_end_together_and_only_those(stage: Stage) -> None:
    async with stage.broker() as broker, proxy_of(stage) as proxy:
        details, another = await get_grant(broker), await get_grant(broker, "orders_writer")
        ended, *open_ones = [await opened(proxy, details) for _ in range(4)]
        await close(proxy, ended, "client left")
        bystander = await opened(proxy, another)
        dev = await get_person(broker, DEV)
        async with obedient(stage, proxy, details) as told:
            rows = await broker.kill_sessions(details.grant.id, dev)
        assert sorted(row.id for row in rows) == sorted(told) == sorted(open_ones)
        assert {row.end_reason for row in rows} == {f"killed by {DEV}"}
        assert (await broker.sessions.get(bystander, dev)).killed_by is None


async def test_a_failure_in_between_kills_nothing(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The mark, the audit event and the notification commit together, or not at all."""

    async def fail(*_: object, **__: object) -> None:
        raise RuntimeError

    async with stage.broker() as broker, proxy_of(stage) as proxy:
        details = await get_grant(broker)
        await opened(proxy, details)
        dev = await get_person(broker, DEV)
        async with obedient(stage, proxy, details) as told:
            monkeypatch.setattr("broker.service.sessions.audit.append", fail)
            with pytest.raises(RuntimeError):
                await broker.sessions.kill_all(details.grant.id, dev)
            monkeypatch.undo()
        assert told == []
    assert await stage.query_ledger("SELECT count(killed_at) FROM curfew.sessions") == 0


async def test_sessions_of_a_worker_that_died_are_closed_with_their_audit_event(
    stage: Stage,
) -> None:
    async with stage.broker() as broker, proxy_of(stage) as proxy:
        details = await get_grant(broker)
        session_id = await opened(proxy, details)
        async with reading(proxy) as db:
            await sessions.save_worker_seen(db, "wrk_1", "test", datetime.now(UTC))
        await broker.sessions.close_lost()
        assert await stage.query_ledger(_AUDIT, ["session.closed"]) is None
        async with reading(proxy) as db:
            before = datetime.now(UTC) - timedelta(minutes=1)
            await sessions.save_worker_seen(db, "wrk_1", "test", before)
        for _ in range(2):
            await broker.sessions.close_lost()
        found = await broker.sessions.get(session_id, await get_person(broker, DEV))
    assert found.end_reason == "worker lost"
    assert await stage.query_ledger(_AUDIT, ["session.closed"]) == (
        f"system session.closed {details.grant.id} {session_id}"
    )


async def test_http_answers_202_until_the_proxy_has_ended_what_it_was_told_to(
    stage: Stage,
) -> None:
    async with stage.broker() as broker, proxy_of(stage) as proxy:
        details = await get_grant(broker)
        slow, quick = await opened(proxy, details), await opened(proxy, details)
        new = await broker.tokens.create(DEV, label="", lifetime=None, actor="operator:test")
        headers = {"Authorization": f"Bearer {new.secret}"}
        async with api_of(broker) as url, aiohttp.ClientSession(url, headers=headers) as http:
            async with http.delete(f"/v1/sessions/{slow}") as answer:
                assert answer.status == 202
                view = await answer.json()
            assert (view["id"], view["killed_by"], view["ended_at"]) == (slow, DEV, None)
            async with obedient(stage, proxy, details):
                async with http.delete(f"/v1/sessions/{quick}") as answer:
                    assert answer.status == 200
                async with http.delete(f"/v1/grants/{details.grant.id}/sessions") as answer:
                    assert answer.status == 200
                    page = await answer.json()
            assert ([each["id"] for each in page["items"]], page["next"]) == ([slow], None)
            async with http.delete(f"/v1/sessions/{quick}") as answer:
                assert answer.status == 409
                assert answer.content_type == "application/problem+json"
                assert (await answer.json())["code"] == "session-over"
            for path in ("/v1/sessions/ses_0000000000000000", "/v1/sessions/grt_1"):
                for method in ("GET", "DELETE"):
                    async with http.request(method, path) as answer:
                        assert (answer.status, (await answer.json())["code"]) == (404, "not-found")


async def test_the_client_shows_lists_and_ends_sessions(stage: Stage) -> None:
    async with stage.broker() as broker, proxy_of(stage) as proxy:
        details = await get_grant(broker)
        first, second = await opened(proxy, details), await opened(proxy, details)
        async with client_of(broker, DEV) as dev, obedient(stage, proxy, details):
            assert (await dev.get_session(first)).client_address == "192.0.2.7"
            assert (await dev.kill_session(first)).killed_by == DEV
            listed = await dev.list_sessions(grant_id=details.grant.id)
            assert [(each.id, each.killed_by) for each in listed.items] == [
                (second, None),
                (first, DEV),
            ]
            assert [each.id for each in (await dev.kill_sessions(details.grant.id)).items] == [
                second
            ]
            with pytest.raises(ApiError, match="has already ended"):
                await dev.kill_session(first)


@pytest.mark.newest
async def test_the_command_line_lists_shows_and_ends_sessions(stage: Stage) -> None:
    async with stage.broker() as broker, proxy_of(stage) as proxy:
        details = await get_grant(broker)
        ids = [await opened(proxy, details) for _ in range(3)]
        async with obedient(stage, proxy, details):
            listed = await pgcurfew(broker, DEV, "sessions", "ls", "--json")
            assert [each["id"] for each in json.loads(listed.stdout)] == ids[::-1]

            killed = await pgcurfew(broker, REVIEWER, "sessions", "kill", ids[0])
            assert (killed.returncode, killed.stderr) == (0, "")
            assert f"killed by {REVIEWER}" in killed.stdout

            some = await pgcurfew(
                broker, DEV, "sessions", "kill", *ids[:2], "ses_0000000000000000", "--json"
            )
            assert [each["id"] for each in json.loads(some.stdout)] == [ids[1]]
            assert f"session {ids[0]} has already ended" in some.stderr
            assert "no session ses_0000000000000000" in some.stderr
            assert some.returncode == 1, "that of the first that failed"

            grant = ("--grant", details.grant.id)
            last = await pgcurfew(broker, DEV, "sessions", "kill", *grant, "--json")
            assert [each["id"] for each in json.loads(last.stdout)] == [ids[2]]

        shown = await pgcurfew(broker, DEV, "sessions", "show", ids[0])
        assert f"killed by    {REVIEWER}" in shown.stdout
        open_ones = await pgcurfew(broker, DEV, "sessions", "ls", *grant)
        assert open_ones.stdout == "Sessions: none\n"
        everything = await pgcurfew(broker, DEV, "sessions", "ls", *grant, "--all")
        assert all(each in everything.stdout for each in ids)
        missing = await pgcurfew(broker, OTHER_DEV, "sessions", "show", ids[0])
        assert (missing.returncode, missing.stdout) == (3, "")
        both = await pgcurfew(broker, DEV, "sessions", "kill", ids[0], *grant)
        assert (both.returncode, both.stdout) == (2, "")
