"""How long somebody stays signed in, and how they are signed out: at once, and everywhere."""

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from tests.support.browser import KEY, Clock, Site, site_of, with_provider
from tests.support.provider import CLI_CLIENT, NEWCOMER, Provider
from tests.support.stage import DEV, Stage

pytestmark = pytest.mark.newest
_COOKIE = "pgcurfew"
_SECOND = timedelta(seconds=1)
_IDLE, _LIFETIME = timedelta(hours=1), timedelta(hours=12)


@pytest.fixture
async def site(shared_stage: Stage, provider: Provider) -> AsyncIterator[Site]:
    async with site_of(shared_stage, edit=with_provider(provider)) as serving:
        yield serving


async def _is_in(site: Site, cookie: str) -> bool:
    async with site.browser(**{_COOKIE: cookie}) as browser:
        return (await browser.get("/me")).status_code == 200


async def _pass(site: Site, provider: Provider) -> str:
    async with site.browser() as browser:
        await browser.sign_in(provider, NEWCOMER)
        return str(browser.cookies[_COOKIE])


async def _by_token(site: Site, secret: str) -> str:
    async with site.browser() as browser:
        await browser.submit("/sign-in", token=secret)
        return str(browser.cookies[_COOKIE])


async def test_it_lasts_while_it_is_used_and_ends_when_it_is_not(
    site: Site, provider: Provider
) -> None:
    cookie = await _pass(site, provider)
    for _ in range(3):
        site.clock.advance(_IDLE - _SECOND)
        assert await _is_in(site, cookie)
    site.clock.advance(_IDLE)
    assert not await _is_in(site, cookie)
    async with site.browser(**{_COOKIE: cookie}) as browser:
        assert "it was idle for too long" in await browser.read_page("/sign-in")


async def test_what_an_open_page_loads_by_itself_keeps_nobody_signed_in(
    site: Site, provider: Provider
) -> None:
    cookie = await _pass(site, provider)
    async with site.browser(**{_COOKIE: cookie}) as browser:
        for status in (200, 401):
            site.clock.advance(_IDLE - _SECOND)
            by_itself = await browser.get("/v1/me", headers={"X-By-Itself": "true"})
            assert by_itself.status_code == status


async def test_it_ends_at_its_time_however_much_it_is_used(site: Site, provider: Provider) -> None:
    cookie = await _pass(site, provider)
    for _ in range(23):
        site.clock.advance(_LIFETIME / 24)
        assert await _is_in(site, cookie)
    site.clock.advance(_LIFETIME / 24)
    async with site.browser(**{_COOKIE: cookie}) as browser:
        assert "it was as long as it may be" in await browser.read_page("/sign-in")


async def test_signing_out_makes_every_copy_of_the_pass_useless(
    site: Site, provider: Provider
) -> None:
    async with site.browser() as browser:
        await browser.sign_in(provider, NEWCOMER)
        stolen = str(browser.cookies[_COOKIE])
        out = await browser.submit_from("/me", "/sign-out")
        assert (out.status_code, out.headers["Location"]) == (303, "/sign-in?out")
        assert _COOKIE not in browser.cookies
        assert "You have signed out." in await browser.read_page("/sign-in?out")
        # Once more, from a page that was left open.
        assert (await browser.submit("/sign-out")).status_code == 303
    assert not await _is_in(site, stolen)


async def test_signing_out_here_leaves_other_browsers_alone(site: Site, provider: Provider) -> None:
    other = await _pass(site, provider)
    async with site.browser() as browser:
        await browser.sign_in(provider, NEWCOMER)
        await browser.submit_from("/me", "/sign-out")
    assert await _is_in(site, other)


async def test_signing_out_everywhere_ends_browsers_and_command_lines_but_no_tokens(
    site: Site, provider: Provider, shared_stage: Stage
) -> None:
    made = await site.broker.tokens.create(DEV, label="kept", lifetime=None, actor="operator:test")
    other = await _by_token(site, made.secret)
    id_token = provider.id_token(DEV, CLI_CLIENT)
    exchanged = await site.broker.sign_ins.by_id_token("company", id_token, None, source=None)
    stranger = await _pass(site, provider)
    async with site.browser() as browser:
        await browser.sign_in(provider, DEV)
        await browser.submit_from("/me", "/sign-out", everywhere="true")
    assert not await _is_in(site, other)
    assert await _is_in(site, stranger)
    async with site.browser() as programs:
        for secret, status in ((exchanged.secret, 401), (made.secret, 200)):
            headers = {"Authorization": f"Bearer {secret}"}
            assert (await programs.get("/v1/me", headers=headers)).status_code == status
    ended = await shared_stage.query_ledger(
        "SELECT jsonb_array_length(data -> 'sign_in_ids') FROM curfew.audit_events"
        " WHERE kind = 'sign_in.ended' ORDER BY seq DESC LIMIT 1"
    )
    assert ended == 2


async def test_a_program_signs_its_browser_out_too(site: Site, provider: Provider) -> None:
    async with site.browser() as browser:
        await browser.sign_in(provider, NEWCOMER)
        page = await browser.read_page("/me")
        headers = {"Origin": browser.origin, "X-CSRF-Token": browser.token_in(page)}
        assert (await browser.delete("/v1/sign-in", headers=headers)).status_code == 204
        assert _COOKIE not in browser.cookies


async def test_a_sign_in_by_token_ends_with_the_token(site: Site) -> None:
    lifetime = timedelta(minutes=30)
    made = [
        await site.broker.tokens.create(DEV, label="x", lifetime=lifetime, actor="operator:test")
        for _ in range(2)
    ]
    revoked, expired = [await _by_token(site, each.secret) for each in made]
    await site.broker.tokens.revoke(made[0].token.id, actor="operator:test")
    assert not await _is_in(site, revoked)
    assert await _is_in(site, expired)
    site.clock.advance(lifetime)
    assert not await _is_in(site, expired)


async def test_a_sign_in_does_not_outlive_that_somebody_vouches_for_the_person(
    shared_stage: Stage, provider: Provider
) -> None:
    async with site_of(shared_stage, edit=with_provider(provider)) as site:
        vouched_for = await _pass(site, provider)
        made = await site.broker.tokens.create(DEV, label="x", lifetime=None, actor="operator:test")
        listed = await _by_token(site, made.secret)

    def nobody(identity: dict[str, object]) -> None:
        identity["people"], identity["groups"] = [], ["dba", "developers"]

    async with site_of(shared_stage, edit=nobody) as site:
        assert not await _is_in(site, vouched_for)
        assert not await _is_in(site, listed)


async def test_a_sign_in_ends_with_its_provider_even_for_who_is_on_the_list(
    shared_stage: Stage, provider: Provider
) -> None:
    async with (
        site_of(shared_stage, edit=with_provider(provider)) as site,
        site.browser() as browser,
    ):
        await browser.sign_in(provider, DEV)
        cookie = str(browser.cookies[_COOKIE])
    async with site_of(shared_stage) as site:
        assert not await _is_in(site, cookie)


async def test_keys_are_replaced_without_signing_anybody_out(
    shared_stage: Stage, provider: Provider
) -> None:
    new, clock = bytes(32), Clock()
    edit = with_provider(provider)
    async with site_of(shared_stage, edit=edit, clock=clock) as site:
        cookie = await _pass(site, provider)
    async with (
        site_of(shared_stage, edit=edit, clock=clock, keys=(new, KEY)) as site,
        site.browser(**{_COOKIE: cookie}) as browser,
    ):
        renewed = await browser.get("/me")
        assert renewed.status_code == 200
        fresh = renewed.headers["Set-Cookie"].partition("=")[2].partition(";")[0]
        assert fresh != cookie
        again = await browser.get("/me", headers={"Cookie": f"{_COOKIE}={fresh}"})
        assert "Set-Cookie" not in again.headers
    async with site_of(shared_stage, edit=edit, clock=clock, keys=(new,)) as site:
        assert await _is_in(site, fresh)
        assert not await _is_in(site, cookie)


async def test_a_token_for_little_does_not_sign_its_holder_out_elsewhere(
    site: Site, provider: Provider
) -> None:
    elsewhere = await _pass(site, provider)
    made = await site.broker.tokens.create(
        NEWCOMER, label="", lifetime=None, actor="operator:test", scopes=frozenset({"read"})
    )
    async with site.browser() as browser:
        await browser.submit("/sign-in", token=made.secret)
        assert "Sign out everywhere" not in await browser.read_page("/me")
        refused = await browser.submit_from("/me", "/sign-out", everywhere="true")
        assert refused.status_code == 403
        assert await _is_in(site, elsewhere)
        await browser.submit_from("/me", "/sign-out")
        assert (await browser.get("/me")).status_code == 303
