"""Wrong secrets are counted, lead to a ban that ends by itself, and that an operator may lift."""

import asyncio
import json
from datetime import UTC, datetime, timedelta

import pytest

from broker.domain.errors import NotFound
from broker.ledger import bans
from broker.ledger.bans import Ban, ThrottleRules
from broker.ledger.channel import BANS
from broker.ledger.connection import Pool, connect, reading
from tests.integration.test_lifecycle import at
from tests.integration.test_sessions import let_in, proxy_of, run_cli
from tests.support.people import get_grant
from tests.support.stage import Stage

pytestmark = pytest.mark.sample  # about the ledger, not the target

ADDRESS, LOGIN = "address 192.0.2.7", "login dev.orders.orders_reader"
RULES = ThrottleRules(failures=3, window=timedelta(minutes=10), ban=timedelta(minutes=15))
NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


async def fail(proxy: Pool, now: datetime, *keys: str, rules: ThrottleRules = RULES) -> list[Ban]:
    """Count a wrong secret as a proxy does; return the bans that it led to."""
    async with reading(proxy) as db:
        return await bans.count_failure(db, list(keys or (ADDRESS,)), rules, now)


async def live(proxy: Pool, now: datetime) -> list[Ban]:
    async with reading(proxy) as db:
        return await bans.fetch_live(db, now)


async def test_so_many_failures_within_the_window_lead_to_a_ban(stage: Stage) -> None:
    async with proxy_of(stage) as proxy:
        assert await fail(proxy, NOON) == []
        assert await fail(proxy, NOON + MINUTE) == []
        assert await live(proxy, NOON + MINUTE) == []
        begun = NOON + 9 * MINUTE
        ban = Ban(ADDRESS, 3, begun + RULES.ban)
        assert await fail(proxy, begun) == [ban]
        assert await live(proxy, begun) == [ban]
        assert await live(proxy, ban.until - timedelta(seconds=1)) == [ban]
        assert await live(proxy, ban.until) == []


async def test_failures_before_the_window_do_not_count(stage: Stage) -> None:
    async with proxy_of(stage) as proxy:
        for minutes in (0, 1, 10, 11, 20, 21):
            assert await fail(proxy, NOON + minutes * MINUTE) == []
        assert len(await fail(proxy, NOON + 22 * MINUTE)) == 1


async def test_one_more_failure_neither_lengthens_a_ban_nor_begins_another(stage: Stage) -> None:
    """Proxies that have not heard of it yet go on counting."""
    async with proxy_of(stage) as proxy:
        for _ in range(3):
            begun = await fail(proxy, NOON)
        for minutes in (1, 5, 14):
            assert await fail(proxy, NOON + minutes * MINUTE) == []
        (ban,) = await live(proxy, NOON + 14 * MINUTE)
    assert [ban.until] == [each.until for each in begun] == [NOON + RULES.ban]


async def test_after_a_ban_counting_begins_anew(stage: Stage) -> None:
    async with proxy_of(stage) as proxy:
        for _ in range(3):
            await fail(proxy, NOON)
        over = NOON + RULES.ban
        assert await fail(proxy, over) == []
        assert await live(proxy, over) == []
        assert await fail(proxy, over) == []
        assert await fail(proxy, over) == [Ban(ADDRESS, 3, over + RULES.ban)]


async def test_each_key_is_counted_for_itself(stage: Stage) -> None:
    later = NOON + MINUTE
    async with proxy_of(stage) as proxy:
        for _ in range(2):
            assert await fail(proxy, NOON, ADDRESS, LOGIN) == []
        assert [each.key for each in await fail(proxy, NOON, LOGIN)] == [LOGIN]
        assert [each.key for each in await fail(proxy, later, LOGIN, ADDRESS)] == [ADDRESS]
        assert {each.key for each in await live(proxy, later)} == {ADDRESS, LOGIN}


async def test_the_very_first_failure_may_be_one_too_many(stage: Stage) -> None:
    strict = ThrottleRules(failures=1, window=MINUTE, ban=MINUTE)
    async with proxy_of(stage) as proxy:
        assert await fail(proxy, NOON, rules=strict) == [Ban(ADDRESS, 1, NOON + MINUTE)]


async def test_none_is_lost_when_many_proxies_count_at_once(stage: Stage) -> None:
    """And they lock the keys in one order, whichever they name first."""
    many = ThrottleRules(failures=40, window=MINUTE, ban=MINUTE)
    async with proxy_of(stage) as proxy, proxy_of(stage) as another:
        begun = await asyncio.gather(
            *(
                fail(each, NOON, *keys, rules=many)
                for _ in range(20)
                for each, keys in ((proxy, (ADDRESS, LOGIN)), (another, (LOGIN, ADDRESS)))
            )
        )
    assert sorted(ban.key for each in begun for ban in each) == [ADDRESS, LOGIN]


async def test_the_right_secret_makes_up_for_wrong_ones_but_ends_no_ban(stage: Stage) -> None:
    async with stage.broker() as broker, proxy_of(stage) as proxy:
        details = await get_grant(broker)
        await fail(proxy, NOON, ADDRESS, LOGIN)
        for _ in range(2):
            await fail(proxy, NOON, LOGIN)
        assert await let_in(proxy, details, forgive=[ADDRESS, LOGIN]) is not None
        assert await fail(proxy, NOON) == []
        assert await fail(proxy, NOON) == []
        assert [each.key for each in await live(proxy, NOON)] == [LOGIN]


async def test_whoever_is_not_let_in_is_forgiven_nothing(stage: Stage) -> None:
    async with stage.broker() as broker, proxy_of(stage) as proxy:
        details = await get_grant(broker)
        await stage.query_ledger("UPDATE curfew.grants SET pin_address = true, pinned_to = '::1'")
        for _ in range(2):
            await fail(proxy, NOON)
        assert await let_in(proxy, details, forgive=[ADDRESS]) is None
        assert len(await fail(proxy, NOON)) == 1


async def test_a_ban_that_is_lifted_is_over_on_every_proxy_and_forgotten(stage: Stage) -> None:
    heard: asyncio.Queue[str] = asyncio.Queue()
    async with stage.broker() as broker, proxy_of(stage) as proxy:
        listening = await connect(stage.ledger_login("curfew_proxy"), "a proxy")
        await listening.add_listener(BANS, lambda *news: heard.put_nowait(str(news[-1])))
        then = at(broker, NOON)
        for _ in range(3):
            await fail(proxy, NOON, ADDRESS, LOGIN)
        assert {each.key for each in await then.bans.list()} == {ADDRESS, LOGIN}
        await then.bans.lift(ADDRESS, actor="operator:test")
        assert await asyncio.wait_for(heard.get(), 10) == ""
        await listening.close()
        assert [each.key for each in await live(proxy, NOON)] == [LOGIN]
        assert await fail(proxy, NOON) == []
        with pytest.raises(NotFound, match=r"no ban of 'address 192\.0\.2\.7'"):
            await then.bans.lift(ADDRESS, actor="operator:test")
        with pytest.raises(NotFound):
            await at(broker, NOON + RULES.ban).bans.lift(LOGIN, actor="operator:test")
    said = await stage.query_ledger(
        "SELECT string_agg(concat_ws(' ', actor, kind, data ->> 'whom'), ', ') "
        "FROM curfew.audit_events WHERE kind LIKE 'ban.%'"
    )
    assert said == f"operator:test ban.lifted {ADDRESS}"


async def test_old_counts_are_forgotten_and_what_still_matters_is_not(stage: Stage) -> None:
    day = timedelta(days=1)
    long = ThrottleRules(failures=1, window=day, ban=day)
    async with stage.broker() as broker, proxy_of(stage) as proxy:
        await fail(proxy, NOON, "login counted")
        await fail(proxy, NOON, "login was banned", rules=ThrottleRules(1, MINUTE, MINUTE))
        await fail(proxy, NOON + MINUTE, "login counted later")
        await fail(proxy, NOON, "login banned", rules=ThrottleRules(1, MINUTE, 2 * day))
        await fail(proxy, NOON + MINUTE, "login banned later", rules=long)
        await at(broker, NOON + day).bans.forget_old()
    left = await stage.query_ledger("SELECT array_agg(key ORDER BY key) FROM curfew.bans")
    assert left == ["login banned", "login banned later", "login counted later"]


@pytest.mark.newest
async def test_an_operator_lists_and_lifts_bans(stage: Stage) -> None:
    operator = {"PGCURFEW_CONFIG": str(stage.config), "COLUMNS": "200"}
    now = datetime.now(UTC)
    async with proxy_of(stage) as proxy:
        for _ in range(3):
            await fail(proxy, now)
    listed = await asyncio.to_thread(run_cli, operator, "bans", "ls", "--json")
    (ban,) = json.loads(listed.stdout)
    assert (ban["key"], ban["failures"]) == (ADDRESS, 3)
    shown = await asyncio.to_thread(run_cli, operator, "bans", "ls")
    assert ADDRESS in shown.stdout
    lifted = await asyncio.to_thread(run_cli, operator, "bans", "lift", *ADDRESS.split())
    assert (lifted.returncode, lifted.stderr) == (0, "")
    again = await asyncio.to_thread(run_cli, operator, "bans", "lift", ADDRESS)
    assert (again.returncode, again.stdout) == (3, "")
    assert again.stderr.startswith(f"pgcurfew: no ban of {ADDRESS!r}")
    none = await asyncio.to_thread(run_cli, operator, "bans", "ls")
    assert none.stdout == "Bans: none\n"
