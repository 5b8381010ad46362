"""Where the sessions of a grant may come from: asked for, approved, and pinned at first use."""

import asyncio
import json
import re
from dataclasses import replace
from ipaddress import ip_address, ip_network
from typing import Any

import aiohttp
import pytest

from broker.domain.errors import NotThroughProxy
from broker.domain.grant import GrantKind
from broker.domain.network import Network
from broker.ledger import logins
from broker.ledger.connection import reading
from broker.service.approvals import Consent
from broker.service.broker import Broker
from broker.service.grants import GrantDetails
from tests.integration.test_sessions import api_of, client_of, let_in, pgcurfew, proxy_of
from tests.support.people import get_grant, get_person, wish
from tests.support.stage import DEV, REVIEWER, Stage

pytestmark = pytest.mark.newest  # about the ledger, not the target

OFFICE, HOME = ip_network("10.0.0.0/8"), ip_network("2001:db8::/32")
_AUDITED = """
    SELECT string_agg(data ->> 'networks' || ' ' || (data ->> 'pin_address'), ', ' ORDER BY seq)
      FROM curfew.audit_events WHERE kind IN ('request.made', 'request.approved')
"""


async def give(
    broker: Broker,
    *,
    asked: tuple[Network, ...] = (),
    given: tuple[Network, ...] | None = None,
    wants_pin: bool = False,
    pins: bool = False,
) -> GrantDetails:
    """Ask as DEV and approve as REVIEWER."""
    dev, reviewer = await get_person(broker, DEV), await get_person(broker, REVIEWER)
    details = await broker.ask(replace(wish(), networks=asked, pin_address=wants_pin), dev)
    found = await broker.requests.get(details.request.id, reviewer)
    assert found.request.networks == asked
    consent = Consent(networks=given, pin_address=pins)
    return (await broker.approve(details.request.id, reviewer, consent)).given


async def offer_membership(stage: Stage, **options: Any) -> None:
    orders = stage.settings()["targets"]["orders"]
    people = stage.settings()["identity"]["people"]
    people[0]["personal_roles"] = {"orders": "orders_owner"}
    role = {"kinds": ["login", "membership"], **options}
    stage.write_settings(
        targets={"orders": {**orders, "roles": {**orders["roles"], "orders_reader": role}}},
        identity={"people": people},
    )


async def test_an_approvers_networks_take_the_place_of_the_requests(stage: Stage) -> None:
    async with stage.broker() as broker:
        as_asked = await give(broker, asked=(OFFICE, HOME))
        other = await give(broker, asked=(OFFICE,), given=(HOME,))
        anywhere = await give(broker, asked=(OFFICE,), given=())
    assert as_asked.grant.networks == (OFFICE, HOME)
    assert other.grant.networks == (HOME,)
    assert anywhere.grant.networks == ()
    assert await stage.query_ledger(_AUDITED) == (
        '["10.0.0.0/8", "2001:db8::/32"] false, ["10.0.0.0/8", "2001:db8::/32"] false, '
        '["10.0.0.0/8"] false, ["2001:db8::/32"] false, ["10.0.0.0/8"] false, [] false'
    )


async def test_a_proxy_reads_the_networks_of_a_grant(stage: Stage) -> None:
    async with stage.broker() as broker, proxy_of(stage) as proxy:
        details = await give(broker, asked=(OFFICE, HOME), wants_pin=True)
        dev = await get_person(broker, DEV)
        credential = await broker.grants.hand_out(details.grant.id, dev, source=None)
        async with reading(proxy) as db:
            (login,) = await logins.fetch_for_proxy(db, credential.user, "", 10)
    assert login.grant.networks == (OFFICE, HOME)
    assert (login.grant.pin_address, login.grant.pinned_to) == (True, None)


@pytest.mark.parametrize(
    ("wants_pin", "pins", "of_role", "pinned"),
    [
        (False, False, False, False),
        (True, False, False, True),
        (False, True, False, True),
        (False, False, True, True),
    ],
)
async def test_a_grant_is_pinned_if_anybody_wants_it(
    stage: Stage, *, wants_pin: bool, pins: bool, of_role: bool, pinned: bool
) -> None:
    orders = stage.settings()["targets"]["orders"]
    roles = {**orders["roles"], "orders_reader": {"pin_address": of_role}}
    stage.write_settings(targets={"orders": {**orders, "roles": roles}})
    async with stage.broker() as broker:
        details = await give(broker, wants_pin=wants_pin, pins=pins)
    assert details.grant.pin_address is pinned


@pytest.mark.parametrize("place", ["192.0.2.7", "2001:db8::7"])
async def test_the_first_session_pins_the_grant_to_its_address(stage: Stage, place: str) -> None:
    async with stage.broker() as broker, proxy_of(stage) as proxy:
        details = await give(broker, wants_pin=True)
        assert await let_in(proxy, details, place) is not None
        assert await let_in(proxy, details, "192.0.2.8") is None
        assert await let_in(proxy, details, place) is not None
        found = await broker.grants.get(details.grant.id, await get_person(broker, DEV))
    assert found.grant.pinned_to == ip_address(place)
    assert await stage.query_ledger("SELECT count(*) FROM curfew.sessions") == 2


async def test_without_pinning_sessions_come_from_several_addresses(stage: Stage) -> None:
    async with stage.broker() as broker, proxy_of(stage) as proxy:
        details = await get_grant(broker)
        for address in ("192.0.2.7", "192.0.2.8"):
            assert await let_in(proxy, details, address) is not None
    assert await stage.query_ledger("SELECT count(pinned_to) FROM curfew.grants") == 0


async def test_of_two_first_sessions_at_once_exactly_one_is_admitted(stage: Stage) -> None:
    async with stage.broker() as broker, proxy_of(stage) as proxy, proxy_of(stage) as another:
        for _ in range(5):
            details = await give(broker, wants_pin=True)
            admitted = await asyncio.gather(
                let_in(proxy, details, "192.0.2.7"), let_in(another, details, "192.0.2.8")
            )
            assert sum(each is not None for each in admitted) == 1
            address = "192.0.2.7" if admitted[0] is not None else "192.0.2.8"
            found = await broker.grants.get(details.grant.id, await get_person(broker, DEV))
            assert found.grant.pinned_to == ip_address(address)
    written = await stage.query_ledger(
        "SELECT count(*) FROM curfew.sessions s JOIN curfew.grants g ON g.id = s.grant_id "
        "WHERE s.client_address = host(g.pinned_to)"
    )
    assert written == await stage.query_ledger("SELECT count(*) FROM curfew.sessions") == 5


@pytest.mark.parametrize(
    "change", [{"networks": (OFFICE,)}, {"pin_address": True}], ids=["networks", "pin"]
)
async def test_what_nothing_would_enforce_cannot_be_asked_for(
    stage: Stage, change: dict[str, Any]
) -> None:
    await offer_membership(stage)
    async with stage.broker() as broker:
        dev, reviewer = await get_person(broker, DEV), await get_person(broker, REVIEWER)
        membership = wish(kind=GrantKind.MEMBERSHIP)
        with pytest.raises(NotThroughProxy, match="ask for a login"):
            await broker.ask(replace(membership, **change), dev)
        asked = await broker.ask(membership, dev)
        with pytest.raises(NotThroughProxy, match="ask for a login"):
            await broker.approvals.approve(asked.request.id, reviewer, Consent(**change))
    assert await stage.query_ledger("SELECT count(*) FROM curfew.grants") == 0


async def test_over_http_networks_are_text_both_ways(stage: Stage) -> None:
    async with stage.broker() as broker:
        new = await broker.tokens.create(DEV, label="", lifetime=None, actor="operator:test")
        headers = {"Authorization": f"Bearer {new.secret}"}
        body = {"target": "orders", "role": "orders_reader", "duration": "1h"}
        async with (
            api_of(broker) as url,
            aiohttp.ClientSession(url, headers=headers) as http,
            client_of(broker, REVIEWER) as reviewer,
        ):
            wanted = {"networks": ["10.0.0.0/8", "2001:db8::7"], "pin_address": True}
            async with http.post("/v1/requests", json={**body, **wanted}) as answer:
                asked = await answer.json()
            assert answer.status == 201
            assert asked["networks"] == ["10.0.0.0/8", "2001:db8::7/128"]
            assert asked["pin_address"] is True
            given = (await reviewer.approve(asked["id"], networks=[OFFICE])).given
            async with http.get(f"/v1/grants/{given.id}") as answer:
                grant = await answer.json()
            assert (grant["networks"], grant["pin_address"]) == (["10.0.0.0/8"], True)
            assert grant["pinned_to"] is None
            async with http.post("/v1/requests", json={**body, "networks": ["10.1.2.3/8"]}) as bad:
                problem = await bad.json()
            assert (bad.status, bad.content_type) == (422, "application/problem+json")
            assert problem["errors"][0]["field"] == "networks.0"
            assert "10.0.0.0/8 has not" in problem["errors"][0]["message"]
            many = [f"10.0.{number}.0/24" for number in range(101)]
            async with http.post("/v1/requests", json={**body, "networks": many}) as bad:
                assert (bad.status, (await bad.json())["code"]) == (422, "invalid")


@pytest.mark.newest
async def test_the_command_line_asks_for_gives_and_shows_networks(stage: Stage) -> None:
    async with stage.broker() as broker, proxy_of(stage) as proxy:
        wanted = ("--from", "10.0.0.0/8", "--from", "2001:db8::7", "--pin-address")
        ask = ("request", "orders", "orders_reader", "--for", "1h")
        asked = json.loads((await pgcurfew(broker, DEV, *ask, *wanted, "--json")).stdout)
        shown = await pgcurfew(broker, REVIEWER, "show", asked["id"])
        said = "10.0.0.0/8, 2001:db8::7/128, only the first address"
        assert re.search(rf"^from +{re.escape(said)} *$", shown.stdout, re.MULTILINE)

        await pgcurfew(broker, REVIEWER, "approve", asked["id"], "--from", "192.0.2.0/24")
        (details,) = await broker.grants.list(
            await get_person(broker, DEV), only_own=True, state=None, before=None, limit=9
        )
        await let_in(proxy, details)
        shown = await pgcurfew(broker, DEV, "show", details.grant.id)
        listed = await pgcurfew(broker, DEV, "ls")
        for told in (shown.stdout, listed.stdout):
            assert "192.0.2.0/24, only 192.0.2.7" in told

        wrong = await pgcurfew(broker, DEV, *ask, "--from", "10.1.2.3/8")
        assert (wrong.returncode, "10.0.0.0/8 has not" in wrong.stderr) == (2, True)
