"""The user names that lead to a grant: the login's own, and one that stays the same."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from broker.domain.person import Person
from broker.ledger import logins, people
from broker.ledger.connection import Pool, reading
from broker.service.broker import Broker
from broker.service.grants import GrantDetails
from tests.integration.test_sessions import client_of, pgcurfew, proxy_of
from tests.support.people import get_grant, get_person
from tests.support.stage import DEV, Stage

pytestmark = pytest.mark.newest  # about the ledger, not the target

STABLE = "dev.orders.orders_reader"
_HANDLE = "SELECT handle FROM curfew.people WHERE email = $1"


async def make_known(broker: Broker, email: str) -> Person:
    newcomer = Person(f"per_{email}", email, email)
    async with reading(broker.context.ledger) as db:
        return await people.upsert(db, newcomer, datetime.now(UTC))


async def with_secret(broker: Broker, role: str = "orders_reader") -> GrantDetails:
    details = await get_grant(broker, role)
    await broker.grants.hand_out(details.grant.id, await get_person(broker, DEV), source=None)
    return details


async def found(proxy: Pool, user: str, database: str = "", limit: int = 10) -> list[str]:
    """Return the ids of the grants that a client may mean."""
    async with reading(proxy) as db:
        candidates = await logins.fetch_for_proxy(db, user, database, limit)
    return [each.grant.id for each in candidates]


async def test_two_people_with_the_same_local_part_have_different_handles(stage: Stage) -> None:
    async with stage.broker() as broker:
        for _ in range(2):
            await make_known(broker, "alice@example.com")
            await make_known(broker, "alice@example.org")
    assert await stage.query_ledger(_HANDLE, "alice@example.com") == "alice"
    assert await stage.query_ledger(_HANDLE, "alice@example.org") == "alice@example.org"


async def test_whoever_becomes_known_twice_at_once_is_one_person(stage: Stage) -> None:
    emails = ("bob@example.com", "bob@example.org")
    async with stage.broker() as broker:
        made = await asyncio.gather(*(make_known(broker, each) for each in emails * 8))
    assert {each.email for each in made} == set(emails)
    assert len({each.id for each in made}) == 2
    handles = {await stage.query_ledger(_HANDLE, each) for each in emails}
    assert handles in ({"bob", emails[0]}, {"bob", emails[1]})


async def test_a_new_name_changes_no_handle(stage: Stage) -> None:
    async with stage.broker() as broker:
        await make_known(broker, "carol@example.com")
        async with reading(broker.context.ledger) as db:
            renamed = await people.upsert(
                db, Person("per_new", "carol@example.com", "Carol"), datetime.now(UTC)
            )
    assert (renamed.id, renamed.name) == ("per_carol@example.com", "Carol")
    assert await stage.query_ledger(_HANDLE, "carol@example.com") == "carol"


async def test_a_login_is_found_by_its_own_name_and_by_the_stable_one(stage: Stage) -> None:
    async with stage.broker() as broker, proxy_of(stage) as proxy:
        details, other = await with_secret(broker), await with_secret(broker, "orders_writer")
        assert details.login is not None
        assert await found(proxy, details.login) == [details.grant.id]
        assert await found(proxy, STABLE) == [details.grant.id]
        assert await found(proxy, "dev.orders.orders_writer") == [other.grant.id]
        for name in ("dev", "dev.orders", "DEV.orders.orders_reader", ""):
            assert await found(proxy, name) == []


async def test_a_login_without_a_secret_leads_nowhere(stage: Stage) -> None:
    async with stage.broker() as broker, proxy_of(stage) as proxy:
        details = await get_grant(broker)
        assert details.login is not None
        assert await found(proxy, STABLE) == await found(proxy, details.login) == []


async def test_a_stable_name_leads_to_living_grants_first_and_then_the_newest(
    stage: Stage,
) -> None:
    async with stage.broker() as broker, proxy_of(stage) as proxy:
        dev = await get_person(broker, DEV)
        old, middle, new = [(await with_secret(broker)).grant.id for _ in range(3)]
        assert await found(proxy, STABLE) == [new, middle, old]
        assert await found(proxy, STABLE, limit=2) == [new, middle]
        await broker.relinquish(new, dev)
        assert await found(proxy, STABLE) == [middle, old, new]
        await broker.relinquish(old, dev)
        assert await found(proxy, STABLE) == [middle, new, old]


async def test_among_living_grants_the_database_that_is_named_comes_first(stage: Stage) -> None:
    async with stage.broker() as broker, proxy_of(stage) as proxy:
        dev = await get_person(broker, DEV)
        ended, old, new = [(await with_secret(broker)).grant.id for _ in range(3)]
        await broker.relinquish(ended, dev)
        await stage.query_ledger(
            "UPDATE curfew.grants SET database = 'archive' WHERE id = ANY ($1)", [ended, old]
        )
        assert await found(proxy, STABLE, "archive") == [old, new, ended]
        assert await found(proxy, STABLE, stage.target_database) == [new, old, ended]
        assert await found(proxy, STABLE, "elsewhere") == [new, old, ended]


async def test_a_login_named_like_anothers_stable_name_comes_first_by_its_own(
    stage: Stage,
) -> None:
    async with stage.broker() as broker, proxy_of(stage) as proxy:
        own, stable = [(await with_secret(broker)).grant.id for _ in range(2)]
        await stage.query_ledger(
            "UPDATE curfew.logins SET name = $1 WHERE grant_id = $2", STABLE, own
        )
        assert (await found(proxy, STABLE))[0] == own
        assert stable in await found(proxy, STABLE)


async def test_the_stable_name_stays_while_secrets_and_grants_come_and_go(stage: Stage) -> None:
    async with stage.broker() as broker, client_of(broker, DEV) as dev:
        first, second = await get_grant(broker), await get_grant(broker)
        views = [await dev.hand_out(each.grant.id) for each in (first, second, second)]
    assert {each.stable_user for each in views} == {STABLE}
    assert [each.user for each in views] == [first.login, second.login, second.login]
    assert len({each.password for each in views}) == 3
    salts = await stage.query_ledger("SELECT count(DISTINCT salt) FROM curfew.logins")
    assert salts == 1, "a proxy names the salt before it knows which secret it will see"


@pytest.mark.newest
async def test_the_command_line_names_the_stable_user(stage: Stage) -> None:
    async with stage.broker() as broker:
        details = await get_grant(broker, duration=timedelta(minutes=5))
        handed = await pgcurfew(broker, DEV, "credential", details.grant.id)
    line = f"For saved connections: user {STABLE}, always leads to your living grant"
    assert line in handed.stdout.splitlines()
    assert handed.stdout.splitlines()[-1].startswith("PGPASSWORD=")
