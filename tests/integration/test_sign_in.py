"""Signing in with a browser, by a provider or a personal token, and what does not count as that."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from aiohttp.test_utils import make_mocked_request

from api.callers.same_site import origin_of
from broker.domain.errors import SignInFailed
from broker.domain.identity.code_flow import Transaction
from broker.domain.identity.issuer import Metadata
from broker.domain.identity.relying import Answered, Relying
from broker.service.broker import Broker
from broker.service.context import ProviderFlows
from tests.support.browser import Site, site_of, with_provider
from tests.support.ports import free_port
from tests.support.provider import NEWCOMER, WEB_CLIENT, Provider
from tests.support.stage import DEV, OTHER_DEV, REVIEWER, Stage

pytestmark = pytest.mark.newest
_ASK = "/request?target=orders&role=orders_reader"
_COOKIE = "pgcurfew"
_WAY = "pgcurfew_sign_in"


@pytest.fixture
async def site(shared_stage: Stage, provider: Provider) -> AsyncIterator[Site]:
    async with site_of(shared_stage, edit=with_provider(provider)) as serving:
        yield serving


async def _token(site: Site, email: str = DEV, **wish: Any) -> str:
    wish = {"label": "test", "lifetime": None, "actor": "operator:test", **wish}
    return (await site.broker.tokens.create(email, **wish)).secret


async def _last_event(stage: Stage, kind: str) -> Any:
    return await stage.query_ledger(
        "SELECT data::text FROM curfew.audit_events WHERE kind = $1 ORDER BY seq DESC LIMIT 1", kind
    )


async def test_a_person_whom_no_list_names_signs_in_with_their_provider(
    site: Site, provider: Provider, shared_stage: Stage
) -> None:
    async with site.browser() as browser:
        assert "Sign in to ask here" in await browser.read_page(_ASK)
        back = await browser.sign_in(provider, NEWCOMER, _ASK)
        assert (back.status_code, back.headers["Location"]) == (303, _ASK)
        me = await browser.read_page("/me")
    for said in ("newcomer@<wbr>example.com", "Nina Newcomer", "developers", "company"):
        assert f"<dd>{said}</dd>" in me
    event = await _last_event(shared_stage, "sign_in.begun")
    assert NEWCOMER in event
    assert '"provider": "company"' in event


async def test_the_list_and_the_provider_both_say_in_what_groups_somebody_is(
    site: Site, provider: Provider
) -> None:
    async with site.browser() as browser:
        await browser.sign_in(provider, DEV)
        assert "<dd>developers, night-shift</dd>" in await browser.read_page("/me")


async def test_a_person_of_the_list_signs_in_with_a_token_once(
    site: Site, shared_stage: Stage
) -> None:
    async with site.browser() as browser:
        answer = await browser.submit("/sign-in", token=f" {await _token(site)}\n", to=_ASK)
        assert (answer.status_code, answer.headers["Location"]) == (303, _ASK)
        assert "<dd>a personal token</dd>" in await browser.read_page("/me")
    assert '"provider": null' in await _last_event(shared_stage, "sign_in.begun")


@pytest.mark.parametrize("token", ["", "pgcurfew_nobody-has-this", "a.b.c"])
async def test_what_is_no_token_signs_nobody_in(site: Site, token: str) -> None:
    async with site.browser() as browser:
        answer = await browser.submit("/sign-in", token=token, to=_ASK)
        assert answer.status_code == 401
        assert "This is no personal token that is good here." in answer.text
        assert _COOKIE not in browser.cookies
        assert (await browser.get("/me")).headers["Location"] == "/sign-in?to=%2Fme"


async def test_a_machine_does_not_sign_in(shared_stage: Stage) -> None:
    def edit(identity: dict[str, Any]) -> None:
        identity["machines"] = [{"name": "nightly-report"}]

    async with site_of(shared_stage, edit=edit) as site, site.browser() as browser:
        token = await _token(site, "nightly-report@service.machine")
        assert (await browser.submit("/sign-in", token=token)).status_code == 401
    assert "machines do not sign in" in await _last_event(shared_stage, "identity.refused")


async def test_a_token_for_little_makes_a_sign_in_for_as_little(site: Site) -> None:
    async with site.browser() as browser:
        token = await _token(site, scopes=frozenset({"read"}))
        await browser.submit("/sign-in", token=token)
        assert "<dd>read</dd>" in await browser.read_page("/me")
        mine = (await browser.get("/v1/me")).json()
        assert mine["scopes"] == ["read"]


@pytest.mark.parametrize(
    ("email", "reason"),
    [
        ("elsewhere@example.net", "is not among the domains of provider company"),
        ("unverified@example.com", "has not verified the address"),
    ],
)
async def test_whom_the_provider_may_not_vouch_for_is_not_in(
    site: Site, provider: Provider, shared_stage: Stage, email: str, reason: str
) -> None:
    async with site.browser() as browser:
        back = await browser.sign_in(provider, email)
        assert back.status_code == 401
        assert "nobody of that description may come in here" in back.text
        assert reason not in back.text
        assert _COOKIE not in browser.cookies
    assert reason in await _last_event(shared_stage, "identity.refused")


async def test_what_a_provider_keeps_out_of_its_id_tokens_is_asked_for(
    site: Site, provider: Provider
) -> None:
    provider.whims.is_terse = True
    async with site.browser() as browser:
        assert (await browser.sign_in(provider, NEWCOMER)).status_code == 303
        me = await browser.read_page("/me")
    for said in ("newcomer@<wbr>example.com", "Nina Newcomer", "developers"):
        assert f"<dd>{said}</dd>" in me


async def test_what_a_provider_tells_of_somebody_else_is_not_taken_for_ours(
    site: Site, provider: Provider
) -> None:
    provider.whims.is_terse, provider.whims.tells_of = True, DEV
    async with site.browser() as browser:
        assert (await browser.sign_in(provider, NEWCOMER)).status_code == 503
        assert _COOKIE not in browser.cookies


async def test_who_does_not_want_to_is_told_so_and_may_try_again(
    site: Site, provider: Provider
) -> None:
    async with site.browser() as browser:
        back = await browser.sign_in(provider, None, _ASK)
        assert back.status_code == 401
        assert "Company says no: you were not let in there" in back.text
        assert 'href="/sign-in/company?to=%2Frequest%3Ftarget%3Dorders' in back.text


@pytest.mark.parametrize(
    "to", ["//evil.example", "https://evil.example/", "/\\evil.example", "/\t/evil.example"]
)
async def test_nobody_is_led_to_another_site(site: Site, provider: Provider, to: str) -> None:
    async with site.browser() as browser:
        assert (await browser.sign_in(provider, NEWCOMER, to)).headers["Location"] == "/"
        led = await browser.get("/sign-in", params={"to": to})
        assert led.headers["Location"] == "/"
    async with site.browser() as browser:
        answer = await browser.submit("/sign-in", token=await _token(site), to=to)
        assert answer.headers["Location"] == "/"


@pytest.mark.parametrize(
    "says",
    [
        {"state": "another"},
        {"state": None},
        {"iss": "https://evil.example"},
        {"iss": None},
        {"code": None},
        {"code": "another"},
        {"error": "server_error"},
    ],
)
async def test_an_answer_that_is_not_the_one_to_our_question_signs_nobody_in(
    site: Site, provider: Provider, says: dict[str, str | None]
) -> None:
    async with site.browser() as browser:
        provider.whims.says = says
        back = await browser.sign_in(provider, NEWCOMER)
        assert back.status_code == 401
        assert 'role="alert"' in back.text
        assert _COOKIE not in browser.cookies


async def test_an_answer_that_says_something_twice_signs_nobody_in(
    site: Site, provider: Provider
) -> None:
    async with site.browser() as browser:
        where = await browser.go_and_come_back(provider, NEWCOMER)
        assert "twice" in (await browser.get(f"{where}&code=another")).text
    assert provider.token_requests == []


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"nonce": "another"}, "nonce"),
        ({"nonce": None}, "nonce"),
        ({"aud": "somebody-else"}, "aud"),
        ({"iss": "https://evil.example"}, "iss"),
        ({"exp": 1}, "expired"),
    ],
)
async def test_an_id_token_of_another_sign_in_signs_nobody_in(
    site: Site, provider: Provider, shared_stage: Stage, changes: dict[str, Any], reason: str
) -> None:
    async with site.browser() as browser:
        where = await browser.go_and_come_back(provider, NEWCOMER)
        provider.whims.gives = provider.id_token(NEWCOMER, **{"audience": WEB_CLIENT} | changes)
        assert (await browser.get(where)).status_code == 401
        assert _COOKIE not in browser.cookies
    assert reason in await _last_event(shared_stage, "identity.refused")


async def test_who_follows_another_ones_way_back_is_not_signed_in_as_them(
    site: Site, provider: Provider
) -> None:
    """Else somebody could let others work under their name, and see what they do."""
    async with site.browser() as attacker, site.browser() as victim:
        where = await attacker.go_and_come_back(provider, NEWCOMER)
        stranger = await victim.get(where)
        assert "This browser did not begin this" in stranger.text
        await victim.get("/sign-in/company")
        confused = await victim.get(where)
        assert "not to the sign-in that this browser began" in confused.text
        assert _COOKIE not in victim.cookies
    assert provider.token_requests == []


async def test_a_way_back_is_gone_once(site: Site, provider: Provider) -> None:
    async with site.browser() as browser:
        where = await browser.go_and_come_back(provider, NEWCOMER)
        way = browser.cookies[_WAY]
        assert (await browser.get(where)).status_code == 303
        assert _WAY not in browser.cookies
        assert (await browser.get(where)).status_code == 401
        browser.cookies.set(_WAY, way)
        again = await browser.get(where)
        assert (again.status_code, _COOKIE in browser.cookies) == (401, True)
        assert "Company does not take its code" in again.text


async def test_a_way_back_is_gone_once_even_if_the_provider_forgets_its_codes(
    site: Site, provider: Provider
) -> None:
    context = replace(site.broker.context, flows=_Forgetful(site.broker.context.flows))
    sign_ins = Broker(context).sign_ins
    async with site.browser() as browser:
        where = await browser.go_and_come_back(provider, NEWCOMER)
        request = make_mocked_request("GET", "/", {"Cookie": f"{_WAY}={browser.cookies[_WAY]}"})
        attempt = site.door.read_way(request, site.clock.now())
        assert attempt is not None
    answer = dict(parse_qsl(urlsplit(where).query))
    await sign_ins.finish(attempt, answer, source=None)
    with pytest.raises(SignInFailed, match="this sign-in was finished before"):
        await sign_ins.finish(attempt, answer, source=None)


class _Forgetful:
    """A provider that takes a code again and again."""

    def __init__(self, flows: ProviderFlows) -> None:
        self._flows = flows
        self._given: Answered | None = None
        self.authorization_url = flows.authorization_url
        self.fetch_more_claims = flows.fetch_more_claims

    async def exchange(
        self, us: Relying, metadata: Metadata, code: str, transaction: Transaction
    ) -> Answered:
        if self._given is None:
            self._given = await self._flows.exchange(us, metadata, code, transaction)
        return self._given


async def test_of_two_that_go_it_at_once_one_comes_in(site: Site, provider: Provider) -> None:
    async with site.browser() as browser:
        where = await browser.go_and_come_back(provider, NEWCOMER)
        found = await asyncio.gather(browser.get(where), browser.get(where))
    assert sorted(each.status_code for each in found) == [303, 401]


async def test_a_way_that_takes_too_long_is_closed(site: Site, provider: Provider) -> None:
    async with site.browser() as browser:
        where = await browser.go_and_come_back(provider, NEWCOMER)
        site.clock.advance(timedelta(minutes=10, seconds=1))
        assert "too long ago" in (await browser.get(where)).text


async def test_a_way_that_was_begun_with_one_provider_is_not_finished_with_another(
    site: Site, provider: Provider
) -> None:
    async with site.browser() as browser:
        where = await browser.go_and_come_back(provider, NEWCOMER)
        other = await browser.get(where.replace("/company/", "/partners/"))
        assert other.status_code == 401


async def test_a_provider_that_is_down_is_said_to_be(site: Site, provider: Provider) -> None:
    async with site.browser() as browser:
        where = await browser.go_and_come_back(provider, NEWCOMER)
        provider.whims.is_broken = True
        back = await browser.get(where)
        assert back.status_code == 503
        assert "company does not answer as it should; try again" in back.text
        assert "Continue with company" in back.text


async def test_a_provider_that_was_never_up_is_said_to_be_down(shared_stage: Stage) -> None:
    nobody = Provider({}, issuer=f"http://localhost:{free_port()}")
    async with (
        site_of(shared_stage, edit=with_provider(nobody)) as site,
        site.browser() as browser,
    ):
        answer = await browser.get("/sign-in/company")
        assert answer.status_code == 503
        assert "does not answer as it should; try again" in answer.text
        # A token needs no provider.
        assert (await browser.submit("/sign-in", token=await _token(site))).status_code == 303


async def test_there_is_no_way_to_a_provider_that_nobody_has_configured(site: Site) -> None:
    async with site.browser() as browser:
        answer = await browser.get("/sign-in/partners")
        assert (answer.status_code, answer.headers["Content-Type"][:9]) == (404, "text/html")


async def test_a_browser_that_signs_in_again_gets_a_new_pass_and_the_old_one_is_void(
    site: Site, provider: Provider
) -> None:
    """Somebody may have planted the old one, to have what comes of it."""
    async with site.browser() as attacker, site.browser() as victim:
        await attacker.submit("/sign-in", token=await _token(site, OTHER_DEV))
        planted = attacker.cookies[_COOKIE]
        victim.cookies.set(_COOKIE, planted)
        await victim.sign_in(provider, NEWCOMER)
        assert victim.cookies.get(_COOKIE, domain="127.0.0.1") not in (planted, None)
        assert (await attacker.get("/me")).status_code == 303
    async with site.browser(**{_COOKIE: planted}) as thief:
        assert (await thief.get("/me")).headers["Location"] == "/sign-in?to=%2Fme"


async def test_a_pass_that_was_tampered_with_is_none(site: Site, provider: Provider) -> None:
    async with site.browser() as browser:
        await browser.get("/sign-in/company")
        way = browser.cookies[_WAY]
        await browser.sign_in(provider, NEWCOMER)
        mine = browser.cookies[_COOKIE]
    for bad in (mine[:-9] + ("A" if mine[-9] != "A" else "B") + mine[-8:], way, "", "x" * 3000):
        async with site.browser(**{_COOKIE: bad}) as thief:
            assert (await thief.get("/me")).status_code == 303
            answer = await thief.get("/sign-in")
            assert answer.status_code == 200
            assert f'{_COOKIE}="";' in answer.headers["Set-Cookie"]
            refused = await thief.get("/v1/me", headers={"Accept": "application/json"})
            assert (refused.status_code, refused.json()["code"]) == (401, "sign-in-over")


async def test_a_stranger_is_told_to_sign_in_and_a_program_that_it_lacks_a_token(
    site: Site,
) -> None:
    async with site.browser() as browser:
        page = await browser.get("/me")
        assert (page.status_code, page.headers["Location"]) == (303, "/sign-in?to=%2Fme")
        program = await browser.get("/v1/me")
        assert program.status_code == 401
        assert program.headers["Content-Type"].startswith("application/problem+json")
        ask = await browser.post("/v1/requests", json={})
        assert (ask.status_code, ask.json()["code"]) == (401, "unauthenticated")


async def test_who_is_in_is_led_past_the_sign_in_page(site: Site, provider: Provider) -> None:
    async with site.browser() as browser:
        await browser.sign_in(provider, NEWCOMER)
        led = await browser.get("/sign-in", params={"to": _ASK})
        assert (led.status_code, led.headers["Location"]) == (303, _ASK)


async def test_without_providers_there_is_only_the_token(shared_stage: Stage) -> None:
    async with site_of(shared_stage) as site, site.browser() as browser:
        page = await browser.read_page("/sign-in")
        assert "Continue with" not in page
        assert 'name="token"' in page
        assert (await browser.get("/v1/sign-in")).json() == {"providers": []}


async def test_over_https_the_cookies_are_secure_and_this_hosts_alone(
    shared_stage: Stage, provider: Provider
) -> None:
    url = "https://curfew.example.com"
    async with (
        site_of(shared_stage, edit=with_provider(provider), public_url=url) as site,
        site.browser() as browser,
    ):
        token = await _token(site, REVIEWER)
        sent = await browser.post("/sign-in", data={"token": token}, headers={"Origin": url})
        given = sent.headers["Set-Cookie"]
        assert given.startswith("__Host-pgcurfew=")
        way = (await browser.get("/sign-in/company")).headers["Set-Cookie"]
        assert way.startswith("__Host-pgcurfew_sign_in=")
        for cookie in (given, way):
            assert {"Secure", "HttpOnly", "SameSite=Lax", "Path=/"} <= set(cookie.split("; "))
            assert "Domain" not in cookie
        # What somebody planted without TLS is not looked at.
        value = given.partition("=")[2].partition(";")[0]
        for name, status in (("pgcurfew", 303), ("__Host-pgcurfew", 200)):
            answer = await browser.get("/me", headers={"Cookie": f"{name}={value}"})
            assert answer.status_code == status
        refused = await browser.submit("/sign-in", token=token)
        assert origin_of(url) != browser.origin
        assert refused.status_code == 403
