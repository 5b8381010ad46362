"""The page that a refusal's link leads to, as a browser gets it from the service."""

import re
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import aiohttp
import pytest

from broker.service.approvals import Consent
from tests.integration.test_sessions import api_of
from tests.support.browser import Browser, Site, site_of
from tests.support.people import get_person
from tests.support.stage import DEV, OTHER_DEV, REVIEWER, Stage

pytestmark = pytest.mark.newest
_LINK = "/request?target={}&role={}&for=1h"
_FORM = {"target": "orders", "role": "orders_writer", "for": "30m", "reason": "an <invoice>"}


@pytest.fixture
async def site(shared_stage: Stage) -> AsyncIterator[Site]:
    async with site_of(shared_stage) as serving:
        yield serving


async def _signed_in(site: Site, browser: Browser, email: str = DEV) -> None:
    made = await site.broker.tokens.create(
        email, label="x", lifetime=timedelta(hours=1), actor="operator:test"
    )
    assert (await browser.submit("/sign-in", token=made.secret)).status_code == 303


async def _ask(browser: Browser, **changes: str) -> Any:
    form = _FORM | changes
    return await browser.submit_from(_LINK.format("orders", "orders_writer"), "/request", **form)


async def test_it_needs_no_sign_in_and_says_nothing_about_what_there_is(
    shared_stage: Stage,
) -> None:
    async with (
        shared_stage.broker() as broker,
        api_of(broker) as url,
        aiohttp.ClientSession(url) as browser,
    ):
        pages = []
        for target, role in (("orders", "orders_reader"), ("nowhere", "nobody")):
            async with browser.get(_LINK.format(target, role)) as answer:
                assert (answer.status, answer.content_type) == (200, "text/html")
                assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'; ")
                assert answer.headers["X-Content-Type-Options"] == "nosniff"
                pages.append((await answer.text()).replace(target, "T").replace(role, "R"))
    # The role's name begins with the target's.
    assert pages[0].replace("T_reader", "R") == pages[1]


async def test_a_broken_link_is_a_page_too_and_another_method_a_problem(
    shared_stage: Stage,
) -> None:
    async with (
        shared_stage.broker() as broker,
        api_of(broker) as url,
        aiohttp.ClientSession(url) as browser,
    ):
        async with browser.get(_LINK.format("%FF", "%00")) as answer:
            assert (answer.status, answer.content_type) == (400, "text/html")
        async with browser.head(_LINK.format("orders", "r")) as answer:
            assert answer.status == 200
        async with browser.post(_LINK.format("orders", "r")) as answer:
            assert (answer.status, answer.content_type) == (401, "application/problem+json")
        async with browser.get("/request/more") as answer:
            assert answer.status == 401


async def test_the_form_asks_and_leads_to_what_becomes_of_it(site: Site) -> None:
    async with site.browser() as browser:
        await _signed_in(site, browser)
        sent = await _ask(browser)
        assert sent.status_code == 303
        where = sent.headers["Location"]
        page = await browser.read_page(where)
        found = (await browser.get(f"/v1/requests/{where.removeprefix('/request/')}")).json()
    assert re.fullmatch(r"/request/req_\w{16}", where)
    for said in ("pending", "orders_writer", "30m", "an &lt;invoice&gt;", "group dba"):
        assert f"<dd>{said}</dd>" in page
    assert (found["requester"], found["role"], found["duration"]) == (DEV, "orders_writer", "PT30M")
    assert found["source"] == "127.0.0.1"


async def test_a_request_page_says_what_was_decided_and_what_to_do_next(site: Site) -> None:
    async with site.browser() as browser:
        await _signed_in(site, browser)
        where = (await _ask(browser)).headers["Location"]
        request_id = where.removeprefix("/request/")
        async with site.browser() as reviewer:
            await _signed_in(site, reviewer, REVIEWER)
            assert f"pgcurfew</span> <span>approve</span> <span>{request_id}" in (
                await reviewer.read_page(where)
            )
        approver = await get_person(site.broker, REVIEWER)
        approved = await site.broker.approve(request_id, approver, Consent(comment="go & look"))
        page = await browser.read_page(where)
    assert "<dd>approved</dd>" in page
    assert "<dd>go &amp; look</dd>" in page
    assert approved.grant is not None
    assert f"<span>credential</span> <span>{approved.grant.grant.id}</span>" in page


async def test_somebody_elses_request_is_not_there(site: Site) -> None:
    async with site.browser() as browser, site.browser() as other:
        await _signed_in(site, browser)
        await _signed_in(site, other, OTHER_DEV)
        where = (await _ask(browser)).headers["Location"]
        assert (await browser.get(where)).status_code == 200
        answer = await other.get(where)
        assert (answer.status_code, answer.headers["Content-Type"][:9]) == (404, "text/html")
        assert "Nothing here" in answer.text


@pytest.mark.parametrize(
    ("change", "status", "said"),
    [
        ({"reason": ""}, 422, "wants a reason"),
        ({"for": "9h"}, 422, "9h is too long"),
        ({"for": "soon"}, 422, "For: a duration such as 30m"),
        ({"for": '"><b>'}, 422, "For: a duration such as 30m"),
        ({"reason": "\x1b[2J"}, 422, "Reason: at most 2000 characters"),
        ({"role": "nobody"}, 422, "unknown role"),
        ({"target": "nowhere"}, 422, "unknown target"),
    ],
)
async def test_what_does_not_fit_is_said_above_the_same_form(
    site: Site, change: dict[str, str], status: int, said: str
) -> None:
    async with site.browser() as browser:
        await _signed_in(site, browser)
        answer = await _ask(browser, **change)
        assert answer.status_code == status
        assert re.search(rf'role="alert">[^<]*{re.escape(said)}', answer.text, re.IGNORECASE)
        assert 'name="csrf"' in answer.text
        if "for" not in change:
            assert 'value="30m"' in answer.text
        if "reason" not in change:
            assert "an &lt;invoice&gt;</textarea>" in answer.text


async def test_a_form_that_was_changed_into_another_is_a_broken_link(site: Site) -> None:
    async with site.browser() as browser:
        await _signed_in(site, browser)
        assert (await _ask(browser, target="Orders!")).status_code == 400


async def test_who_may_only_read_gets_no_further_than_the_form(site: Site) -> None:
    async with site.browser() as browser:
        made = await site.broker.tokens.create(
            DEV, label="x", lifetime=None, actor="operator:test", scopes=frozenset({"read"})
        )
        await browser.submit("/sign-in", token=made.secret)
        answer = await _ask(browser)
        assert answer.status_code == 403
        assert "Not allowed" in answer.text


async def test_a_form_that_was_left_open_until_the_sign_in_was_over_says_so(site: Site) -> None:
    async with site.browser() as browser:
        await _signed_in(site, browser)
        site.clock.advance(timedelta(days=1))
        answer = await browser.submit("/request", **_FORM)
        assert answer.status_code == 401
        assert 'href="/sign-in"' in answer.text
