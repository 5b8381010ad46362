"""Grants to a role that the person already has: given for a time, and only ours taken back."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest

from broker.domain.errors import Conflict, KindNotOffered, NoPersonalRole, NotReady
from broker.domain.grant import GrantKind, GrantState
from broker.domain.request import RequestState
from broker.service.approvals import Consent
from broker.service.broker import Approved, Broker
from broker.service.grants import GrantDetails
from tests.support.people import get_grant, get_person, wish
from tests.support.stage import DEV, PASSWORD, REVIEWER, Stage

MEMBERSHIP = GrantKind.MEMBERSHIP


@pytest.fixture
async def alice(stage: Stage) -> AsyncIterator[str]:
    """A person's own role on the target, which the settings know."""
    name = f"alice_{stage.target_database}"
    settings = stage.settings()
    orders = settings["targets"]["orders"]
    roles = {role: {"kinds": ["login", "membership"]} for role in orders["roles"]}
    people: list[dict[str, Any]] = settings["identity"]["people"]
    people[0]["personal_roles"] = {"orders": name}
    stage.write_settings(
        targets={"orders": {**orders, "roles": roles}}, identity={"people": people}
    )
    await stage.query(f"CREATE ROLE {name} LOGIN PASSWORD '{PASSWORD}'")
    await stage.query(f"GRANT CONNECT ON DATABASE {stage.target_database} TO {name}")
    await stage.query(f"GRANT USAGE ON SCHEMA shop TO {name}")
    yield name
    await stage.query(f"DROP OWNED BY {name}")
    await stage.query(f"DROP ROLE {name}")


async def log_in(stage: Stage, name: str) -> "asyncpg.Connection[asyncpg.Record]":
    return await stage.server.connect(stage.target_database, user=name, password=PASSWORD)


async def give_back(broker: Broker, details: GrantDetails) -> GrantDetails:
    return await broker.relinquish(details.grant.id, await get_person(broker, DEV))


async def memberships_of(stage: Stage, name: str) -> int:
    sql = f"SELECT count(*) FROM pg_auth_members WHERE member = '{name}'::regrole"
    return int(await stage.query(sql))


async def test_a_person_has_the_role_while_the_grant_lives(stage: Stage, alice: str) -> None:
    session = await log_in(stage, alice)
    async with stage.broker() as broker:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await session.fetchval("SELECT count(*) FROM shop.orders")
        details = await get_grant(broker, kind=MEMBERSHIP)
        assert details.grant.state is GrantState.ACTIVE
        assert (details.login, details.grant.member) == (None, alice)
        assert await session.fetchval("SELECT count(*) FROM shop.orders") == 100
        ended = await give_back(broker, details)
        receipt = await broker.grants.get_receipt(details.grant.id, await get_person(broker, DEV))
    with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError)):
        await session.fetchval("SELECT count(*) FROM shop.orders")
    session.terminate()
    assert ended.grant.state is GrantState.ENDED
    assert receipt.facts["proved"]
    assert receipt.facts["member"] == alice
    assert await memberships_of(stage, alice) == 0
    assert await stage.query("SELECT count(*) FROM pg_roles WHERE rolname = $1", alice) == 1


async def test_a_session_that_became_the_role_is_ended(stage: Stage, alice: str) -> None:
    """A REVOKE does not reach a session that did SET ROLE, or that is in the midst of a query."""
    session = await log_in(stage, alice)
    async with stage.broker() as broker:
        details = await get_grant(broker, kind=MEMBERSHIP)
        if stage.server.major < 16:
            await session.execute("SET ROLE orders_reader")
        else:
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await session.execute("SET ROLE orders_reader")
            await session.execute("BEGIN; DECLARE c CURSOR FOR SELECT * FROM shop.orders")
            await session.execute("FETCH 1 FROM c")
        await give_back(broker, details)
        receipt = await broker.grants.get_receipt(details.grant.id, await get_person(broker, DEV))
    with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError)):
        await session.fetch("SELECT * FROM shop.orders")
    assert receipt.facts["sessions_ended"] == 1


@pytest.mark.pg(">= 16")
async def test_from_16_on_an_idle_session_goes_on_without_the_role(
    stage: Stage, alice: str
) -> None:
    """Where the admin role may see which sessions are idle."""
    session = await log_in(stage, alice)
    await stage.query("GRANT pg_read_all_stats TO curfew_admin WITH INHERIT TRUE")
    try:
        async with stage.broker() as broker:
            details = await get_grant(broker, kind=MEMBERSHIP)
            await session.fetchval("SELECT count(*) FROM shop.orders")
            await give_back(broker, details)
    finally:
        await stage.query("REVOKE pg_read_all_stats FROM curfew_admin")
    assert await session.fetchval("SELECT 1") == 1
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await session.fetchval("SELECT count(*) FROM shop.orders")
    await session.close()


async def test_a_membership_that_was_there_before_stays(stage: Stage, alice: str) -> None:
    await stage.query(f"GRANT orders_reader TO {alice}")
    async with stage.broker() as broker:
        details = await get_grant(broker, kind=MEMBERSHIP)
        assert details.grant.state in (GrantState.REVOKING, GrantState.ENDED)
        await broker.work.work_on(details.grant.id)
        ended = await broker.grants.get(details.grant.id, await get_person(broker, DEV))
    assert ended.grant.state is GrantState.ENDED
    assert "is a member of orders_reader already" in (ended.grant.end_comment or "")
    assert await memberships_of(stage, alice) == 1


@pytest.mark.pg(">= 16")
async def test_from_16_on_a_membership_given_by_somebody_else_meanwhile_stays(
    stage: Stage, alice: str
) -> None:
    async with stage.broker() as broker:
        details = await get_grant(broker, kind=MEMBERSHIP)
        await stage.query(f"GRANT orders_reader TO {alice}")
        assert await memberships_of(stage, alice) == 2
        ended = await give_back(broker, details)
    assert ended.grant.state is GrantState.ENDED
    assert await memberships_of(stage, alice) == 1


@pytest.mark.sample
async def test_two_grants_never_give_the_same_membership(stage: Stage, alice: str) -> None:
    async with stage.broker() as broker:
        dev, reviewer = await get_person(broker, DEV), await get_person(broker, REVIEWER)
        asked = [await broker.ask(wish(kind=MEMBERSHIP), dev) for _ in range(2)]
        outcomes = await asyncio.gather(
            *(broker.approve(each.request.id, reviewer, Consent()) for each in asked),
            return_exceptions=True,
        )
        given = [each.given for each in outcomes if isinstance(each, Approved)]
        refused = [each for each in outcomes if isinstance(each, Conflict)]
        assert (len(given), len(refused)) == (1, 1)
        assert f"another grant makes {alice} a member" in str(refused[0])
        pending = [
            (await broker.requests.get(each.request.id, dev)).request.state for each in asked
        ]
        assert sorted(pending) == [RequestState.APPROVED, RequestState.PENDING]
        await give_back(broker, given[0])
        again = await get_grant(broker, kind=MEMBERSHIP)
        assert again.grant.state is GrantState.ACTIVE
        await give_back(broker, again)
    assert await memberships_of(stage, alice) == 0


@pytest.mark.newest
async def test_a_membership_has_no_secret_to_hand_out(stage: Stage, alice: str) -> None:
    async with stage.broker() as broker:
        details = await get_grant(broker, kind=MEMBERSHIP)
        with pytest.raises(NotReady, match=f"log in as {alice}, as you always do"):
            await broker.grants.hand_out(
                details.grant.id, await get_person(broker, DEV), source=None
            )


@pytest.mark.newest
async def test_a_kind_that_is_not_offered_is_refused_with_what_is(stage: Stage) -> None:
    async with stage.broker() as broker:
        with pytest.raises(KindNotOffered, match="not given as a membership, only as a login"):
            await broker.ask(wish(kind=MEMBERSHIP), await get_person(broker, DEV))


@pytest.mark.newest
async def test_who_has_no_role_of_their_own_is_told_so(stage: Stage, alice: str) -> None:
    async with stage.broker() as broker:
        reviewer = await get_person(broker, REVIEWER)
        with pytest.raises(NoPersonalRole, match="personal_roles"):
            await broker.ask(wish(kind=MEMBERSHIP), reviewer)
