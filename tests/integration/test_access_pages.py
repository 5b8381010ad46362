"""What one holds, on a page: taking its secret, connecting with it, more of it, giving it back."""

import re
from datetime import timedelta
from html import unescape

import pytest

from broker.domain.grant import GrantKind
from broker.service.approvals import Consent
from broker.service.grants import GrantDetails
from tests.support.browser import Browser, Site, site_of
from tests.support.people import get_person, wish
from tests.support.stage import DEV, OTHER_DEV, REVIEWER, Stage

pytestmark = pytest.mark.newest

BUDGET = {"require": ["reason"], "statements": {"budget": {"rows": 1000, "bytes": "10MB"}}}


async def _signed_in(site: Site, browser: Browser, email: str = DEV) -> None:
    made = await site.broker.tokens.create(
        email, label="x", lifetime=timedelta(hours=1), actor="operator:test"
    )
    assert (await browser.submit("/sign-in", token=made.secret)).status_code == 303


async def _granted(
    site: Site, role: str = "orders_reader", *, kind: GrantKind = GrantKind.LOGIN
) -> GrantDetails:
    dev, reviewer = await get_person(site.broker, DEV), await get_person(site.broker, REVIEWER)
    asked = await site.broker.ask(wish(role, reason="<b>an invoice</b>", kind=kind), dev)
    return (await site.broker.approve(asked.request.id, reviewer, Consent())).given


def _texts(page: str) -> list[str]:
    """Return what there is to copy."""
    found = re.findall(r"<code>(.*?)</code>", page, re.DOTALL)
    return [unescape(re.sub(r"</?span>", "", each)) for each in found]


async def test_a_grant_says_all_that_its_holder_needs(stage: Stage) -> None:
    async with site_of(stage) as site, site.browser() as browser, site.browser() as other:
        grant = await _granted(site)
        await _signed_in(site, browser)
        page = await browser.read_page("/access")
        for said in (
            grant.login,
            "dev.orders.orders_reader",
            f'datetime="{grant.grant.expires_at.isoformat(timespec="milliseconds")[:23]}Z"',
            "<dt>Connect from</dt><dd>anywhere</dd>",
            "none open",
            "<strong>group dba</strong> must agree again",
        ):
            assert str(said) in page
        assert any(text.startswith("psql 'postgresql://jit_") for text in _texts(page))
        assert "PGPASSWORD" not in page
        await _signed_in(site, other, OTHER_DEV)
        assert "You have access to nothing at the moment" in await other.read_page("/access")


async def test_a_secret_is_on_the_answer_and_nowhere_else(stage: Stage) -> None:
    async with site_of(stage) as site, site.browser() as browser:
        grant = (await _granted(site)).grant
        await _signed_in(site, browser)
        answer = await browser.submit_from("/access", f"/access/{grant.id}/secret")
        assert answer.status_code == 200
        assert answer.headers["Cache-Control"] == "no-store, no-transform"
        secret = _texts(answer.text)[0]
        assert re.fullmatch(r"[0-9A-Z]{26}", secret)
        (line,) = (text for text in _texts(answer.text) if text.startswith("PGPASSWORD="))
        assert line.startswith(f"PGPASSWORD={secret} psql 'postgresql://jit_")
        assert "takes the place of the one before" in answer.text
        assert secret not in await browser.read_page("/access")


async def test_more_is_asked_for_and_what_does_not_fit_stays_in_the_form(stage: Stage) -> None:
    async with (
        site_of(stage, policies=(BUDGET,)) as site,
        site.browser() as browser,
    ):
        grant = (await _granted(site)).grant
        await _signed_in(site, browser)
        page = await browser.read_page("/access")
        assert '<progress max="1000" value="0" aria-label="rows returned">' in page
        where = f"/access/{grant.id}/extension"
        for typed, said in (
            ({"duration": "soon"}, "longer-[^>]*-fault"),
            ({"rows": "many"}, "rows-[^>]*-fault"),
            ({"bytes": "10 apples"}, "bytes-[^>]*-fault"),
            ({"duration": "9h", "reason": "x"}, "longer-[^>]*-fault"),
            ({}, 'role="alert">Say how much longer'),
            ({"rows": "5000", "reason": "x"}, "allows at most 0 rows more now"),
        ):
            answer = await browser.submit_from("/access", where, **typed)
            assert answer.status_code == 422, typed
            assert re.search(said, answer.text), typed
            for each in typed.values():
                assert f'value="{each}"' in answer.text
        asked = await browser.submit_from("/access", where, duration="30m", reason="<i>more</i>")
        assert asked.status_code == 303
        assert re.fullmatch(r"/requests/req_\w{16}", asked.headers["Location"])
        page = await browser.read_page("/access")
        assert "as an extension" in page
        assert f'action="{asked.headers["Location"]}/cancellation"' in page


async def test_what_needs_no_agreement_is_extended_at_once(stage: Stage) -> None:
    standing = {"approval": "standing"}
    async with site_of(stage, policies=(standing,)) as site, site.browser() as browser:
        dev = await get_person(site.broker, DEV)
        asked = await site.broker.ask(wish(duration=timedelta(hours=1)), dev)
        assert asked.request.grant_id is not None
        await _signed_in(site, browser)
        where = f"/access/{asked.request.grant_id}/extension"
        assert "Nobody has to agree" in await browser.read_page("/access")
        answer = await browser.submit_from("/access", where, duration="1h")
        assert answer.headers["Location"] == f"/access#{asked.request.grant_id}"
        found = await site.broker.grants.get(asked.request.grant_id, dev)
        assert found.grant.duration > timedelta(minutes=119)


async def test_what_is_given_back_is_over_and_says_so(stage: Stage) -> None:
    async with site_of(stage) as site, site.browser() as browser:
        grant = (await _granted(site)).grant
        await _signed_in(site, browser)
        where = f"/access/{grant.id}/relinquishment"
        assert (await browser.submit_from("/access", where)).headers["Location"] == "/access"
        page = await browser.read_page("/access")
        assert "relinquished" in page
        assert f'href="/requests/{grant.request_id}"' in page
        # A page that was left open: the form is still there, and what it wants no longer is.
        form = await browser.read_page("/request?target=orders&role=orders_reader")
        for path in ("relinquishment", "secret"):
            answer = await browser.submit(f"/access/{grant.id}/{path}", csrf=browser.token_in(form))
            assert answer.status_code == 409


async def test_one_that_waits_starts_when_its_secret_is_taken(stage: Stage) -> None:
    waits = {"starts": "first_use", "activate_within": "2h"}
    async with site_of(stage, policies=(waits,)) as site, site.browser() as browser:
        grant = (await _granted(site)).grant
        await _signed_in(site, browser)
        page = await browser.read_page("/access")
        assert "It waits for you" in page
        assert "Take its secret, and start" in page
        answer = await browser.submit_from("/access", f"/access/{grant.id}/secret")
        assert answer.status_code == 200
        assert "It waits for you" not in await browser.read_page("/access")


async def test_nobody_elses_grant_can_be_acted_on(stage: Stage) -> None:
    async with site_of(stage) as site, site.browser() as other:
        grant = (await _granted(site)).grant
        await _signed_in(site, other, OTHER_DEV)
        page = await other.read_page("/request?target=orders&role=orders_reader")
        for path in ("secret", "relinquishment", "extension"):
            answer = await other.submit(
                f"/access/{grant.id}/{path}", csrf=other.token_in(page), duration="1h"
            )
            assert answer.status_code == 404


async def test_a_membership_says_what_to_connect_with_instead(stage: Stage) -> None:
    name = f"alice_{stage.target_database}"
    orders = stage.settings()["targets"]["orders"]
    roles = {role: {"kinds": ["login", "membership"]} for role in orders["roles"]}
    await stage.query(f"CREATE ROLE {name} LOGIN")
    try:
        async with (
            site_of(
                stage,
                edit=lambda each: each["people"][0].update(personal_roles={"orders": name}),
                targets={"orders": {**orders, "roles": roles}},
            ) as site,
            site.browser() as browser,
        ):
            await _signed_in(site, browser)
            form = await browser.read_page("/request?target=orders&role=orders_reader")
            assert "Your own role becomes a member of it" in form
            await _granted(site, kind=GrantKind.MEMBERSHIP)
            page = await browser.read_page("/access")
            assert f"your own role {name} is a member of orders_reader" in page
            assert "not through the proxy" in page
            assert "secret" not in page[page.index("<main") : page.index("</main")]
    finally:
        await stage.query(f"DROP ROLE {name}")
