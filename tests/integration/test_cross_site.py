"""What other sites can make a signed-in browser do: nothing."""

from collections.abc import AsyncIterator

import pytest

from tests.support.browser import Browser, Site, site_of, with_provider
from tests.support.provider import NEWCOMER, Provider
from tests.support.stage import DEV, Stage

pytestmark = pytest.mark.newest
_ASK = "/request?target=orders&role=orders_reader"
_FORM = {"target": "orders", "role": "orders_reader", "for": "1h", "reason": "a test"}
_ROUTES = ("/request", "/sign-out", "/sign-in")


@pytest.fixture
async def site(shared_stage: Stage, provider: Provider) -> AsyncIterator[Site]:
    async with site_of(shared_stage, edit=with_provider(provider)) as serving:
        yield serving


@pytest.fixture
async def browser(site: Site, provider: Provider) -> AsyncIterator[Browser]:
    async with site.browser() as signed_in:
        await signed_in.sign_in(provider, NEWCOMER)
        yield signed_in


async def _requests(browser: Browser) -> int:
    return len((await browser.get("/v1/requests")).json()["items"])


@pytest.mark.parametrize("path", _ROUTES)
@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Referer": "https://evil.example/"},
    ],
)
async def test_another_sites_form_changes_nothing_even_with_the_right_token(
    browser: Browser, path: str, headers: dict[str, str]
) -> None:
    before = await _requests(browser)
    form = {**_FORM, "csrf": browser.token_in(await browser.read_page(_ASK))}
    answer = await browser.post(path, data=form, headers=headers)
    assert answer.status_code == 403
    assert "This did not come from a page of ours" in answer.text
    assert await _requests(browser) == before


@pytest.mark.parametrize("path", _ROUTES)
async def test_our_own_form_changes_nothing_without_its_own_token(
    site: Site, provider: Provider, browser: Browser, path: str
) -> None:
    async with site.browser() as other:
        await other.sign_in(provider, DEV)
        somebody_elses = browser.token_in(await other.read_page(_ASK))
    for token in ({}, {"csrf": ""}, {"csrf": "wrong"}, {"csrf": somebody_elses}):
        assert (await browser.submit(path, **_FORM, **token)).status_code == 403
    assert (await browser.get("/me")).status_code == 200


async def test_the_token_of_an_earlier_sign_in_is_worth_nothing(
    provider: Provider, browser: Browser
) -> None:
    old = browser.token_in(await browser.read_page(_ASK))
    await browser.sign_in(provider, NEWCOMER)
    assert (await browser.submit("/request", **_FORM, csrf=old)).status_code == 403


async def test_a_script_of_ours_brings_the_token_in_a_header(browser: Browser) -> None:
    token = browser.token_in(await browser.read_page(_ASK))
    body = {"target": "orders", "role": "orders_reader", "duration": "1h"}
    ours = {"Origin": browser.origin}
    for headers, status in (({}, 403), (ours, 403), (ours | {"X-CSRF-Token": token}, 201)):
        answer = await browser.post("/v1/requests", json=body, headers=headers)
        assert answer.status_code == status


async def test_a_program_with_a_bearer_token_needs_neither(site: Site, browser: Browser) -> None:
    made = await site.broker.tokens.create(DEV, label="x", lifetime=None, actor="operator:test")
    body = {"target": "orders", "role": "orders_reader", "duration": "1h"}
    headers = {"Authorization": f"Bearer {made.secret}"}
    answer = await browser.post("/v1/requests", json=body, headers=headers)
    # The cookie that came along as well counted for nothing.
    assert (answer.status_code, answer.json()["requester"]) == (201, DEV)


async def test_a_cookie_does_not_stand_in_for_a_bad_bearer_token(browser: Browser) -> None:
    for header in ("Bearer pgcurfew_wrong", "Bearer", "Basic Og==", ""):
        answer = await browser.get("/v1/me", headers={"Authorization": header})
        assert answer.status_code == 401


async def test_reading_takes_no_token(browser: Browser) -> None:
    headers = {"Sec-Fetch-Site": "cross-site"}  # a link in a chat
    assert (await browser.get("/me", headers=headers)).status_code == 200


async def test_a_password_for_something_in_front_of_us_takes_no_guard_away(
    site: Site, browser: Browser
) -> None:
    """Browsers add it by themselves, also to the forms of other sites."""
    made = await site.broker.tokens.create(DEV, label="x", lifetime=None, actor="operator:test")
    headers = {"Origin": "https://evil.example", "Authorization": "Basic Og=="}
    for path in ("/sign-in", "/sign-out"):
        answer = await browser.post(path, data={"token": made.secret}, headers=headers)
        assert answer.status_code == 403
    assert NEWCOMER.partition("@")[0] in await browser.read_page("/me")


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("application/x-www-form-urlencoded", b"token=\xff"),
        ("application/x-www-form-urlencoded; charset=nonsense", b"token=x"),
        ("application/x-www-form-urlencoded; charset=utf-16", b"token=x"),
        ("multipart/form-data", b"token=x"),
        ("multipart/form-data; boundary=x", b"token=x"),
    ],
)
async def test_what_is_no_form_is_refused(site: Site, kind: str, body: bytes) -> None:
    """And by far not a fault of ours, which everybody could fill the log with."""
    async with site.browser() as stranger:
        headers = {"Origin": stranger.origin, "Content-Type": kind}
        answer = await stranger.post("/sign-in", content=body, headers=headers)
        assert answer.status_code in (401, 422)


async def test_a_body_that_cannot_be_read_is_no_fault_of_ours(site: Site) -> None:
    async with site.browser() as stranger:
        headers = {"Content-Encoding": "deflate", "Content-Type": "application/json"}
        answer = await stranger.post("/v1/sign-in", content=b"xx", headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (400, "bad-request")


async def test_what_is_no_text_is_no_token_of_a_page(browser: Browser) -> None:
    headers = [(b"Origin", browser.origin.encode()), (b"X-CSRF-Token", b"\xff")]
    assert (await browser.post("/sign-out", headers=headers)).status_code == 403
