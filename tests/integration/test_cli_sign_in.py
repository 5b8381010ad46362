"""Signing in from a terminal: pgcurfew login, whoami and logout, against a real provider."""

import json
import re
import stat
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from api.client import open_client
from api.failures import ApiError
from broker.domain.events import TokenCreated
from tests.support.browser import Site, site_of, with_provider
from tests.support.provider import CLI_CLIENT, NEWCOMER, WEB_CLIENT, Provider
from tests.support.stage import DEV, Stage
from tests.support.terminal import Terminal

pytestmark = pytest.mark.newest
_LAST_REFUSAL = """
    SELECT data ->> 'reason' FROM curfew.audit_events
     WHERE kind = 'identity.refused' ORDER BY seq DESC LIMIT 1
"""


@pytest.fixture
async def site(shared_stage: Stage, provider: Provider) -> AsyncIterator[Site]:
    async with site_of(shared_stage, edit=with_provider(provider)) as serving:
        yield serving


@pytest.fixture
def terminal(site: Site, tmp_path: Path) -> Terminal:
    return Terminal(site.url, tmp_path)


async def test_a_person_signs_in_works_and_signs_out(
    terminal: Terminal, provider: Provider
) -> None:
    before = await terminal.run("ls")
    assert before.returncode == 2
    assert before.stderr == (
        f"pgcurfew: you are not signed in at {terminal.url}; run: pgcurfew login\n"
    )
    provider.whims.allowed = NEWCOMER
    done = await terminal.run("login")
    assert (done.returncode, done.stderr) == (0, "")
    assert f"{provider.issuer}/device?user_code=WDJB-MJHT" in done.stdout
    assert "check that it shows the code WDJB-MJHT" in done.stdout
    assert re.search(rf"Signed in as {NEWCOMER} until .* UTC\.", done.stdout)
    (kept,) = terminal.home.rglob("*.json")
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600

    who = json.loads((await terminal.run("whoami", "--json")).stdout)
    assert (who["email"], who["groups"], who["manager"]) == (
        NEWCOMER,
        ["developers"],
        "lead@example.com",
    )
    assert (who["standings"], who["scopes"]) == (["requester"], None)

    out = await terminal.run("logout")
    assert (out.returncode, out.stdout) == (0, f"{NEWCOMER} is signed out.\n")
    assert list(terminal.home.rglob("*.json")) == []


async def test_whoami_says_it_to_people(site: Site, terminal: Terminal) -> None:
    made = await site.broker.tokens.create(DEV, label="x", lifetime=None, actor="operator:test")
    shown = await terminal.run("whoami", PGCURFEW_TOKEN=made.secret)
    for said in (rf"e-mail +{DEV}", "groups +developers", "standing +requester", "until .* left"):
        assert re.search(said, shown.stdout)


async def test_what_the_server_has_ended_is_said_to_have_ended(
    terminal: Terminal, provider: Provider, shared_stage: Stage
) -> None:
    provider.whims.allowed = NEWCOMER
    await terminal.run("login")
    await shared_stage.query_ledger("UPDATE curfew.tokens SET revoked_at = now()")
    over = await terminal.run("ls")
    assert over.returncode == 2
    assert "is no longer good; run: pgcurfew login" in over.stderr
    # The server has nothing to end any more, and this machine forgets.
    assert (await terminal.run("logout")).returncode == 0
    assert list(terminal.home.rglob("*.json")) == []


async def test_what_is_known_to_be_over_is_not_even_tried(
    terminal: Terminal, provider: Provider
) -> None:
    provider.whims.allowed = NEWCOMER
    await terminal.run("login")
    (kept,) = terminal.home.rglob("*.json")
    past = {**json.loads(kept.read_text()), "until": "2026-01-01T12:00:00Z"}
    kept.write_text(json.dumps(past))
    over = await terminal.run("ls")
    assert over.returncode == 2
    assert "ended at 2026-01-01 12:00:00 UTC; run: pgcurfew login" in over.stderr


@pytest.mark.parametrize(
    ("answers", "said"),
    [
        (["authorization_pending", "access_denied"], "company says no: you were not let in"),
        (["expired_token"], "company waited too long for you; run pgcurfew login again"),
    ],
)
async def test_a_no_is_one_line(
    terminal: Terminal, provider: Provider, answers: list[str], said: str
) -> None:
    provider.whims.first = answers
    done = await terminal.run("login", "--provider", "company")
    assert done.returncode == 2
    assert said in done.stderr
    assert list(terminal.home.rglob("*.json")) == []


async def test_a_token_in_the_environment_goes_first(terminal: Terminal) -> None:
    for command in ("login", "logout"):
        done = await terminal.run(command, PGCURFEW_TOKEN="pgcurfew_x")
        assert done.returncode == 2
        assert "PGCURFEW_TOKEN is set: unset it" in done.stderr


async def test_without_providers_an_operator_is_needed(shared_stage: Stage, tmp_path: Path) -> None:
    async with site_of(shared_stage) as site:
        terminal = Terminal(site.url, tmp_path)
        done = await terminal.run("login")
        assert done.returncode == 2
        assert "an operator makes you a token with: pgcurfew token create" in done.stderr
        assert "PGCURFEW_TOKEN is not set" in (await terminal.run("ls")).stderr
        assert (await terminal.run("logout")).returncode == 3


async def _refused(site: Site, id_token: str, provider: str = "company") -> str:
    async with open_client(site.url) as client:
        with pytest.raises(ApiError) as error:
            await client.sign_in(provider, id_token)
    assert (error.value.status, error.value.code) == (401, "unauthenticated")
    return str(error.value)


async def test_an_id_token_is_exchanged_once(
    site: Site, provider: Provider, shared_stage: Stage
) -> None:
    id_token = provider.id_token(NEWCOMER)
    async with open_client(site.url) as client:
        view = await client.sign_in("company", id_token)
    assert view.person == NEWCOMER
    assert view.expires_at == site.clock.now() + timedelta(hours=12)
    async with open_client(site.url, view.token) as client:
        assert (await client.get_me()).email == NEWCOMER
    assert await _refused(site, id_token) == "a valid bearer token is needed"
    assert await shared_stage.query_ledger(_LAST_REFUSAL) == "the ID token was used before"
    made = await shared_stage.query_ledger(
        "SELECT data ->> 'token_kind' FROM curfew.audit_events WHERE kind = $1"
        " ORDER BY seq DESC LIMIT 1",
        TokenCreated.kind,
    )
    assert made == "sign_in"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"iat": 1_700_000_000}, "was not made just now"),
        ({"audience": WEB_CLIENT}, "aud"),
        ({"audience": "somebody-else"}, "aud"),
        ({"exp": 1_700_000_000}, "expired"),
        ({"email_verified": False}, "has not verified the address"),
    ],
)
async def test_an_id_token_that_is_not_for_this_is_refused_and_on_record(
    site: Site, provider: Provider, shared_stage: Stage, changes: dict[str, Any], reason: str
) -> None:
    await _refused(site, provider.id_token(NEWCOMER, **changes))
    assert reason in await shared_stage.query_ledger(_LAST_REFUSAL)


async def test_nobody_leaves_groups_out_by_showing_half_of_what_they_got(
    site: Site, provider: Provider, shared_stage: Stage
) -> None:
    """A policy may deny something to a group of which only the userinfo endpoint tells."""
    await _refused(site, provider.id_token(NEWCOMER, groups=None))
    assert "nor came an access token" in await shared_stage.query_ledger(_LAST_REFUSAL)


async def test_an_id_token_of_no_provider_of_ours_is_refused(
    site: Site, provider: Provider
) -> None:
    async with open_client(site.url) as client:
        with pytest.raises(ApiError) as error:
            await client.sign_in("partners", provider.id_token(NEWCOMER))
        assert error.value.status == 404
        ways = await client.list_sign_in_ways()
    assert [each.name for each in ways.providers] == ["company"]
    assert ways.providers[0].client_id == CLI_CLIENT
    assert "secret" not in ways.model_dump_json()


async def test_a_token_that_was_made_to_be_kept_is_not_signed_out(site: Site) -> None:
    made = await site.broker.tokens.create(DEV, label="x", lifetime=None, actor="operator:test")
    async with open_client(site.url, made.secret) as client:
        with pytest.raises(ApiError) as error:
            await client.sign_out()
        assert (error.value.status, error.value.code) == (409, "not-a-sign-in")
        assert (await client.get_me()).email == DEV
