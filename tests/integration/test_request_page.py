"""Where one asks for access, and where a refusal's link leads, as a browser gets it."""

import re
from collections.abc import AsyncIterator, Mapping
from datetime import timedelta
from html.parser import HTMLParser
from typing import Any
from urllib.parse import urlencode

import aiohttp
import pytest

from tests.integration.test_sessions import api_of
from tests.support.browser import Browser, Site, site_of
from tests.support.stage import DEV, OTHER_DEV, REVIEWER, Stage

pytestmark = pytest.mark.newest
_LINK = "/request?target={}&role={}&for=1h"
_FORM = {"target": "orders", "role": "orders_writer", "for": "30m", "reason": "an <invoice>"}
_HOSTILE = ("<script>alert(1)</script>", "</code><img src=x onerror=alert(1)>", '"&amp;&lt;')


class _Tags(HTMLParser):
    """Every start tag with its attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def fields(self) -> dict[str, str | None]:
        """Return what a form would send, without what one types into larger ones."""
        return {
            str(attributes["name"]): attributes.get("value")
            for tag, attributes in self.found
            if tag in ("input", "textarea") and attributes.get("name")
        }

    def skeleton(self) -> list[tuple[str, dict[str, str | None]]]:
        """Return the page's elements, without what links and fields say."""
        said = {"value", "href", "hx-get"}
        return [
            (tag, {name: each for name, each in attributes.items() if name not in said})
            for tag, attributes in self.found
            if tag != "span"
        ]


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


async def test_whatever_a_link_says_stays_text(site: Site) -> None:
    async with site.browser() as stranger, site.browser() as browser:
        await _signed_in(site, browser)
        for text in _HOSTILE:
            for who, link in (
                (stranger, {"target": "orders", "role": text}),
                (browser, {**_FORM, "database": text, "reason": f"</textarea>{text}"}),
            ):
                page = (await who.get("/request", params=link)).text
                plain = {
                    name: "x" if each is not _FORM.get(name) else each
                    for name, each in link.items()
                }
                usual = (await who.get("/request", params=plain)).text
                assert _Tags(page).skeleton() == _Tags(usual).skeleton()


async def test_a_stranger_is_led_to_sign_in_and_back_here(site: Site) -> None:
    here = _LINK.format("orders", "orders_reader")
    async with site.browser() as browser:
        answer = await browser.get(here)
    links = [attributes["href"] for tag, attributes in _Tags(answer.text).found if tag == "a"]
    assert f"/sign-in?{urlencode({'to': here})}".replace("+", "%20") in links
    assert "<form" not in answer.text
    assert "pgcurfew</span> <span>request</span> <span>orders</span>" in answer.text


async def test_what_there_is_to_ask_for_is_told_in_plain_words(site: Site) -> None:
    async with site.browser() as browser:
        await _signed_in(site, browser)
        page = await browser.read_page("/request")
        assert 'href="/request?target=orders&amp;role=orders_reader"' in page
        assert "Reads 1 table in schema shop" in page
        assert "Owns 1 table in schema shop" in page
        assert page.index(">orders_reader</a>") < page.index(">orders_owner</a>")
        unknown = await browser.get("/request?target=orders&role=nobody")
        assert unknown.status_code == 422
        assert "you may ask for orders_owner, orders_reader, orders_writer" in unknown.text


async def test_the_form_says_before_who_has_to_agree_and_what_is_less(site: Site) -> None:
    async with site.browser() as browser:
        await _signed_in(site, browser)
        page = await browser.read_page("/request?target=orders&role=orders_writer&reason=why")
        fields = _Tags(page).fields()
        assert (fields["target"], fields["role"], fields["for"]) == (
            "orders",
            "orders_writer",
            "1h",
        )
        assert ">why</textarea>" in page
        preview = page[page.index('id="preview"') :]
        assert "<strong>group dba</strong> must agree first" in preview
        assert "<dd>writers</dd>" in preview
        assert "role=orders_reader" in page[: page.index('id="preview"')]


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ({"for": "9h"}, "9h is too long: policy &#39;writers&#39; allows at most 1h"),
        ({"for": "soon"}, "write 90s, 30m, 8h, 2d"),
        ({"reason": ""}, "this policy wants a reason"),
        ({"networks": "10.0.0.0/8"}, "<dd>10.0.0.0/8</dd>"),
    ],
)
async def test_what_is_typed_changes_what_would_come_of_it(
    site: Site, typed: Mapping[str, str], said: str
) -> None:
    """With a script while it is typed, and without one by a button: nothing is asked for."""
    async with site.browser() as browser:
        await _signed_in(site, browser)
        shown = (await browser.get("/request", params={**_FORM, **typed})).text
        assert said in shown[shown.index('id="preview"') :]
        checked = (await _ask(browser, check="true", **typed)).text
        assert said in checked[checked.index('id="preview"') :]
        assert (await browser.get("/v1/requests?status=pending")).json()["items"] == []


async def test_the_form_asks_and_leads_to_what_becomes_of_it(stage: Stage) -> None:
    async with site_of(stage) as site, site.browser() as browser:
        await _signed_in(site, browser)
        chat = "https://chat.example.com/c/1"
        more = {"networks": "10.0.0.0/8, 192.0.2.7", "pin_address": "true", "conversation": chat}
        sent = await _ask(browser, **more)
        assert sent.status_code == 303
        where = sent.headers["Location"]
        assert re.fullmatch(r"/requests/req_\w{16}", where)
        found = (await browser.get(f"/v1{where}")).json()
    assert (found["requester"], found["role"], found["duration"]) == (DEV, "orders_writer", "PT30M")
    assert (found["reason"], found["source"]) == ("an <invoice>", "127.0.0.1")
    assert found["conversation"] == chat
    assert (found["networks"], found["pin_address"]) == (["10.0.0.0/8", "192.0.2.7/32"], True)


async def test_who_may_ask_for_others_sees_what_they_would_get(stage: Stage) -> None:
    leads = {"on_behalf": {"people": [OTHER_DEV]}}
    async with (
        site_of(stage, policies=(leads,)) as site,
        site.browser() as browser,
        site.browser() as lead,
    ):
        await _signed_in(site, browser)
        await _signed_in(site, lead, OTHER_DEV)
        link = f"{_LINK.format('orders', 'orders_reader')}&person={DEV}"
        page = await lead.read_page(link)
        assert "<dt>For</dt><dd>dev@<wbr>example.com</dd>" in page
        assert "<strong>group dba</strong> must agree first" in page
        mine = await browser.read_page(
            f"{_LINK.format('orders', 'orders_reader')}&person={OTHER_DEV}"
        )
        assert "For somebody else" not in mine
        assert "must agree first" not in mine


async def test_whom_no_policy_names_is_told_whom_to_ask(stage: Stage) -> None:
    for_others = {"requesters": {"groups": ["dba"]}}
    async with site_of(stage, policies=(for_others,)) as site, site.browser() as browser:
        await _signed_in(site, browser)
        page = await browser.read_page(_LINK.format("orders", "orders_reader"))
        assert "No policy lets you ask for anything here yet" in page
        assert "orders_reader" not in page.replace("role=orders_reader", "")


@pytest.mark.parametrize(
    ("change", "status", "said"),
    [
        ({"reason": ""}, 422, "wants a reason"),
        ({"for": "9h"}, 422, "9h is too long"),
        ({"for": "soon"}, 422, "it is not a duration"),
        ({"for": '"><b>'}, 422, "it is not a duration"),
        ({"networks": "10.0.0.1/8"}, 422, "it has bits beyond its length"),
        ({"person": REVIEWER}, 403, "no policy lets you ask for reviewer@example.com"),
    ],
)
async def test_what_does_not_fit_is_said_beside_its_field(
    site: Site, change: dict[str, str], status: int, said: str
) -> None:
    async with site.browser() as browser:
        await _signed_in(site, browser)
        answer = await _ask(browser, **change)
        assert answer.status_code == status
        (field,) = change
        beside = rf'id="f-{field}-fault">[^<]*{re.escape(said)}'
        at_the_top = rf'role="alert">[^<]*{re.escape(said)}'
        text = answer.text.replace("&#39;", "'")
        assert re.search(beside if status == 422 else at_the_top, text, re.IGNORECASE)
        assert 'name="csrf"' in answer.text
        if "for" not in change:
            assert 'value="30m"' in answer.text
        if "reason" not in change:
            assert "an &lt;invoice&gt;</textarea>" in answer.text


async def test_a_form_that_was_changed_into_another_says_what_there_is(site: Site) -> None:
    async with site.browser() as browser:
        await _signed_in(site, browser)
        for change, said in (({"target": "Orders!"}, "target"), ({"role": "nobody"}, "role")):
            answer = await _ask(browser, **change)
            assert answer.status_code == 422
            assert f"Unknown {said}" in answer.text


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
