"""Following what happens: who hears of what, going on where one was, and what it costs."""

import asyncio
import json
import socket
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from functools import partial
from typing import Any

import aiohttp
import asyncpg
import pytest

from api.cli.calling import wait_for_decision, wait_until_active
from api.client import ApiError
from api.schemas.events import EventView
from api.server_sent import LAST_EVENT_ID, EventParser, SentEvent
from broker.domain.errors import NotIdentified
from broker.domain.hints.hint import Topic
from broker.ledger.connection import transaction
from broker.service.approvals import Consent
from broker.service.event_stream import Events, Told
from broker.service.following import Stopping
from tests.integration.test_record import session_of, soon
from tests.support.browser import site_of
from tests.support.house import AUDITOR, JOB, House, house_on
from tests.support.people import HOUR, wish
from tests.support.sealed_rows import put_on_record
from tests.support.stage import DEV, OTHER_DEV, REVIEWER, SECOND_REVIEWER, Stage

pytestmark = pytest.mark.newest

_MANY = """
    INSERT INTO curfew.audit_events (at, actor, kind, data)
    SELECT now(), 'system', 'ban.begun', '{"whom": "somebody"}'::jsonb FROM generate_series(1, 4000)
"""
_SEEN_AT = "SELECT seen_at FROM curfew.sign_ins"


@asynccontextmanager
async def following(
    house: House, who: str, after: str | None = None
) -> AsyncIterator[AsyncGenerator[EventView, None]]:
    """Yield what somebody hears over HTTP, once they listen."""
    async with house.client_of(who) as client:
        events = client.follow_events(after=after)
        async with asyncio.timeout(20), aclosing(events):  # type: ignore[type-var]
            if after is None:
                assert (await anext(events)).topic is Topic.HELLO
            yield events  # type: ignore[misc]


async def heard(
    house: House, events: AsyncGenerator[EventView, None], until: str
) -> list[EventView]:
    """Let the reader look, and return what they hear up to an event of this kind."""
    await house.broker.events.look()
    found = [await anext(events)]
    while found[-1].kind != until:
        found.append(await anext(events))
    return found


@asynccontextmanager
async def told_by(
    events: Events, house: House, who: str, after: str | None = None
) -> AsyncIterator[AsyncGenerator[Told, None]]:
    """Yield what somebody is told, right from the use case."""
    look = partial(house.broker.authentication.presence, await house.token(who))
    async with asyncio.timeout(20), events.follow(look, after, lambda: False) as told:
        yield told


def beside(house: House) -> Events:
    """What another process would tell of the same ledger."""
    return Events(house.broker.context, house.broker.trail_sealing)


async def end_token_of(house: House, who: str) -> None:
    """Do what they hear of, and nobody else but who sees everything."""
    await house.broker.tokens.revoke(await house.spare_token(who), actor="test")


async def first_kind(events: Events, house: House, after: str | None) -> str:
    async with told_by(events, house, DEV, after) as told:
        return (await anext(told)).hints[0][1].kind


def kinds(events: list[EventView]) -> list[str]:
    return [each.kind for each in events]


async def test_who_follows_hears_of_what_they_may_see_and_of_nothing_else(stage: Stage) -> None:
    people = (DEV, REVIEWER, OTHER_DEV, JOB, AUDITOR)
    async with house_on(stage) as house, AsyncExitStack() as streams:
        await house.token(SECOND_REVIEWER)
        lines = {who: await streams.enter_async_context(following(house, who)) for who in people}
        holding, session = await session_of(house)
        await put_on_record(stage, *(soon(n, session) for n in range(1, 4)), most_rows=1)
        await house.alarm(holding.grant)
        await house.call(AUDITOR, "GET", f"/v1/sessions/{session}/statements")
        for each in people:
            await end_token_of(house, each)
        found = {who: await heard(house, lines[who], "token.revoked") for who in people}
        life = ["request.made", "request.consented", "request.approved", "grant.provisioned"]
        for who in (DEV, REVIEWER):
            assert {*life, "session.opened", "session.closed"} <= set(kinds(found[who])), who
            of_it = {each.grant_id for each in found[who] if each.kind == "grant.provisioned"}
            assert of_it == {holding.grant}
            of_them = {each.request_id for each in found[who] if each.topic in {"grant", "session"}}
            assert of_them == {holding.request}
            # Nobody but who sees everything learns who read what.
            assert "statements.read" not in kinds(found[who])
        for who in (OTHER_DEV, JOB):
            assert set(kinds(found[who])) == {"token.created", "token.revoked"}, who
        assert "alarm.raised" in kinds(found[REVIEWER])
        assert "alarm.raised" not in kinds(found[DEV])
        assert {*life, "alarm.raised", "statements.read"} <= set(kinds(found[AUDITOR]))
        rest = await heard(house, lines[DEV], "statements.recorded")
        assert [each.session_id for each in rest if each.topic is Topic.STATEMENTS] == [session]
        assert (rest[-1].target, rest[-1].seq, rest[-1].actor) == ("orders", None, None)


async def test_who_comes_back_misses_nothing_and_hears_nothing_twice(stage: Stage) -> None:
    """Cut after every event; here, where all of it is at hand, and at another broker's."""
    async with house_on(stage) as house:
        async with told_by(house.broker.events, house, DEV) as told:
            await anext(told)
            _, session = await session_of(house)
            _, second = await session_of(house)
            await put_on_record(stage, soon(1, session), soon(1, second), most_rows=1)
            await house.broker.events.look()
            everything = (await anext(told)).hints
        assert len(everything) > 12
        assert [hint.session_id for _, hint in everything[-2:]] == [session, second]
        for number, (place, _) in enumerate(everything):
            for events in (house.broker.events, beside(house)):
                async with told_by(events, house, DEV, str(place)) as told:
                    assert (await anext(told)).hints[0][1].topic is Topic.HELLO
                    again = (await anext(told)).hints
                    assert [each for each in again if each[0]] == [*everything[number + 1 :]]
                    # What was known of targets is known to no other process.
                    assert again[-1][1].topic is Topic.TARGET


async def test_who_cannot_go_on_is_told_to_load_everything_again(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with house_on(stage) as house:
        for after in ("0.0-0.0", "yesterday", "", "9999.0-0.0", "0.0-9999.0"):
            wanted = "stream.hello" if after == "0.0-0.0" else "stream.reset"
            assert await first_kind(house.broker.events, house, after) == wanted, after
        await house.broker.trail_sealing.seal()
        async with following(house, DEV, after="yesterday") as events:
            reset = await anext(events)
        assert reset.topic is Topic.RESET
        assert await first_kind(house.broker.events, house, reset.id) == "stream.hello"
        monkeypatch.setattr("broker.service.event_stream._MOST_BLOCKS", 0)
        assert await first_kind(beside(house), house, "0.0-0.0") == "stream.reset"


async def test_who_falls_behind_is_told_so_and_goes_on_from_now(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("broker.service.event_stream._MOST_KEPT", 3)
    async with house_on(stage) as house, told_by(house.broker.events, house, DEV) as told:
        await anext(told)
        await house.holding_of(DEV)
        await house.broker.events.look()
        assert [hint.topic for _, hint in (await anext(told)).hints] == ["reset"]
        await house.spare_token(DEV)
        await house.broker.events.look()
        assert [hint.kind for _, hint in (await anext(told)).hints] == ["token.created"]


async def test_a_stream_ends_with_the_token_and_says_nothing_after(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.routes.events._RETRY_MS", 1)
    monkeypatch.setattr("api.routes.events._RETRY_SPREAD_MS", 1)
    async with house_on(stage) as house:
        await house.token(DEV)
        tokens = await house.listed(DEV, "/v1/tokens")
        async with (
            following(house, DEV) as events,
            told_by(house.broker.events, house, DEV) as told,
        ):
            await anext(told)
            for each in tokens:
                await house.broker.tokens.revoke(each, actor="test")
            await house.broker.events.look()
            with pytest.raises(NotIdentified):
                await anext(told)
            with pytest.raises(ApiError) as caught:
                await anext(events)
        assert caught.value.status == 401


async def test_a_browser_follows_by_its_cookie_until_it_signs_out_or_nobody_is_there(
    shared_stage: Stage,
) -> None:
    async with site_of(shared_stage) as site, site.browser() as browser:
        new = await site.broker.tokens.create(DEV, label="", lifetime=None, actor="test")
        await browser.submit("/sign-in", token=new.secret)
        seen_at = await shared_stage.query_ledger(f"{_SEEN_AT} ORDER BY id DESC")
        site.clock.advance(HOUR / 2)
        cookies = {"pgcurfew": str(browser.cookies["pgcurfew"])}
        async with (
            asyncio.timeout(20),
            aiohttp.ClientSession(cookies=cookies) as session,
            session.get(f"{site.url}/v1/events") as response,
        ):
            assert response.status == 200
            assert response.headers["Content-Type"] == "text/event-stream"
            assert response.headers["Cache-Control"] == "no-store"
            assert response.headers["X-Accel-Buffering"] == "no"
            assert "Content-Encoding" not in response.headers
            parser = EventParser()
            first: list[SentEvent] = []
            while not first:
                first = parser.feed(await response.content.readany())
            assert (first[0].event, first[0].id) == ("hello", json.loads(first[0].data)["id"])
            assert 1_000 <= (parser.retry_ms or 0) < 3_000
            # An open page is no sign of anybody.
            assert await shared_stage.query_ledger(f"{_SEEN_AT} ORDER BY id DESC") == seen_at
            assert (await browser.submit_from("/me", "/sign-out")).status_code == 303
            await site.broker.events.look()
            assert await response.content.read() == b""
        headers = {LAST_EVENT_ID: first[0].id}
        async with (
            aiohttp.ClientSession(cookies=cookies) as session,
            session.get(f"{site.url}/v1/events", headers=headers) as response,
        ):
            assert response.status == 401


async def test_other_policies_count_from_the_next_event_on(stage: Stage) -> None:
    async with house_on(stage) as house:
        async with following(house, REVIEWER) as events:
            asked = await house.broker.ask(wish(), await house.person(DEV))
            assert (await heard(house, events, "request.made"))[-1].request_id == asked.request.id
            (stage.folder / "policies.yaml").write_text(
                (stage.folder / "policies.yaml").read_text().replace("dba", "developers")
            )
            await house.broker.policies.look(told=True)
            await house.call(DEV, "POST", f"/v1/requests/{asked.request.id}/cancellation")
            await end_token_of(house, REVIEWER)
            told = kinds(await heard(house, events, "token.revoked"))
            assert "request.cancelled" not in told
        async with following(house, OTHER_DEV) as events:
            await house.broker.ask(wish(), await house.person(DEV))
            assert "request.made" in kinds(await heard(house, events, "request.made"))


async def test_many_who_follow_cost_the_ledger_no_more_than_one(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("broker.service.event_stream._MOST_OF_ONE", 1_000)
    async with house_on(stage) as house, AsyncExitStack() as streams:
        people = (DEV, REVIEWER, OTHER_DEV, AUDITOR)
        followers = [
            await streams.enter_async_context(
                told_by(house.broker.events, house, people[number % 4])
            )
            for number in range(200)
        ]
        for each in followers:
            await anext(each)
        await house.broker.ask(wish(), await house.person(DEV))
        asked_ledger = 0
        borrow = asyncpg.pool.Pool.acquire

        def counted(pool: Any, **options: Any) -> Any:
            nonlocal asked_ledger
            asked_ledger += 1
            return borrow(pool, **options)

        monkeypatch.setattr(asyncpg.pool.Pool, "acquire", counted)
        await house.broker.events.look()
        hearing = [each for number, each in enumerate(followers) if number % 4 != 2]
        for told in await asyncio.gather(*(anext(each) for each in hearing)):
            assert "request.made" in {hint.kind for _, hint in told.hints}
        assert asked_ledger == 2, "one transaction that seals, and one reader"


async def test_who_takes_nothing_is_cut_off_and_takes_no_memory(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.routes.events.PATIENCE_S", 0.2)
    async with house_on(stage) as house:
        url = house.client.make_url("/v1/events")
        lines = [
            f"GET {url.path} HTTP/1.1",
            f"Host: {url.host}",
            f"Authorization: Bearer {await house.token(AUDITOR)}",
        ]
        with socket.socket() as idle:
            idle.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            idle.setblocking(False)
            loop = asyncio.get_running_loop()
            async with asyncio.timeout(20):
                await loop.sock_connect(idle, (url.host, url.port))
                await loop.sock_sendall(idle, ("\r\n".join(lines) + "\r\n\r\n").encode())
                assert b"text/event-stream" in await loop.sock_recv(idle, 1000)
                async with transaction(house.broker.context.ledger) as db:
                    await db.execute(_MANY)
                await house.broker.events.look()
                while house.broker.events.followers:
                    await asyncio.sleep(0.02)
                taken = b""
                while piece := await loop.sock_recv(idle, 65_536):
                    taken += piece
        assert len(taken) < 600_000, "of 4,000 events, which are more than a megabyte"
        assert not taken.endswith(b"0\r\n\r\n"), "that would say that it is all"


async def test_only_so_many_follow_and_who_has_gone_makes_room(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("broker.service.event_stream._MOST_OF_ONE", 1)
    async with house_on(stage) as house:
        async with following(house, DEV), following(house, REVIEWER):
            with pytest.raises(ApiError, match="you already follow") as caught:
                async with following(house, DEV):
                    pass
            assert (caught.value.status, caught.value.code) == (503, "too-many-streams")
            monkeypatch.setattr("broker.service.event_stream._MOST_STREAMS", 2)
            with pytest.raises(ApiError, match="2 already follow"):
                async with following(house, AUDITOR):
                    pass
        # Their streams are noticed to be over only when something is written into them.
        async with following(house, DEV):
            pass


async def test_who_follows_holds_up_nobody_who_stops_the_service(stage: Stage) -> None:
    async with house_on(stage) as house:
        async with told_by(house.broker.events, house, DEV) as told:
            await anext(told)
            house.broker.events.stop()
            assert [each async for each in told] == []
        with pytest.raises(Stopping):
            async with told_by(house.broker.events, house, DEV):
                pass


async def test_a_target_that_changes_is_told_to_who_may_ask_for_it(stage: Stage) -> None:
    async with house_on(stage) as house, following(house, DEV) as events:
        house.broker.events.tell_of_target("somebody-elses")
        house.broker.events.tell_of_target("orders")
        event = await anext(events)
        assert (event.topic, event.target, event.id) == ("target", "orders", None)
        assert (await house.broker.health.check("orders")).reachable
        await end_token_of(house, DEV)
        topics = {each.topic for each in await heard(house, events, "token.revoked")}
        assert topics == {"identity"}, "it is as it was"


@pytest.mark.parametrize("can_follow", [True, False])
async def test_a_command_that_waits_goes_on_when_somebody_decides(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, *, can_follow: bool
) -> None:
    """Woken by the event; or, where there are none to be had, as it looks by itself."""
    monkeypatch.setattr("api.cli.calling._LOOK_ANYWAY_S", 3600.0)
    monkeypatch.setattr("api.cli.calling._POLL_S", 0.05)
    if not can_follow:
        monkeypatch.setattr("broker.service.event_stream._MOST_STREAMS", 0)
    async with house_on(stage) as house, house.client_of(DEV) as client:
        reviewer = await house.person(REVIEWER)
        asked = await client.request("orders", "orders_reader", duration=HOUR)
        async with asyncio.timeout(20), asyncio.TaskGroup() as tasks:
            waiting = tasks.create_task(wait_for_decision(client, asked, HOUR))
            while can_follow and not house.broker.events.followers:
                await asyncio.sleep(0.01)
            await house.broker.approve(asked.id, reviewer, Consent())
            await house.broker.events.look()
            decided = await waiting
        assert decided.grant_id is not None
        await wait_until_active(client, decided.grant_id, HOUR)
